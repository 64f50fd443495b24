"""A policy over an acceptance, counted and not priced: tokens per pass, rejected drafts."""

from __future__ import annotations

import numpy as np

from accelsim.decoding.acceptance import Acceptance
from accelsim.decoding.costs import no_costs
from accelsim.decoding.counts import Counts
from accelsim.decoding.policies import Policy
from accelsim.decoding.run import draws_needed, run


def replay(policy: Policy, acceptance: Acceptance, tokens: int, seed: int) -> Counts:
    """What an answer of `tokens` tokens counts up to; UserError as in `run`."""
    outputs = np.array([tokens])
    draws = acceptance.draw(draws_needed(policy, outputs), seed)
    costs = no_costs(policy.most_tokens, policy.most_concurrent)
    return run(policy, draws, costs, np.ones(1, np.int64), outputs).total
