"""Who drafts how much, and when the target verifies it: pure state machines over rounds.

A round is one target pass with the draft steps before it and beside it. A policy decides the next round
from its state alone; what the target says then gives the next state. All policies share what a round
does (`rounds`), and differ in what they ask for.
"""

from __future__ import annotations

from accelsim.decoding.policies.policy import Policy
from accelsim.decoding.policies.rounds import Outcome, Round, State, after, check_invariants, start
from accelsim.decoding.policies.shipped import POLICIES, make_policy

__all__ = [
    "POLICIES", "Outcome", "Policy", "Round", "State", "after", "check_invariants", "make_policy", "start",
]  # fmt: skip
