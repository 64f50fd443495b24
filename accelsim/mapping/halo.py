"""The input tiles of a conv, whose pixel and tap chunks overlap, counted once and remembered.

Placing storage asks for the same chunkings of the same conv again and again, and so do the points of
a sweep; what a chunking holds depends on the conv and the chunk steps alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from accelsim.mapping.im2col import distinct_inputs
from accelsim.mapping.nest import ChunkClass, Loop, chunks
from accelsim.mapping.problem import Problem
from accelsim.workload.trace import ConvDims

Steps = tuple[int, ...]


def halo_dims(problem: Problem) -> tuple[str, str] | None:
    """The two dims whose chunks meet in overlapping input elements, for a conv."""
    return (problem.row, problem.reduction[0]) if problem.conv else None


def halo_table(problem: Problem, loops: Sequence[Loop]) -> NDArray[np.int64]:
    """Distinct input elements of each (pixel chunk, reduction chunk), one channel when c is a dim."""
    return _table(*_chunking(problem, loops))


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


@lru_cache(maxsize=8)
def _table(conv: ConvDims, rows: int, reds: int, row_steps: Steps, red_steps: Steps) -> NDArray[np.int64]:
    row = chunks(rows, "row", [Loop("row", step) for step in row_steps])
    red = chunks(reds, "red", [Loop("red", step) for step in red_steps])
    table = distinct_inputs(conv, row.start, row.extent, red.start, red.extent)
    table.setflags(write=False)
    return table


@lru_cache(maxsize=4096)
def _classes(
    conv: ConvDims, rows: int, reds: int, row_steps: Steps, red_steps: Steps
) -> tuple[tuple[int, int, int, int], ...]:
    """(elements, row cut, reduction cut, pairs); a cut counts the dim's own loops, -1 for none."""
    values = _table(conv, rows, reds, row_steps, red_steps)
    row_cut = chunks(rows, "row", [Loop("row", step) for step in row_steps]).cut + 1
    red_cut = chunks(reds, "red", [Loop("red", step) for step in red_steps]).cut + 1
    rows_in, reds_in = len(row_steps) + 1, len(red_steps) + 1
    code = (values * rows_in + row_cut[:, None]) * reds_in + red_cut[None, :]
    codes, counts = np.unique(code, return_counts=True)
    return tuple(
        (int(one // reds_in // rows_in), int(one // reds_in % rows_in) - 1, int(one % reds_in) - 1, int(count))
        for one, count in zip(codes, counts, strict=True)
    )
