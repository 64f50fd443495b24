"""The sensitivity of the APSQ savings as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from accelsim.report.picture import save_picture
from accelsim.reproduce.sensitivity import SensitivityRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#4c78a8", "#e45756", "#54a24b", "#f58518", "#b279a2")
STYLES: dict[str, Literal["-", ":"]] = {"exact": "-", "gemm": ":"}


def save_sensitivity(rows: Sequence[SensitivityRow], path: Path) -> None:
    """One panel per dataflow (down) and knob (across); a line per model and counting."""
    save_picture(lambda: _draw(rows), path, {"font.size": 8.5}, dpi=140)


def _draw(rows: Sequence[SensitivityRow]) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    knobs, dataflows, models = (
        list(dict.fromkeys(getattr(row, field) for row in rows)) for field in ("knob", "dataflow", "model")
    )
    figure = Figure(figsize=(3.1 * len(knobs), 3.0 * len(dataflows) + 0.8), layout="constrained")
    grid = figure.subplots(len(dataflows), len(knobs), sharey="row", squeeze=False)
    for row_axes, dataflow in zip(grid, dataflows, strict=True):
        for axes, knob in zip(row_axes, knobs, strict=True):
            _panel(axes, [row for row in rows if (row.knob, row.dataflow) == (knob, dataflow)], models)
            axes.set_xlabel(knob)
            axes.set_title(dataflow, loc="left", fontweight="bold")
        row_axes[0].set_ylabel("energy saved by INT8 psums (%)")
    handles = [Line2D([], [], color=colour, label=model) for model, colour in zip(models, COLOURS, strict=False)]
    handles += [Line2D([], [], color="0.3", linestyle=style, label=f"{name} counts") for name, style in STYLES.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _panel(axes: Axes, rows: Sequence[SensitivityRow], models: Sequence[str]) -> None:
    for model, colour in zip(models, COLOURS, strict=False):
        for counting, style in STYLES.items():
            mine = sorted(
                (row.value, 100 * row.saving) for row in rows if (row.model, row.counting) == (model, counting)
            )
            axes.plot(*zip(*mine, strict=True), style, color=colour, marker="o", markersize=3, linewidth=1.3)
    axes.set_ylim(-2, 102)
    axes.grid(color="0.9")
    if max(row.value for row in rows) > 100:
        axes.set_xscale("log", base=2)
