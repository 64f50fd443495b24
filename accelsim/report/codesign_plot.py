"""A co-design as one figure: score against energy, the references and the Pareto front on it.

A shape per accelerator, a colour per value of the first recipe key; the front's points carry their
settings. A reference says in the legend what widths it is charged for.
"""

from __future__ import annotations

import io
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.errors import user_error
from accelsim.report.files import write_whole
from accelsim.report.plot import METADATA
from accelsim.report.sweep_plot import STYLE, short_keys
from accelsim.report.terminal import ENERGY_UNITS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Metric:
    """A score that models are judged by: what an axis calls it, and which end of it is better."""

    label: str
    more_is_better: bool


METRICS = {
    "bits_per_byte": Metric("bits per byte", False),
    "accuracy_pct": Metric("accuracy (%)", True),
    "spearman": Metric("Spearman correlation (1)", True),
}
MARKERS = "osD^vPX*<>"
HUES = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#b279a2", "#9d755d", "#72b7b2", "#eeca3b", "#d67195", "#4d4d4d")
REFERENCES = {"fp32": "none", "w8a8_psum_int32": "#4d4d4d"}
SIZES = {"fp32": 12, "w8a8_psum_int32": 8}
"""A ring around the point that has the same energy."""
LOG_FROM = 2.0
"""Scores this many times apart, of which less is better, are drawn to a logarithmic scale."""


def metric_of(table: pd.DataFrame) -> str:
    """The score that the points are judged by."""
    return next(name for name in table.columns if name in METRICS)


def about(table: pd.DataFrame) -> str:
    """What was simulated and where the scores come from, in one sentence each."""
    first = table.iloc[0]
    size = (
        f"{first['batch']} x {first['sequence']} tokens"
        if first["sequence"] is not None
        else f"a batch of {first['batch']}"
    )
    tables = sorted({name for name in table["scores"] if name not in ("", "measured")})
    source = f"read from {', '.join(tables)}" if tables else f"measured on {first['score_rows']} held-out rows"
    return f"simulated: one forward pass of {size}. scores: {source}."


def short_words(keys: Sequence[str]) -> list[str]:
    """Keys by their last part, `bits`, where that is clear; else by their last two."""
    last = [key.rpartition(".")[2] for key in keys]
    return last if len(set(last)) == len(last) else short_keys(keys)


def check_markers(over: Mapping[str, Sequence[object]]) -> None:
    """Raises UserError when there are more accelerators, or values of the first recipe key, than can be told apart."""
    arch = math.prod(len(values) for key, values in over.items() if key.startswith("arch."))
    hues = next((len(values) for key, values in over.items() if key.startswith("recipe.")), 1)
    if arch > len(MARKERS) or hues > len(HUES):
        found = f"{arch} accelerators and {hues} values of the first recipe key do not fit in a picture"
        fix = f"give fewer (at most {len(MARKERS)} and {len(HUES)}), or draw none"
        raise user_error("codesign", "plot", found, fix)


def save_codesign_plot(table: pd.DataFrame, path: str | Path) -> None:
    """Draw what `codesign` returned into a `.png`, `.svg` or `.pdf`, written whole or not at all.

    Equal tables give equal bytes. Raises UserError for another suffix, an unwritable place, or more
    points than can be told apart.
    """
    path = Path(path)
    if path.suffix not in METADATA:
        raise user_error(str(path), "output", f"cannot write {path.suffix or 'a file without suffix'}",
                         f"use {' or '.join(METADATA)}")  # fmt: skip
    import matplotlib

    data = io.BytesIO()
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        draw_codesign(table).savefig(data, format=path.suffix[1:], dpi=150, metadata=METADATA[path.suffix])
    write_whole(path, data.getvalue())


def draw_codesign(table: pd.DataFrame) -> Figure:
    """The figure itself, for a notebook."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(8.4, 5.2), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
    title = f"{table['model'].iloc[0]} on {table['arch'].iloc[0]}"
    figure.suptitle(title, fontsize=12, x=0.012, ha="left", weight="bold")
    axes = figure.subplots()
    axes.set_title(about(table), color="0.35", fontsize=8)
    draw_points(axes, table)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure


def draw_points(axes: Axes, table: pd.DataFrame) -> None:
    """The points of a table, with labels for a legend, and its front as a line."""
    keys = [name for name in table.columns if name.startswith("recipe.")]
    arch_keys = [name for name in table.columns if name.startswith("arch.")]
    check_markers({name: list(table[name].dropna().unique()) for name in keys + arch_keys})
    metric = metric_of(table)
    ran = table[(table["status"] == "ok") & table[metric].notna()]
    size, unit = _unit(ran)
    markers = _markers(table, arch_keys)
    hues = dict(zip(table[keys[0]].dropna().unique() if keys else [], HUES, strict=False))
    for row in ran.to_dict("records"):
        shape = markers[_arch_text(row, arch_keys)]
        reference = REFERENCES.get(row["scheme"]) if row["recipe"] == "" else None
        colour = reference or (hues[row[keys[0]]] if keys else HUES[0])
        edge = "0.2" if reference else "white"
        axes.plot(row["energy_pj"] / size, row[metric], marker=shape, color=colour, markeredgecolor=edge,
                  markersize=SIZES[row["scheme"]] if reference else 7, linestyle="none", zorder=3)  # fmt: skip
    front = ran[ran["pareto_front"]].sort_values("energy_pj", kind="stable")
    axes.plot(front["energy_pj"] / size, front[metric], color="0.6", linewidth=1.2, zorder=1, label="Pareto front")
    for row in front.to_dict("records"):
        text = " ".join(
            f"{word}={row[key]}" for key, word in zip(keys, short_words(keys), strict=True) if row[key] is not None
        )
        axes.annotate(text, (row["energy_pj"] / size, row[metric]), xytext=(6, 5), textcoords="offset points",
                      fontsize=7, color="0.3")  # fmt: skip
    _label(axes, table, hues, markers)
    _scale(axes, ran[metric].tolist(), metric)
    axes.set_xlabel(f"energy ({unit})")
    direction = "more" if METRICS[metric].more_is_better else "less"
    axes.set_ylabel(f"{METRICS[metric].label}, {direction} is better")
    axes.grid(color="0.92")


def _label(axes: Axes, table: pd.DataFrame, hues: Mapping[object, str], markers: Mapping[str, str]) -> None:
    """Legend entries: references with what they are charged for, colours, shapes."""
    for scheme, face in REFERENCES.items():
        charged = [
            text for text in table.loc[(table["scheme"] == scheme) & (table["recipe"] == ""), "charged_as"] if text
        ]
        label = f"{scheme},\ncharged as {' or '.join(dict.fromkeys(charged)) or 'nothing'}"
        axes.plot([], [], "o", color=face, markeredgecolor="0.2", markersize=SIZES[scheme], linestyle="none",
                  label=label)  # fmt: skip
    keys = [name for name in table.columns if name.startswith("recipe.")]
    for value, hue in hues.items():
        axes.plot([], [], "o", color=hue, label=f"{short_words(keys)[0]} = {value}")
    if len(markers) > 1:
        for text, shape in markers.items():
            axes.plot([], [], shape, color="none", markeredgecolor="0.2", label=text.replace("_", " "))


def _markers(table: pd.DataFrame, arch_keys: Sequence[str]) -> dict[str, str]:
    """The shape of every accelerator, by its settings in words."""
    texts = dict.fromkeys(_arch_text(row, arch_keys) for row in table.to_dict("records"))
    return dict(zip(texts, MARKERS, strict=False))


def _arch_text(row: Mapping[Hashable, object], arch_keys: Sequence[str]) -> str:
    return ", ".join(str(row[key]) for key in arch_keys)


def _unit(ran: pd.DataFrame) -> tuple[float, str]:
    top = ran["energy_pj"].max() if len(ran) else 1.0
    return next((step for step in ENERGY_UNITS if top >= step[0]), ENERGY_UNITS[-1])


def _scale(axes: Axes, scores: list[float], metric: str) -> None:
    """A logarithmic axis with plain numbers for far-apart losses."""
    if METRICS[metric].more_is_better or not scores or max(scores) < LOG_FROM * min(scores):
        return
    from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter

    axes.set_yscale("log")
    low, high = min(scores), max(scores)
    ticks = [number / 4 for number in range(1, 200) if low <= number / 4 <= high * 1.1]
    kept = [tick for tick in ticks if tick < 2 or tick == int(tick)] or [low]
    axes.yaxis.set_major_locator(FixedLocator(kept))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
