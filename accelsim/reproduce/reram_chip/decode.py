"""Decoding at one acceptance and its draft lengths, steady: no prompts, a fixed range of contexts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accelsim.decoding.acceptance import Independent
from accelsim.decoding.costs import COLUMNS, PassCosts
from accelsim.decoding.passes.tabulate import Passes
from accelsim.decoding.policies import Policy, make_policy
from accelsim.decoding.policies.lengths import fixed
from accelsim.decoding.run import draws_needed, run

PROMPT, OUTPUT = 128, 256
"""Tokens of a prompt and of an answer (assumed; MT-Bench's are not published with the chip)."""
ANSWERS = 400
MIDDLE = PROMPT + OUTPUT // 2


@dataclass(frozen=True)
class Drafting:
    """Acceptance of a draft token and the draft lengths: `parallel` beside a pass and `short` before one; without
    any beside, `serial`, at an acceptance of its own."""

    alpha: float
    parallel: int
    short: int
    serial_alpha: float
    serial: int

    def policy(self, parallel: bool) -> Policy:
        """APSD, or draft-then-verify."""
        if parallel:
            return make_policy("apsd", fixed(self.parallel), short=self.short)
        return make_policy("vanilla", fixed(self.serial))

    def acceptance(self, parallel: bool) -> Independent:
        """Of either policy, independent from token to token."""
        return Independent((self.alpha if parallel else self.serial_alpha,))


@dataclass(frozen=True)
class Decoded:
    """What a token costs."""

    tokens_per_s: float
    mj_per_token: float
    dram_mb_per_token: float
    reram_mb_per_token: float
    tokens_per_pass: float
    drafts_per_pass: float


def exact_costs(passes: Passes, policy: Policy) -> PassCosts:
    """The passes that the policy asks for, each run on the engine; reading a prompt costs nothing.

    Every round of these policies verifies one of two chains: a fresh draft or a concurrent one.
    """
    contexts = (PROMPT, PROMPT + OUTPUT)
    steps, columns = policy.length.most, len(COLUMNS)
    serial = policy.short or steps
    chains = {1 + serial} | ({steps} if policy.concurrent else set())
    beside = steps if policy.concurrent else 0
    draft = np.array([[passes.cost(passes.streams(0, 1, context)) for context in contexts]])
    verify = np.full((policy.most_tokens, len(contexts), columns), np.nan)
    together = np.full((policy.most_tokens, beside, len(contexts), columns), np.nan)
    for at, context in enumerate(contexts):
        for tokens in chains:
            if beside:
                together[tokens - 1, beside - 1, at] = passes.cost(passes.streams(tokens, beside, context))
            else:
                verify[tokens - 1, at] = passes.cost(passes.streams(tokens, 0, context))
    nothing = np.zeros((1, columns))
    return PassCosts(
        np.array(contexts, np.int64), draft, verify, together, np.array([PROMPT], np.int64), nothing, passes.static_mw
    )


def decoded(passes: Passes, drafting: Drafting, parallel: bool) -> Decoded:
    """Means over some answers, acceptance independent from token to token."""
    policy = drafting.policy(parallel)
    prompts, outputs = np.full(ANSWERS, PROMPT, np.int64), np.full(ANSWERS, OUTPUT, np.int64)
    draws = drafting.acceptance(parallel).draw(draws_needed(policy, outputs), seed=0)
    costs = exact_costs(passes, policy)
    made = run(policy, draws, costs, prompts, outputs)
    spent = dict(zip(COLUMNS, made.costs.sum(axis=0).tolist(), strict=True))
    counts = made.total
    # The first token of an answer comes of reading the prompt, and the last pass makes more than are asked for.
    tokens = counts.accepted + counts.passes
    seconds = spent["latency_fs"] / 1e15
    millijoules = spent["energy_pj"] / 1e9 + costs.static_mw * seconds
    return Decoded(
        tokens / seconds,
        millijoules / tokens,
        spent["dram_bits"] / 8e6 / tokens,
        spent["reram_bits"] / 8e6 / tokens,
        counts.tokens_per_pass,
        (counts.serial_drafts + counts.concurrent_drafts) / counts.passes,
    )
