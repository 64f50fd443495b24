"""The input tiles of a conv, whose output and tap chunks overlap, counted once and remembered.

Output and tap dims that overlap come in pairs: (pixels, taps) of a flattened conv, (p, r) and (q, s)
of a nested one, whose tiles are the product of the two. Placing storage asks for the same chunkings
of the same conv again and again, and so do the points of a sweep; what a chunking holds depends on
the conv and the chunk steps alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from accelsim.mapping.arrays import distinct_rows
from accelsim.mapping.im2col import Ints, distinct_inputs
from accelsim.mapping.nest import ChunkClass, Chunks, Loop, chunks
from accelsim.mapping.problem import Problem
from accelsim.mapping.window import Axis, axis_of, distinct_positions, most_positions
from accelsim.workload.trace import ConvDims

Steps = tuple[int, ...]
Pair = tuple[str, str]
Widths = tuple[int, int]
Window = ConvDims | Axis
"""What a pair's dims walk: the flattened pixels and taps of a conv, or one axis of it."""

NESTED_PAIRS: tuple[Pair, ...] = (("p", "r"), ("q", "s"))


def halo_pairs(problem: Problem) -> tuple[Pair, ...]:
    """The pairs of dims whose chunks meet in overlapping input elements; none for a matmul."""
    if problem.conv is None:
        return ()
    return NESTED_PAIRS if problem.nested else ((problem.row, problem.reduction[0]),)


def halo_dims(problem: Problem) -> tuple[str, ...]:
    """The dims of all pairs."""
    return tuple(dim for pair in halo_pairs(problem) for dim in pair)


def halo_values(problem: Problem, pair: Pair, loops: Sequence[Loop], row: Ints, red: Ints) -> Ints:
    """Distinct inputs along the pair's dims of the tiles that begin at outputs `row` and taps `red`.

    Elements of one channel where c is a dim of its own, positions of one axis for a nested conv. All
    arrays have one shape.
    """
    window, rows, reds, row_steps, red_steps = _chunking(problem, pair, loops)
    row_kind, red_kind, values = _table(window, rows, reds, row_steps, red_steps)
    row_starts, red_starts = _chunks(rows, row_steps).start, _chunks(reds, red_steps).start
    found: Ints = values[row_kind[np.searchsorted(row_starts, row)], red_kind[np.searchsorted(red_starts, red)]]
    return found


def halo_classes(
    problem: Problem, pair: Pair, loops: Sequence[Loop], widths: Widths = (1, 1)
) -> tuple[ChunkClass, ...]:
    """The pairs of chunks grouped by distinct elements and cut, as `chunk_classes` does for one dim.

    With `widths`, a nested conv's chunks are dealt out to PEs, and an element counts for each that needs it.
    """
    positions = [[i for i, loop in enumerate(loops) if loop.dim == dim] for dim in pair]
    classes = []
    for values, row_cut, red_cut, count in _classes(*_chunking(problem, pair, loops), widths):
        row, red = (own[cut] if cut >= 0 else -1 for own, cut in zip(positions, (row_cut, red_cut), strict=True))
        classes.append(ChunkClass(values, max(row, red), count))
    return tuple(classes)


def largest_halo(problem: Problem, pair: Pair, loops: Sequence[Loop], widths: Widths) -> int:
    """Most distinct positions along the pair's dims that one PE sees of a chunk dealt out to `widths` PEs."""
    window, rows, reds, row_steps, red_steps = _chunking(problem, pair, loops)
    if not isinstance(window, Axis):
        raise ValueError("the chunks of flattened pixels and taps are not dealt out")
    return _largest(window, rows, reds, row_steps, red_steps, widths)


@lru_cache(maxsize=4096)
def _largest(window: Axis, rows: int, reds: int, row_steps: Steps, red_steps: Steps, widths: Widths) -> int:
    row, red = _chunks(rows, row_steps), _chunks(reds, red_steps)
    return most_positions(window, row.start, row.extent, red.start, red.extent, widths)


def chunk_pairs(
    problem: Problem, pair: Pair, row_steps: Steps, red_steps: Steps
) -> tuple[tuple[int, int, int, int], ...]:
    """(elements, row cut, reduction cut, pairs) of chunks by these steps; a cut counts the dim's own loops, -1 none."""
    window = _window(problem, pair)
    return _classes(window, problem.extent(pair[0]), problem.extent(pair[1]), row_steps, red_steps, (1, 1))


def _chunking(problem: Problem, pair: Pair, loops: Sequence[Loop]) -> tuple[Window, int, int, Steps, Steps]:
    row_steps, red_steps = (tuple(loop.step for loop in loops if loop.dim == dim) for dim in pair)
    return _window(problem, pair), problem.extent(pair[0]), problem.extent(pair[1]), row_steps, red_steps


def _window(problem: Problem, pair: Pair) -> Window:
    if problem.conv is None:
        raise ValueError("only a conv has a halo")
    if problem.nested:
        return axis_of(problem.conv, NESTED_PAIRS.index(pair))
    return problem.conv if len(problem.reduction) == 1 else dataclasses.replace(problem.conv, c=1)


def _chunks(extent: int, steps: Steps) -> Chunks:
    return chunks(extent, "", [Loop("", step) for step in steps])


@lru_cache(maxsize=8)
def _table(
    window: Window, rows: int, reds: int, row_steps: Steps, red_steps: Steps, widths: Widths = (1, 1)
) -> tuple[Ints, Ints, Ints]:
    row, red = _chunks(rows, row_steps), _chunks(reds, red_steps)
    if isinstance(window, Axis):
        return distinct_positions(window, row.start, row.extent, red.start, red.extent, widths)
    return distinct_inputs(window, row.start, row.extent, red.start, red.extent)


@lru_cache(maxsize=4096)
def _classes(
    window: Window, rows: int, reds: int, row_steps: Steps, red_steps: Steps, widths: Widths
) -> tuple[tuple[int, int, int, int], ...]:
    """(elements, row cut, reduction cut, pairs); a cut counts the dim's own loops, -1 for none."""
    if isinstance(window, ConvDims) and window.n > 1 and row_steps:
        image = window.p * window.q
        if all(image % step == 0 for step in row_steps):
            # Images alike: one stands for all, and the outermost row loop walks them, so it always splits.
            one = _classes(dataclasses.replace(window, n=1), image, reds, row_steps, red_steps, widths)
            return tuple(
                (values, max(row_cut, 0), red_cut, window.n * pairs) for values, row_cut, red_cut, pairs in one
            )
    row_kind, red_kind, values = _table(window, rows, reds, row_steps, red_steps, widths)
    merged: dict[tuple[int, int, int], int] = {}
    for (row, row_cut), row_count in _grouped(row_kind, _chunks(rows, row_steps).cut).items():
        for (red, red_cut), red_count in _grouped(red_kind, _chunks(reds, red_steps).cut).items():
            key = (int(values[row, red]), row_cut, red_cut)
            merged[key] = merged.get(key, 0) + row_count * red_count
    return tuple((*key, count) for key, count in sorted(merged.items()))


def _grouped(kind: Ints, cut: Ints) -> dict[tuple[int, int], int]:
    firsts, which = distinct_rows([kind, cut])
    counts = np.bincount(which, minlength=firsts.size)
    return {(int(kind[i]), int(cut[i])): int(count) for i, count in zip(firsts, counts, strict=True)}
