"""A sweep as one figure: stacked energy bars over the first swept key, a panel for all the rest.

Rows of panels are workloads and share an energy axis; columns are the values of the other keys. Plain
colour is energy on the chip, hatched is DRAM. A point without costs is a cross with its reason.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.errors import user_error
from accelsim.report.picture import save_picture
from accelsim.report.plot import COLOURS, OTHERS
from accelsim.report.terminal import ENERGY_UNITS, OPERANDS, significant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PANELS = 48
MAX_BARS = 64
COLUMNS = 4
REASON_CHARS = 42
HAIRLINE = 0.002
OPERAND_END = "_operand_energy_pj"
DRAM_END = "_operand_dram_energy_pj"
STYLE = {
    "svg.hashsalt": "accelsim", "font.size": 9.0, "axes.titlesize": 9.5, "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "hatch.linewidth": 0.6,
}  # fmt: skip


@dataclass(frozen=True)
class Bar:
    """One point: energy on chip and in DRAM by operand, or the reason why there is none."""

    label: str
    on_chip_pj: dict[str, float]
    dram_pj: dict[str, float]
    reason: str

    @property
    def total_pj(self) -> float:
        return math.fsum((*self.on_chip_pj.values(), *self.dram_pj.values()))


@dataclass(frozen=True)
class Panel:
    """The bars of one workload and one value of every key but the first."""

    workload: str
    title: str
    bars: tuple[Bar, ...]


def check_panels(workloads: int, values: Sequence[int]) -> None:
    """Raises UserError when a sweep (the number of its workloads, and of each key's values) is too large to draw."""
    bars, panels = (values[0] if values else 1), workloads * math.prod(values[1:])
    if panels > MAX_PANELS or bars > MAX_BARS:
        found = f"{panels} panels of {bars} bars do not fit in a picture"
        fix = f"sweep fewer values (at most {MAX_PANELS} panels, {MAX_BARS} bars: the first key), or draw none"
        raise user_error("sweep", "plot", found, fix)


def save_sweep_plot(table: pd.DataFrame, path: str | Path) -> None:
    """Draw what `accelsim.sweep` returned into a `.png`, `.svg` or `.pdf`, written whole or not at all.

    Equal tables give equal bytes. Raises UserError for another suffix, an unwritable place, or a
    sweep that is too large for one picture.
    """
    save_picture(lambda: draw_sweep(table), path, STYLE)


def short_keys(keys: Sequence[str]) -> list[str]:
    """Keys by their last two parts, `psum.bits`; whole where that would be ambiguous."""
    short = [".".join(key.split(".")[1:][-2:]) for key in keys]
    return [word if times == 1 else key for key, word in zip(keys, short, strict=True)
            if (times := Counter(short)[word])]  # fmt: skip


def panels_of(table: pd.DataFrame) -> list[Panel]:
    """The rows as bars in panels, in the table's order."""
    keys = [name for name in table.columns if name.startswith(("arch.", "workload."))]
    words = short_keys(keys)
    operands = [name.removesuffix(OPERAND_END) for name in table.columns if name.endswith(OPERAND_END)]
    grouped: dict[tuple[str, str], list[Bar]] = {}
    for row in table.to_dict("records"):
        rest = "\n".join(f"{word} = {_plain(row[key])}" for word, key in zip(words[1:], keys[1:], strict=True))
        ok = row["status"] == "ok"
        dram = {name: float(row[name + DRAM_END]) for name in operands} if ok else {}
        chip = {name: float(row[name + OPERAND_END]) - pj for name, pj in dram.items()}
        label = _plain(row[keys[0]]) if keys else ""
        grouped.setdefault((row["workload"], rest), []).append(Bar(label, chip, dram, row["reason"]))
    return [Panel(workload, rest, tuple(bars)) for (workload, rest), bars in grouped.items()]


def draw_sweep(table: pd.DataFrame) -> Figure:
    """The figure itself, for a notebook."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    panels = panels_of(table)
    workloads = list(dict.fromkeys(panel.workload for panel in panels))
    each = len(panels) // len(workloads)
    bars = max(len(panel.bars) for panel in panels)
    check_panels(len(workloads), [bars, each])
    columns = min(each if each > 1 else len(workloads), COLUMNS)
    lines = math.ceil(each / columns) * len(workloads) if each > 1 else math.ceil(len(workloads) / columns)
    size = (max(6.5, columns * max(2.6, 0.42 * bars) + 0.9), 2.7 * lines + 1.1)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
    grid = figure.subplots(lines, columns, squeeze=False)
    free = [axes for line in grid for axes in line]
    keys = short_keys([name for name in table.columns if name.startswith(("arch.", "workload."))])
    for workload in workloads:
        mine = [panel for panel in panels if panel.workload == workload]
        _draw_workload(free, mine, columns if each > 1 else 1, keys[0] if keys else "")
    for axes in free:
        axes.set_axis_off()
    figure.suptitle(f"{table['arch'].iloc[0]}: energy by operand", fontsize=12, x=0.012, ha="left", weight="bold")
    _legend(figure, [name for name in _operands(panels) if _shows(name, panels)])
    return figure


def _draw_workload(free: list[Axes], panels: list[Panel], columns: int, key: str) -> None:
    """Draw one workload's panels into the next free axes, all to one scale; whole lines are used up."""
    top = max(bar.total_pj for panel in panels for bar in panel.bars)
    size, unit = next((step for step in ENERGY_UNITS if top >= step[0]), ENERGY_UNITS[-1])
    order = _operands(panels)
    for number, panel in enumerate(panels):
        axes = free.pop(0)
        _draw_panel(axes, panel, order, size, top / size or 1.0)
        axes.set_title(panel.title, color="0.25")
        axes.set_xlabel(key)
        if number % columns == 0:
            axes.set_ylabel(f"{panel.workload}\nenergy ({unit})")
        else:
            axes.tick_params(labelleft=False)
    for _ in range(-len(panels) % columns):
        free.pop(0).set_axis_off()


def _draw_panel(axes: Axes, panel: Panel, operands: list[str], size: float, top: float) -> None:
    places = range(len(panel.bars))
    base = [0.0] * len(panel.bars)
    for hatch in ("", "/////"):
        for name in operands:
            parts = [(bar.dram_pj if hatch else bar.on_chip_pj).get(name, 0.0) / size for bar in panel.bars]
            axes.bar(places, parts, 0.78, bottom=base, color=_colour(name), hatch=hatch, edgecolor="white", linewidth=0)
            base = [start + part for start, part in zip(base, parts, strict=True)]
    for place, bar in enumerate(panel.bars):
        if bar.reason:
            axes.plot([place], [0.035 * top], marker="x", color="#c0392b", markersize=6, markeredgewidth=1.6)
            text = _shortened(bar.reason)
            axes.annotate(text, (place, 0.035 * top), xytext=(0, 7), textcoords="offset points", rotation=90,
                          ha="center", va="bottom", fontsize=6.5, color="0.35")  # fmt: skip
        else:
            axes.annotate(significant(base[place], 3), (place, base[place]), xytext=(0, 2),
                          textcoords="offset points", ha="center", va="bottom", fontsize=7, color="0.3")  # fmt: skip
    axes.set_xticks(list(places), [bar.label.replace("_", "\n") for bar in panel.bars])
    axes.set_xlim(-0.6, len(panel.bars) - 0.4)
    axes.set_ylim(0, 1.13 * top)
    axes.grid(axis="y", color="0.9")


def _legend(figure: Figure, operands: list[str]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=_colour(name), label=name) for name in operands]
    handles.append(Patch(facecolor="0.6", edgecolor="white", hatch="/////", linewidth=0, label="hatched: in DRAM"))
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), frameon=False, fontsize=8,
                  columnspacing=1.2, handlelength=1.2, handletextpad=0.4)  # fmt: skip


def _operands(panels: Sequence[Panel]) -> list[str]:
    """Operands that carry energy, in the order of reports."""
    found = {name for panel in panels for bar in panel.bars for name, pj in bar.on_chip_pj.items()
             if pj + bar.dram_pj[name] > 0}  # fmt: skip
    return [name for name in OPERANDS if name in found] + sorted(found - set(OPERANDS))


def _shows(operand: str, panels: Sequence[Panel]) -> bool:
    """Whether an operand is more than a hairline in some bar."""
    return any(
        bar.on_chip_pj.get(operand, 0.0) + bar.dram_pj.get(operand, 0.0) > HAIRLINE * bar.total_pj
        for panel in panels
        for bar in panel.bars
    )


def _colour(operand: str) -> str:
    return COLOURS.get(operand, OTHERS[len(operand) % len(OTHERS)])


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shortened(reason: str) -> str:
    """What a reason found, without where and how to mend it, cut to what fits beside an axis."""
    text = reason.partition(" (fix:")[0].partition(": ")[2] or reason
    return text if len(text) <= REASON_CHARS else text[: REASON_CHARS - 1] + "…"
