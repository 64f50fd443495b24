"""A timeline as a Gantt chart: a row per queue, draft above verify in another colour where both are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.report.picture import save_picture
from accelsim.report.trace_events import Span

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FS_PER_MS = 10**12
COLOURS = {"verify": "#3b6ea5", "draft": "#e08a2e", "prefill": "#7a7a7a"}
SIZE_INCHES = (9.0, 2.8)
NARROWEST = 1 / 4000
"""Shorter than this share of the whole, neighbours of one owner are drawn as one bar."""


def save_gantt(title: str, tracks: Sequence[str], spans: Sequence[Span], path: Path) -> None:
    """Write the chart (.png, .svg or .pdf), whole or not at all."""

    def draw() -> Figure:
        from matplotlib.figure import Figure

        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        draw_gantt(figure.subplots(), title, tracks, spans)
        return figure

    save_picture(draw, path)


def draw_gantt(axes: Axes, title: str, tracks: Sequence[str], spans: Sequence[Span]) -> None:
    """The chart on axes of the caller's own."""
    end = max((span.end_fs for span in spans), default=1)
    owners = [owner for owner in COLOURS if any(span.owner == owner for span in spans)]
    height = 0.8 / max(1, len(owners))
    for row, track in enumerate(tracks):
        for lane, owner in enumerate(reversed(owners)):
            colour, top = COLOURS[owner], row - 0.4 + lane * height
            mine = [span for span in spans if span.track == track and span.owner == owner]
            bars = [(start / FS_PER_MS, (stop - start) / FS_PER_MS) for start, stop in _bars(mine, end * NARROWEST)]
            if bars:
                label = owner if owner not in axes.get_legend_handles_labels()[1] else None
                axes.broken_barh(bars, (top, height), facecolors=colour, label=label)
    axes.set_yticks(range(len(tracks)), tracks)
    axes.set_ylim(len(tracks) - 0.5, -0.5)
    axes.set_xlim(0, end / FS_PER_MS)
    axes.set_xlabel("time (ms)")
    axes.set_title(title, fontsize=9)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="upper right", fontsize=7, ncols=3)


def _bars(spans: Sequence[Span], narrowest: float) -> list[tuple[int, int]]:
    """Start and end of each span, those closer than `narrowest` joined."""
    bars: list[tuple[int, int]] = []
    for span in sorted(spans, key=lambda span: span.start_fs):
        if bars and span.start_fs - bars[-1][1] <= narrowest:
            bars[-1] = (bars[-1][0], max(bars[-1][1], span.end_fs))
        elif span.end_fs > span.start_fs:
            bars.append((span.start_fs, span.end_fs))
    return bars
