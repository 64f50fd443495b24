"""Published beside simulated: the three pairs, the ablation of LLaMA3-8B, and what the policy and scheduler gain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from accelsim.decoding.passes.program import Issue
from accelsim.reproduce.reram_chip.calibrate import FIRST_EFFICIENCY, Inferred, fit_point, infer
from accelsim.reproduce.reram_chip.causes import cause_of, roofline
from accelsim.reproduce.reram_chip.chip import STAGES, Head, Stage, WorkingPoint, stage_passes
from accelsim.reproduce.reram_chip.decode import Decoded, Drafting, decoded
from accelsim.reproduce.reram_chip.published import METRICS, PublishedPair, published_ablation, published_pairs

Kind = Literal["input", "fitted", "predicted"]
FITTED_PAIR, ABLATED_PAIR = "llama2_7b", "llama3_8b"
INPUTS = ("reram_mb_per_token", "dram_mb_per_token")
FITTED = ("tokens_per_s", "mj_per_token")
FIRST_POINT = WorkingPoint(100.0, FIRST_EFFICIENCY)
"""Where bytes of passes are counted, which no working point changes."""


@dataclass(frozen=True)
class PairRow:
    """One number of one pair; `deviation` is simulated / published - 1."""

    target: str
    metric: str
    published: float
    simulated: float
    deviation: float
    kind: Kind
    confidence: str
    cause: str
    roofline_deviation: float | None
    """Of the published bytes at the fitted pair's bandwidth and power, where that says something."""


@dataclass(frozen=True)
class AblationRow:
    """One step of the ablation of LLaMA3-8B; deviations are simulated / published - 1."""

    stage: str
    tokens_per_s: float
    published_tokens_per_s: float
    tokens_deviation: float
    mj_per_token: float
    published_mj_per_token: float
    energy_deviation: float
    dram_mb_per_token: float
    published_dram_mb_per_token: float
    confidence: str


@dataclass(frozen=True)
class GainRow:
    """What parallel drafting and out-of-order issue gain in tokens a second.

    `gain`: both, at equal tokens and draft steps a pass, as the ablation's last step. `issue_gain`: of
    out-of-order over in-order issue, the policy parallel both times; `pipelined_gain` over an in-order program whose
    loads were moved up as far as there are slots. `policy_gain`: of the policy at one and
    the same acceptance, that of its own tokens a pass, with as many draft steps; serial drafting has more
    tokens a pass there.
    """

    target: str
    gain: float
    published_low: float
    published_high: float
    issue_gain: float
    pipelined_gain: float
    policy_gain: float
    tokens_per_pass_parallel: float
    tokens_per_pass_serial: float


@dataclass(frozen=True)
class DraftingRow:
    """What was inferred for a pair from its published bytes."""

    target: str
    tokens_per_pass: float
    drafts_per_pass: float
    alpha: float
    parallel: int
    short: int
    serial_alpha: float
    serial: int


@dataclass(frozen=True)
class Reproduction:
    """Every table of the comparison."""

    head: Head
    point: WorkingPoint
    drafting: tuple[DraftingRow, ...]
    pairs: tuple[PairRow, ...]
    ablation: tuple[AblationRow, ...]
    gains: tuple[GainRow, ...]
    one_acceptance: tuple[PairRow, ...]


def reproduction(head: Head, progress: Callable[[int, int], None] = lambda done, total: None) -> Reproduction:
    """Infer, fit and predict; `progress` counts pairs and the fit."""
    published = published_pairs()
    total = 2 + len(published)
    inferred = {
        pair.target: infer(pair, stage_passes("parallel", pair.target, pair.draft, FIRST_POINT, head))
        for pair in published
    }
    fitted = next(pair for pair in published if pair.target == FITTED_PAIR)
    common = inferred[FITTED_PAIR].drafting
    point = fit_point(fitted, common, head)
    progress(1, total)
    stages: dict[str, dict[Stage, Decoded]] = {}
    gains, one = [], []
    for number, pair in enumerate(published):
        drafting = inferred[pair.target].drafting
        stages[pair.target] = {stage: _at(stage, pair, point, head, drafting) for stage in STAGES}
        gains.append(_gain(pair, point, head, drafting, stages[pair.target]))
        if pair is not fitted:
            ends = {stage: _at(stage, pair, point, head, common) for stage in ("bf16", "parallel")}
            one += _pair_rows(pair, ends["bf16"], ends["parallel"], fitted, False)
        progress(2 + number, total)
    rows = [
        row
        for pair in published
        for row in _pair_rows(pair, stages[pair.target]["bf16"], stages[pair.target]["parallel"], fitted, True)
    ]
    drafts = tuple(_drafting_row(target, found) for target, found in inferred.items())
    ablation = _ablation_rows(stages[ABLATED_PAIR])
    progress(total, total)
    return Reproduction(head, point, drafts, tuple(rows), ablation, tuple(gains), tuple(one))


def _at(stage: Stage, pair: PublishedPair, point: WorkingPoint, head: Head, drafting: Drafting) -> Decoded:
    return decoded(stage_passes(stage, pair.target, pair.draft, point, head), drafting, stage == "parallel")


def _pair_rows(
    pair: PublishedPair, base: Decoded, full: Decoded, fitted: PublishedPair, own_acceptance: bool
) -> list[PairRow]:
    simulated = {
        "tokens_per_s": full.tokens_per_s,
        "speedup": full.tokens_per_s / base.tokens_per_s,
        "mj_per_token": full.mj_per_token,
        "saving": base.mj_per_token / full.mj_per_token,
        "reram_mb_per_token": full.reram_mb_per_token,
        "dram_mb_per_token": full.dram_mb_per_token,
    }
    without_model = (
        dict(zip(FITTED, roofline(pair, fitted), strict=True)) if own_acceptance and pair is not fitted else {}
    )
    rows = []
    for metric in METRICS:
        known, found = pair.numbers[metric], simulated[metric]
        kind: Kind = "input" if own_acceptance and metric in INPUTS else "predicted"
        if pair is fitted and metric in FITTED:
            kind = "fitted"
        deviation = found / known.value - 1
        cause = cause_of(pair, metric, deviation, fitted, own_acceptance) if kind == "predicted" else ""
        rows.append(PairRow(
            pair.target, metric, known.value, found, deviation, kind, known.confidence, cause, without_model.get(metric)
        ))  # fmt: skip
    return rows


def _ablation_rows(stages: dict[Stage, Decoded]) -> tuple[AblationRow, ...]:
    rows = []
    for known in published_ablation():
        found = stages[known.stage]  # type: ignore[index]
        rows.append(AblationRow(
            known.stage, found.tokens_per_s, known.tokens_per_s, found.tokens_per_s / known.tokens_per_s - 1,
            found.mj_per_token, known.mj_per_token, found.mj_per_token / known.mj_per_token - 1,
            found.dram_mb_per_token, known.dram_mb_per_token, known.confidence,
        ))  # fmt: skip
    return tuple(rows)


def _gain(
    pair: PublishedPair, point: WorkingPoint, head: Head, drafting: Drafting, stages: dict[Stage, Decoded]
) -> GainRow:
    full = stages["parallel"]
    ordered: tuple[Issue, ...] = ("in-order", "pipelined")
    in_order, pipelined = (
        decoded(stage_passes("parallel", pair.target, pair.draft, point, head, issue), drafting, True)
        for issue in ordered
    )
    same = Drafting(drafting.alpha, drafting.parallel, drafting.short, drafting.alpha, drafting.serial)
    serial = decoded(stage_passes("parallel", pair.target, pair.draft, point, head), same, False)
    return GainRow(
        pair.target, full.tokens_per_s / stages["reram"].tokens_per_s, *pair.gain_range,
        full.tokens_per_s / in_order.tokens_per_s, full.tokens_per_s / pipelined.tokens_per_s,
        full.tokens_per_s / serial.tokens_per_s,
        full.tokens_per_pass, serial.tokens_per_pass,
    )  # fmt: skip


def _drafting_row(target: str, found: Inferred) -> DraftingRow:
    return DraftingRow(target, found.tokens_per_pass, found.drafts_per_pass, **vars(found.drafting))
