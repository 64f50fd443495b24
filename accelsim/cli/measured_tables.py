"""A measured machine on the terminal: how far off each subset is, what was fitted, and the worst runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from accelsim.cli.common import plain_table
from accelsim.validate.measured import Limit, MeasuredRun, Measurement
from accelsim.validate.statistics import Summary, summaries, worst

if TYPE_CHECKING:
    from rich.table import Table

FEW = 20
"""A subset of fewer runs shows them all."""
WORST = 10
LONGEST = 34


def measurement_tables(measurement: Measurement) -> Iterator[Table | str]:
    """The summary; every run of small subsets; the worst of the others; constants fitted and cautions."""
    found = list(summaries(measurement.runs))
    yield _summary(found, measurement.limits)
    small = {(line.subset, line.quantity) for line in found if line.runs + line.fitted_runs < FEW}
    few = [run for run in measurement.runs if (run.subset, run.quantity) in small]
    many = [run for run in measurement.runs if (run.subset, run.quantity) not in small and not run.fitted]
    for title, runs in (("", few), (f"The {WORST} runs farthest off:\n", worst(many, WORST))):
        if runs:
            yield f"\n{title}"
            yield _runs(runs)
            yield from _causes(runs)
    if measurement.constants:
        yield "\nFitted:\n"
    for constant in measurement.constants:
        source = f"; {constant.source}" if constant.source else ""
        yield f"  {constant.name} = {constant.value:.4g} {constant.unit}, on {constant.fitted_on}{source}\n"
    yield from (f"\n{caution}\n" for caution in measurement.cautions)


def _summary(found: Sequence[Summary], limits: Sequence[Limit]) -> Table:
    by_name = {(limit.subset, limit.quantity): limit for limit in limits}
    numbers = ("runs", "fitted", "error", "aim", "roofline", "median", "p10", "p90", "rank")
    table = plain_table(("mean absolute error",), numbers)
    for line in found:
        limit = by_name.get((line.subset, line.quantity))
        aim = "" if limit is None or limit.target_pct is None else f"{limit.target_pct:g} %"
        roofline = "" if line.roofline_error_pct is None else f"{line.roofline_error_pct:.1f} %"
        rank = "" if line.rank_correlation is None else f"{line.rank_correlation:.3f}"
        ratios = (f"{ratio:.2f}" for ratio in (line.median_ratio, line.p10, line.p90))
        counts = (str(line.runs), str(line.fitted_runs or ""))
        error, name = f"{line.mean_abs_error_pct:.1f} %", _short(f"{line.subset}, {line.quantity}")
        table.add_row(name, *counts, error, aim, roofline, *ratios, rank)
    return table


def _runs(runs: Sequence[MeasuredRun]) -> Table:
    table = plain_table(("run",), ("measured", "ours", "unit", "off by", "roofline", "bound"))
    for run in runs:
        off = f"{(run.ratio - 1) * 100:+.1f} %" + (" fitted" if run.fitted else "")
        roofline = "" if run.roofline is None else _number(run.roofline)
        values = (_number(run.measured), _number(run.ours), run.unit, off, roofline, run.bound)
        name = run.case if len({each.quantity for each in runs}) == 1 else f"{run.case}, {run.quantity}"
        table.add_row(_short(name), *values)
    return table


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _number(value: float) -> str:
    """Four digits; from a thousand on whole, with commas."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _causes(runs: Sequence[MeasuredRun]) -> Iterator[str]:
    """Each cause once, with how many of these runs it stands for."""
    causes = [run.cause for run in runs if run.cause]
    for cause in dict.fromkeys(causes):
        yield f"  {causes.count(cause)} of them: {cause}\n"
