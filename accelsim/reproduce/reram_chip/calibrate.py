"""What is not published and has to come from the published numbers.

Per pair, from its DRAM and ReRAM bytes a token: with r ReRAM and d DRAM bytes of a draft step and v DRAM
bytes of a target pass,

    draft steps a token x = ReRAM / r            tokens a pass T = v / (DRAM - x d)

and the draft lengths whose APSD comes nearest to x T draft steps a pass, at the i.i.d. acceptance that
has this T. Draft-then-verify is given the same T and, as nearly, the same draft steps, at the acceptance
that has them there: so the policies are compared at equal tokens and drafts a pass. From LLaMA2-7B
alone: the clock, the DRAM's efficiency, its energy a bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from accelsim.decoding.passes.tabulate import Passes
from accelsim.reproduce.reram_chip.chip import CLOCKS_MHZ, Head, WorkingPoint, stage_passes
from accelsim.reproduce.reram_chip.decode import MIDDLE, Drafting, decoded
from accelsim.reproduce.reram_chip.published import PublishedPair

SHORTEST, LONGEST = 2, 12
HALVINGS = 60
BITS_PER_MB = 8e6
SAME = 0.02
"""A clock is high enough when the highest one decodes no more than this share faster."""
FIRST_EFFICIENCY = 0.5
ROUNDS = 4


@dataclass(frozen=True)
class Inferred:
    """Tokens and draft steps of a target pass, and the drafting that comes nearest to both."""

    tokens_per_pass: float
    drafts_per_pass: float
    drafting: Drafting


def apsd_closed_form(alpha: float, parallel: int, short: int) -> tuple[float, float]:
    """Tokens and draft steps of a target pass under APSD, acceptance independent from token to token.

    From a chain of d drafts verified: (1 - a^(d+1)) / (1 - a) tokens, and with a^(d+1) all of it and the
    target's own token are right and drafting goes on (chains of `parallel` - 1 then, else `short`).
    """
    stay, begin = alpha**parallel, alpha ** (short + 1)
    share = begin / (1 - stay + begin)  # of passes that verify a concurrent draft
    tokens = (1 - share) * chain_tokens(alpha, short) + share * chain_tokens(alpha, parallel - 1)
    return tokens, parallel + short * (1 - share)


def chain_tokens(alpha: float, depth: int) -> float:
    """Tokens of a pass that verifies a chain of `depth` drafts: (1 - a^(d+1)) / (1 - a)."""
    return (1 - alpha ** (depth + 1)) / (1 - alpha)


def infer(pair: PublishedPair, passes: Passes) -> Inferred:
    """Tokens and draft steps a pass from the published bytes, and a drafting that has them."""
    step, verify = passes.work("draft", "draft", 1, MIDDLE), passes.work("verify", "verify", SHORTEST, MIDDLE)
    per_token = pair.numbers["reram_mb_per_token"].value * BITS_PER_MB / step.reram_bits
    left = pair.numbers["dram_mb_per_token"].value * BITS_PER_MB - per_token * step.dram_bits
    tokens = verify.dram_bits / left
    drafts = per_token * tokens
    return Inferred(tokens, drafts, nearest_drafting(tokens, drafts))


def nearest_drafting(tokens: float, drafts: float) -> Drafting:
    """The lengths whose draft steps a pass come nearest, each policy at the acceptance that has these tokens a pass."""
    found = []
    for parallel in range(SHORTEST, LONGEST + 1):
        for short in range(1, parallel + 1):
            alpha = _acceptance(lambda a, p=parallel, s=short: apsd_closed_form(a, p, s)[0], tokens)  # type: ignore[misc]
            if alpha is not None:
                off = abs(apsd_closed_form(alpha, parallel, short)[1] - drafts)
                found.append((off, parallel, short, alpha))
    _, parallel, short, alpha = min(found)
    serial = max(round(drafts), math.ceil(tokens))
    serial_alpha = _acceptance(lambda a: chain_tokens(a, serial), tokens)
    assert serial_alpha is not None
    return Drafting(alpha, parallel, short, serial_alpha, serial)


def _acceptance(tokens_at: Callable[[float], float], tokens: float) -> float | None:
    """The acceptance with so many tokens a pass; None where none has."""
    low, high = 0.0, 1 - 1e-9
    if tokens_at(high) < tokens:
        return None
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if tokens_at(middle) < tokens:
            low = middle
        else:
            high = middle
    return high


def fit_point(pair: PublishedPair, drafting: Drafting, head: Head) -> WorkingPoint:
    """The lowest clock at which the pair is as good as bound by its DRAM; the efficiency that gives its
    tokens a second, and the energy a bit that gives its energy a token."""

    def speed(point: WorkingPoint) -> float:
        return decoded(stage_passes("parallel", pair.target, pair.draft, point, head), drafting, True).tokens_per_s

    fastest = speed(WorkingPoint(CLOCKS_MHZ[-1], FIRST_EFFICIENCY))
    clock = next(clock for clock in CLOCKS_MHZ if speed(WorkingPoint(clock, FIRST_EFFICIENCY)) >= (1 - SAME) * fastest)
    point = WorkingPoint(clock, FIRST_EFFICIENCY)
    for _ in range(ROUNDS):  # bound by the DRAM, speed is as good as linear in it
        scale = pair.numbers["tokens_per_s"].value / speed(point)
        point = WorkingPoint(clock, min(1.0, point.dram_efficiency * scale))
    return _with_energy(pair, drafting, head, point)


def _with_energy(pair: PublishedPair, drafting: Drafting, head: Head, point: WorkingPoint) -> WorkingPoint:
    """Energy is linear in the DRAM's energy a bit: two points give it."""
    low, high = (
        decoded(
            stage_passes(
                "parallel", pair.target, pair.draft, WorkingPoint(point.clock_mhz, point.dram_efficiency, pj), head
            ),
            drafting,
            True,
        ).mj_per_token
        for pj in (1.0, 2.0)
    )
    wanted = pair.numbers["mj_per_token"].value
    pj = 1.0 + (wanted - low) / (high - low)
    return WorkingPoint(point.clock_mhz, point.dram_efficiency, pj)
