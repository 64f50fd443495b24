"""How far a model is from the measured machine: errors, ratios and ranks of the runs nothing was fitted on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from accelsim.validate.measured import Limit, MeasuredRun


@dataclass(frozen=True)
class Summary:
    """Runs of one subset and quantity. Ratios are ours over measured; ranks are Spearman's.

    `rank_correlation` is None below three runs, `roofline_error_pct` where a run has no roofline.
    """

    subset: str
    quantity: str
    runs: int
    fitted_runs: int
    mean_abs_error_pct: float
    median_ratio: float
    p10: float
    p90: float
    rank_correlation: float | None
    roofline_error_pct: float | None


def summaries(runs: Iterable[MeasuredRun]) -> Iterator[Summary]:
    """In the order the subsets come; a subset of fitted runs only gives none."""
    groups: dict[tuple[str, str], list[MeasuredRun]] = {}
    for run in runs:
        groups.setdefault((run.subset, run.quantity), []).append(run)
    for (subset, quantity), group in groups.items():
        tested = [run for run in group if not run.fitted]
        if not tested:
            continue
        ratios = np.array([run.ratio for run in tested])
        p10, median, p90 = (float(value) for value in np.percentile(ratios, (10, 50, 90)))
        rank = rank_correlation([run.ours for run in tested], [run.measured for run in tested])
        yield Summary(
            subset, quantity, len(tested), len(group) - len(tested), _error_pct(ratios), median, p10, p90, rank,
            _roofline_error_pct(tested),
        )  # fmt: skip


def worst(runs: Iterable[MeasuredRun], count: int) -> list[MeasuredRun]:
    """The `count` runs whose relative error is largest, worst first; equal ones in their order."""
    return sorted(runs, key=lambda run: -abs(run.ratio - 1))[:count]


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Spearman's rank correlation, equal values sharing their mean rank; None below three pairs or without spread."""
    if len(a) < 3 or len(set(a)) == 1 or len(set(b)) == 1:
        return None
    import pandas as pd

    return float(pd.Series(a).rank().corr(pd.Series(b).rank()))


def failures(found: Sequence[Summary], limits: Iterable[Limit]) -> Iterator[str]:
    """Every limit that a summary breaks, in words; a limit without its summary is one."""
    by_name = {(summary.subset, summary.quantity): summary for summary in found}
    for limit in limits:
        summary = by_name.get((limit.subset, limit.quantity))
        name = f"{limit.subset}, {limit.quantity}"
        if summary is None:
            yield f"{name}: no run"
            continue
        error, rank = summary.mean_abs_error_pct, summary.rank_correlation
        if limit.mean_abs_error_pct is not None and not error <= limit.mean_abs_error_pct:
            yield f"{name}: mean absolute error {error:.1f} %, more than {limit.mean_abs_error_pct:g} %"
        if limit.rank_correlation is not None and not (rank or 0) >= limit.rank_correlation:
            yield f"{name}: rank correlation {rank or 0:.3f}, less than {limit.rank_correlation:g}"


def _error_pct(ratios: np.ndarray) -> float:
    return float(np.abs(ratios - 1).mean() * 100)


def _roofline_error_pct(runs: Sequence[MeasuredRun]) -> float | None:
    ratios = [run.roofline / run.measured for run in runs if run.roofline is not None]
    return _error_pct(np.array(ratios)) if len(ratios) == len(runs) else None
