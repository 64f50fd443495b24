"""Measured against simulated, one picture a machine: a dot a run, the roofline's answer behind it in grey."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.report.picture import save_picture
from accelsim.validate.measured import MeasuredRun
from accelsim.validate.statistics import summaries

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_INCHES = 5.2
COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#b279a2", "#9d755d", "#72b7b2", "#eeca3b", "#d67195")
MARKERS = ("o", "s", "^", "v", "D", "P", "X", "*")
# Beyond the colours' number, the marker tells subsets apart.


def save_scatter(title: str, runs: Sequence[MeasuredRun], path: str | Path) -> None:
    """A panel for each quantity, both axes logarithmic, into a `.png`, `.svg` or `.pdf`.

    ValueError without runs; UserError for another suffix or an unwritable place.
    """
    if not runs:
        raise ValueError("nothing was measured")
    save_picture(lambda: _draw(title, runs), path)


def save_overview(machines: Mapping[str, Sequence[MeasuredRun]], path: str | Path) -> None:
    """A panel for each machine, by title: the quantity that most of its runs are of. Errors as `save_scatter`."""
    if not machines:
        raise ValueError("nothing was measured")
    save_picture(lambda: _draw_overview(machines), path)


def _draw_overview(machines: Mapping[str, Sequence[MeasuredRun]]) -> Figure:
    from matplotlib.figure import Figure

    across = min(3, len(machines))
    down = -(-len(machines) // across)
    figure = Figure(figsize=(PANEL_INCHES * across, (PANEL_INCHES + 0.2) * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes in panels[len(machines) :]:
        axes.set_axis_off()
    for axes, (title, runs) in zip(panels, machines.items(), strict=False):
        (quantity, unit), _ = Counter((run.quantity, run.unit) for run in runs).most_common(1)[0]
        _panel(axes, [run for run in runs if (run.quantity, run.unit) == (quantity, unit)], quantity, unit)
        axes.set_title(title.split(":")[0], fontsize=10)
    return figure


def _draw(title: str, runs: Sequence[MeasuredRun]) -> Figure:
    from matplotlib.figure import Figure

    quantities = list(dict.fromkeys((run.quantity, run.unit) for run in runs))
    size = (PANEL_INCHES * len(quantities), PANEL_INCHES + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, fontsize=11)
    for axes, (quantity, unit) in zip(figure.subplots(1, len(quantities), squeeze=False)[0], quantities, strict=True):
        _panel(axes, [run for run in runs if (run.quantity, run.unit) == (quantity, unit)], quantity, unit)
    return figure


def _panel(axes: Axes, runs: Sequence[MeasuredRun], quantity: str, unit: str) -> None:
    with_roofline = [(run.measured, run.roofline) for run in runs if run.roofline is not None]
    if with_roofline:
        measured, roofline = zip(*with_roofline, strict=True)
        axes.scatter(measured, roofline, s=9, color="0.82", label="roofline", zorder=1)
    errors = {line.subset: f" ({line.mean_abs_error_pct:.0f} %)" for line in summaries(runs)}
    for number, subset in enumerate(dict.fromkeys(run.subset for run in runs)):
        mine = [run for run in runs if run.subset == subset]
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number // len(COLOURS) % len(MARKERS)]
        label = f"{subset}{errors.get(subset, '')}"
        dots = ([run.measured for run in mine], [run.ours for run in mine])
        axes.scatter(*dots, s=14, color=colour, marker=marker, alpha=0.8, label=label, zorder=2)
    values = [value for run in runs for value in (run.measured, run.ours) if value > 0]
    ends = (min(values) / 1.3, max(values) * 1.3)
    axes.plot(ends, ends, color="0.3", linewidth=0.8, zorder=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(ends)
    axes.set_ylim(ends)
    axes.set_xlabel(f"measured {quantity} ({unit})")
    axes.set_ylabel(f"simulated {quantity} ({unit})")
    axes.legend(fontsize=7, loc="upper left", title="mean absolute error", title_fontsize=7)
