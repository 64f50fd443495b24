"""A report as one figure: where the energy goes, what the area is made of, and what bounds each op."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.report.picture import save_picture
from accelsim.report.report import Report
from accelsim.report.terminal import (
    ENERGY_UNITS,
    TIME_UNITS,
    energy_by_block,
    op_groups,
    operands_in,
    scaled_text,
    share_text,
    significant,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BITS_PER_BYTE = 8
COLOURS = {
    "ifmap": "#4c78a8", "weight": "#f58518", "kv": "#eeca3b", "bias": "#b279a2", "codebook": "#9d755d",
    "constant": "#d67195", "psum": "#e45756", "ofmap": "#54a24b", "compute": "#72b7b2", "leakage": "#bab0ac",
}  # fmt: skip
BOUND_COLOURS = {"array": "#4c78a8", "dram": "#e45756", "latency": "#bab0ac"}
STYLE = {
    "font.size": 9.0, "axes.titlesize": 10.5, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
}  # fmt: skip
OTHERS = ("#54a24b", "#f58518", "#b279a2", "#9d755d", "#eeca3b", "#72b7b2")


def save_plot(report: Report, path: str | Path) -> None:
    """Draw the report into a `.png`, `.svg` or `.pdf` file, written whole or not at all.

    Equal reports give equal bytes. Raises UserError for another suffix or an unwritable place.
    """
    save_picture(lambda: draw(report), path, STYLE)


def draw(report: Report) -> Figure:
    """The figure itself, for a notebook."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(11, 8), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1))
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[1, 1.1])[:, 0]
    energy, area = upper.subplots(1, 2, width_ratios=[1.7, 1])
    totals, names = report.totals, dict(report.provenance)
    cost = f"{scaled_text(totals.energy_pj, ENERGY_UNITS)}, {scaled_text(totals.latency_s, TIME_UNITS)}"
    size = f"{significant(totals.tops)} TOPS, {significant(totals.area_mm2)} mm$^2$"
    title = f"{names.get('workload', '')} on {names.get('arch', '')}: {cost}, {size}"
    figure.suptitle(title, fontsize=12, x=0.012, ha="left")
    _energy(energy, report)
    _area(area, report)
    _roofline(lower.subplots(), report)
    return figure


def _energy(axes: Axes, report: Report) -> None:
    energy = energy_by_block(report)
    size, unit = next((step for step in ENERGY_UNITS if report.totals.energy_pj >= step[0]), ENERGY_UNITS[-1])
    blocks = list(energy)
    left = [0.0] * len(blocks)
    for number, name in enumerate(operands_in(energy)):
        widths = [energy[block].get(name, 0.0) / size for block in blocks]
        axes.barh(blocks, widths, left=left, label=name, color=COLOURS.get(name, OTHERS[number % len(OTHERS)]))
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for row, length in enumerate(left):
        _note(axes, share_text(length * size, report.totals.energy_pj), length, row)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12 * max(left) or 1)
    axes.set_xlabel(f"energy ({unit})")
    axes.set_title("Energy by block and operand")
    axes.grid(axis="x", color="0.9")
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.17), ncols=len(COLOURS), frameon=False, fontsize=8,
                columnspacing=1.0, handlelength=1.0, handletextpad=0.4, borderpad=0)  # fmt: skip


def _note(axes: Axes, text: str, x: float, y: float) -> None:
    """Small grey text to the right of a bar's end."""
    axes.annotate(text, (x, y), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8, color="0.35")


def _area(axes: Axes, report: Report) -> None:
    blocks = [block for block in report.blocks if block.die == "logic"]
    colours = ["#bab0ac" if block.area_assumed else "#4c78a8" for block in blocks]
    axes.barh([block.block for block in blocks], [block.area_mm2 for block in blocks], color=colours)
    for row, block in enumerate(blocks):
        _note(axes, significant(block.area_mm2, 3), block.area_mm2, row)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.18 * max(block.area_mm2 for block in blocks) or 1)
    axes.set_xlabel("area (mm$^2$, without DRAM)")
    axes.set_title("Area by block (grey: assumed)")
    axes.grid(axis="x", color="0.9")


@dataclass(frozen=True)
class _Dot:
    """One kind of op in the roofline."""

    bound_by: str
    intensity: float
    speed: float
    cycles: int


def _dots(report: Report) -> list[_Dot]:
    """Ops with MACs, equal ones together: MAC per DRAM byte and MAC per cycle."""
    bits: dict[tuple[str, str], int] = {}
    for row in report.rows:
        if row.level == "dram" and row.action != "leakage":
            bits[(row.phase, row.op)] = bits.get((row.phase, row.op), 0) + row.bits_moved
    dots = []
    for group in op_groups(report):
        op = group.ops[0]
        moved = bits.get((op.phase, op.name), 0)
        if op.macs and op.cycles and moved:
            dots.append(_Dot(op.bound_by, op.macs * BITS_PER_BYTE / moved, op.macs / op.cycles, group.cycles))
    return dots


def _roofline(axes: Axes, report: Report) -> None:
    from matplotlib.collections import PathCollection

    dots = _dots(report)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("arithmetic intensity (MAC per DRAM byte)")
    axes.set_ylabel("achieved (MAC per core cycle)")
    axes.set_title("Roofline: one dot per kind of op, larger dots take more of the time")
    axes.grid(which="major", color="0.9")
    _draw_roofs(axes, dots, float(report.peak_macs_per_cycle), report.peak_dram_bytes_per_cycle)
    busiest = max((dot.cycles for dot in dots), default=1)
    for number, bound in enumerate(sorted({dot.bound_by for dot in dots})):
        mine = [dot for dot in dots if dot.bound_by == bound]
        axes.scatter(
            [dot.intensity for dot in mine], [dot.speed for dot in mine], label=f"bound by {bound}",
            s=[30 + 170 * dot.cycles / busiest for dot in mine],
            color=BOUND_COLOURS.get(bound, OTHERS[number % len(OTHERS)]),
            alpha=0.75, edgecolor="white", linewidth=0.8, zorder=3,
        )  # fmt: skip
    legend = axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=8, labelspacing=0.8)
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([60])


def _draw_roofs(axes: Axes, dots: list[_Dot], peak: float, slope: float) -> None:
    """The slanted bandwidth roof up to the ridge, then the flat one of the array."""
    ridge = peak / slope
    low = min([ridge, *(dot.intensity for dot in dots)]) / 3
    high = max([ridge, *(dot.intensity for dot in dots)]) * 4
    axes.plot([ridge, high], [peak, peak], color="0.2", linewidth=1.4, label=f"array, {significant(peak)} MAC/cycle")
    dram = f"DRAM, {significant(slope, 3)} byte/cycle;\nmeets it at {significant(ridge, 3)} MAC/byte"
    axes.plot([low, ridge], [low * slope, peak], color="0.2", linewidth=1.4, linestyle="--", label=dram)
    axes.set_xlim(low, high)
    axes.set_ylim(min([low * slope, *(dot.speed for dot in dots)]) / 1.5, peak * 2)
