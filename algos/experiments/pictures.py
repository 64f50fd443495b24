"""Committed result tables as pictures beside them; equal tables give equal bytes with one matplotlib."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from algos.experiments import results
from algos.trained.checkpoint import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Table = Sequence[dict[str, str]]
COLOURS = ("#4c78a8", "#e45756", "#f58518", "#54a24b")
INPUTS = ("q_proj", "gate_proj", "o_proj", "down_proj")


def save(name: str, path: Path) -> None:
    """Draw the committed table of an experiment in `PICTURES` into a PNG file, written whole or not at all."""
    import matplotlib

    data = io.BytesIO()
    with matplotlib.rc_context({
        "font.size": 9.0, "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False
    }):  # fmt: skip
        PICTURES[name](results.read(name)).savefig(data, format="png", dpi=120, metadata={"Software": None})
    write_whole(path, data.getvalue())


def _block_vq(table: Table) -> Figure:
    """Bits per byte against bits per value: calibrated (open) and trained (filled), a colour per method."""
    figure, (axes,) = _panels(1, 1, 6.4, 4.4)
    for method, colour in zip(_distinct(table, "method"), COLOURS, strict=True):
        mine = [row for row in table if row["method"] == method and row["bits_per_byte"]]
        for trained, style in ((False, "o:"), (True, "o-")):
            rows = [row for row in mine if (row["step"] != "0") == trained]
            label = f"{method}, {'trained' if trained else 'calibrated'}"
            x, y = _floats(rows, "bits_per_value"), _floats(rows, "bits_per_byte")
            axes.plot(x, y, style, color=colour, markerfacecolor=colour if trained else "white", label=label)
    plain = float(results.read("block_vq_lm")[0]["bits_per_byte"])
    axes.axhline(plain, color="#808080", linewidth=0.8)
    axes.text(4.1, plain, "uncompressed", va="top", ha="right", color="#808080")
    axes.set_xlabel("bits per value, codebooks, indices and scales counted")
    axes.set_ylabel("bits per byte of held-out text")
    axes.set_yscale("log")
    axes.set_yticks([1.5, 2, 3, 4], ["1.5", "2", "3", "4"])
    axes.minorticks_off()
    axes.legend(frameon=False)
    return figure


def _rotation(table: Table) -> Figure:
    """Per network (down): peaks of the layers' inputs, and bits per byte by width, before and after rotation."""
    networks, rotations = _distinct(table, "network"), _distinct(table, "rotation")
    widths = [width for width in _distinct(table, "width") if width.endswith("per token")]
    figure, panels = _panels(len(networks), 3, 4.0, 3.0)
    for number, network in enumerate(networks):
        peaked, ratio, loss = panels[3 * number : 3 * number + 3]
        mine = [row for row in table if row["network"] == network]
        once = {row["rotation"]: row for row in mine if row["width"] == "FP32"}
        for axes, column in ((peaked, "kurtosis"), (ratio, "max_over_rms")):
            bars = {name: [float(once[name][f"{column}_{layer}"]) for layer in INPUTS] for name in rotations}
            _bars(axes, bars, INPUTS, f"{network}: {column.replace('_', ' ')} of a token's inputs")
        scores = {(row["rotation"], row["width"]): float(row["bits_per_byte"]) for row in mine}
        bars = {name: [scores[name, width] for width in widths] for name in rotations}
        _bars(loss, bars, [width.removesuffix(" per token") for width in widths], f"{network}: bits per byte")
        loss.axhline(scores["none", "FP32"], color="#808080", linewidth=0.8)
    panels[0].legend(frameon=False, title="rotated")
    return figure


def _cache(table: Table) -> Figure:
    """Bits per byte by the cache's width, everything else uncompressed, before and after rotation."""
    figure, panels = _panels(1, 2, 4.4, 3.4)
    for axes, network in zip(panels, _distinct(table, "network"), strict=True):
        mine = [row for row in table if row["network"] == network and row["width"] == "FP32"]
        widths = _distinct(mine, "cache")
        bars = {
            rotation: [float(row["bits_per_byte"]) for row in mine if row["rotation"] == rotation]
            for rotation in _distinct(mine, "rotation")
        }
        _bars(axes, bars, widths, f"{network}: bits per byte")
        axes.axhline(float(mine[0]["bits_per_byte"]), color="#808080", linewidth=0.8)
    panels[0].legend(frameon=False, title="rotated")
    return figure


PICTURES: dict[str, Callable[[Table], Figure]] = {
    "block_vq_qat_lm": _block_vq,
    "rotation_lm": _rotation,
    "rotation_kv_lm": _cache,
}


def _panels(rows: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _bars(axes: Axes, heights: dict[str, list[float]], names: Sequence[str], title: str) -> None:
    """A group of bars per name, one of each kind in it, on a logarithmic axis."""
    width = 0.8 / len(heights)
    for number, ((kind, values), colour) in enumerate(zip(heights.items(), COLOURS, strict=False)):
        places = [at + (number - (len(heights) - 1) / 2) * width for at in range(len(names))]
        axes.bar(places, values, width, color=colour, label=kind)
    axes.set_xticks(range(len(names)), names)
    axes.set_yscale("log")
    axes.set_title(title)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}" if max(map(max, heights.values())) < 10 else "")


def _distinct(table: Table, column: str) -> list[str]:
    return list(dict.fromkeys(row[column] for row in table))


def _floats(rows: Table, column: str) -> list[float]:
    return [float(row[column]) for row in rows]
