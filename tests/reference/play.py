"""One request played round by round with the policy's state machine: slow and obvious, what `run` must agree with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.decoding.costs import PassCosts
from accelsim.decoding.counts import COUNTS, Counts
from accelsim.decoding.draws import Draws
from accelsim.decoding.policies import Policy, after, check_invariants, start


def play(
    policy: Policy, draws: Draws, costs: PassCosts, prompt: int, output: int
) -> tuple[Counts, NDArray[np.float64]]:
    """Counts and costs (8,) of a request of `output` tokens that meets the draws from the first on.

    Tokens beyond `output` are surplus: made by the last pass, and thrown away.
    """
    state = start(prompt, policy.length.first)
    count = dict.fromkeys(COUNTS, 0)
    spent, rejected_pj = costs.prefill_at(prompt).copy(), 0.0
    ranks = draws.rank.tolist()
    entropies = [] if draws.entropy_bits is None else draws.entropy_bits.tolist()
    while state.emitted < output:
        check_invariants(state)
        first = state.emitted + state.pending
        ahead = entropies[first : first + policy.most_tokens + policy.length.most]
        round_ = policy.next_round(state, ahead)
        held, reads = state.prompt + first - 1, policy.draft_tokens
        for step in range(round_.serial):
            spent += costs.draft_at(step, held)
            held += reads[min(step, len(reads) - 1)]
        if round_.concurrent:
            spent += costs.together_at(round_.tokens, round_.concurrent, state.target_kv)
        else:
            spent += costs.verify_at(round_.tokens, state.target_kv)
        chain = round_.depth + round_.concurrent
        right = policy.right(ranks[state.emitted : state.emitted + chain])
        whole = right > round_.depth if round_.concurrent else right == round_.depth
        outcome = after(state, round_, right, policy.length.following(state.length, whole))
        dropped = range(outcome.accepted, round_.depth) if policy.widths else [0] * outcome.rejected_drafts
        wasted = sum(costs.draft_at(step, state.target_kv)[1] for step in dropped)
        wasted += costs.verify_at(round_.tokens, state.target_kv)[1]
        wasted -= costs.verify_at(round_.tokens - outcome.rejected_nodes, state.target_kv)[1]
        rejected_pj += wasted
        for name, more in (
            ("passes", 1), ("stays", int(outcome.stayed)), ("accepted", outcome.accepted),
            ("serial_drafts", round_.serial), ("concurrent_drafts", round_.concurrent),
            ("rejected_drafts", outcome.rejected_drafts), ("verified_nodes", round_.nodes),
            ("rejected_nodes", outcome.rejected_nodes),
        ):  # fmt: skip
            count[name] += more
        state = outcome.state
    count |= {"tokens": output, "surplus": state.emitted - output, "unverified": state.pending}
    return Counts(**count, rejected_pj=rejected_pj), spent
