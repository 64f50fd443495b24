"""The input tiles of a conv, whose pixel and tap chunks overlap, counted once and remembered.

Placing storage asks for the same chunkings of the same conv again and again, and so do the points of
a sweep; what a chunking holds depends on the conv and the chunk steps alone.
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
from accelsim.workload.trace import ConvDims

Steps = tuple[int, ...]


def halo_dims(problem: Problem) -> tuple[str, str] | None:
    """The two dims whose chunks meet in overlapping input elements, for a conv."""
    return (problem.row, problem.reduction[0]) if problem.conv else None


def halo_values(problem: Problem, loops: Sequence[Loop], row: Ints, red: Ints) -> Ints:
    """Distinct input elements of the tiles that begin at pixels `row` and reduction indices `red`.

    One channel when c is a dim of its own. All arrays have one shape.
    """
    conv, rows, reds, row_steps, red_steps = _chunking(problem, loops)
    row_kind, red_kind, values = _table(conv, rows, reds, row_steps, red_steps)
    row_starts, red_starts = _chunks(rows, row_steps).start, _chunks(reds, red_steps).start
    found: Ints = values[row_kind[np.searchsorted(row_starts, row)], red_kind[np.searchsorted(red_starts, red)]]
    return found


def halo_classes(problem: Problem, loops: Sequence[Loop]) -> tuple[ChunkClass, ...]:
    """The pairs of chunks grouped by distinct elements and cut, as `chunk_classes` does for one dim."""
    positions = [[i for i, loop in enumerate(loops) if loop.dim == dim] for dim in halo_dims(problem) or ()]
    classes = []
    for values, row_cut, red_cut, count in _classes(*_chunking(problem, loops)):
        row, red = (own[cut] if cut >= 0 else -1 for own, cut in zip(positions, (row_cut, red_cut), strict=True))
        classes.append(ChunkClass(values, max(row, red), count))
    return tuple(classes)


def _chunking(problem: Problem, loops: Sequence[Loop]) -> tuple[ConvDims, int, int, Steps, Steps]:
    if problem.conv is None:
        raise ValueError("only a conv has a halo")
    conv = problem.conv if len(problem.reduction) == 1 else dataclasses.replace(problem.conv, c=1)
    row, red = problem.row, problem.reduction[0]
    row_steps, red_steps = (tuple(loop.step for loop in loops if loop.dim == dim) for dim in (row, red))
    return conv, problem.extent(row), problem.extent(red), row_steps, red_steps


def _chunks(extent: int, steps: Steps) -> Chunks:
    return chunks(extent, "", [Loop("", step) for step in steps])


@lru_cache(maxsize=8)
def _table(conv: ConvDims, rows: int, reds: int, row_steps: Steps, red_steps: Steps) -> tuple[Ints, Ints, Ints]:
    row, red = _chunks(rows, row_steps), _chunks(reds, red_steps)
    return distinct_inputs(conv, row.start, row.extent, red.start, red.extent)


@lru_cache(maxsize=4096)
def _classes(
    conv: ConvDims, rows: int, reds: int, row_steps: Steps, red_steps: Steps
) -> tuple[tuple[int, int, int, int], ...]:
    """(elements, row cut, reduction cut, pairs); a cut counts the dim's own loops, -1 for none."""
    image = conv.p * conv.q
    if conv.n > 1 and row_steps and all(image % step == 0 for step in row_steps):
        # Images alike: one stands for all, and the outermost row loop walks them, so it always splits.
        alone = _classes(dataclasses.replace(conv, n=1), image, reds, row_steps, red_steps)
        return tuple((values, max(row_cut, 0), red_cut, conv.n * pairs) for values, row_cut, red_cut, pairs in alone)
    row_kind, red_kind, values = _table(conv, rows, reds, row_steps, red_steps)
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
