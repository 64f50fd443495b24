"""The input tiles of a nested conv for any tile sizes, worked out by the kernels themselves.

Along each axis outputs and taps are chunked apart, and a tile holds the product of what its two chunk
pairs see (`accelsim.mapping.window` is the definition, which a test holds these equal to). Chunks away
from the padding see what their neighbours see, so a table takes as long as one of its edges.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numba
import numpy as np

from accelsim.mapping.halo import NESTED_PAIRS
from accelsim.mapping.problem import Problem
from accelsim.mapping.search.halo_tables import overlaps
from accelsim.mapping.search.space import MAX_PER_DIM, MAX_TILES, Record
from accelsim.mapping.window import axis_of

_I = np.int64
AXIS = np.dtype(
    [(name, _I) for name in ("row", "red", "outputs", "taps", "size", "stride", "padding", "dilation")]
    + [("period", _I), ("shift", _I)]  # taps so far apart see the same positions, so many outputs later
)
"""One axis of a conv; `row` and `red` are its output and tap dims, -1 for one of a single index."""

MAX_KINDS = 512
LISTS = np.dtype([(name, _I, (MAX_KINDS,)) for name in ("start", "extent", "cut", "count")])
"""Chunks of one dim that tell apart."""


def axes_of(problem: Problem, dims: tuple[str, ...]) -> Record:
    """Both axes of a nested conv, none where input tiles do not overlap; `dims` are those with several indices."""
    if problem.conv is None or not overlaps(problem):
        return np.zeros(0, AXIS)
    axes = np.zeros(2, AXIS)
    for number, pair in enumerate(NESTED_PAIRS):
        axis = axis_of(problem.conv, number)
        period = axis.stride // math.gcd(axis.stride, axis.dilation)
        row, red = (dims.index(dim) if dim in dims else -1 for dim in pair)
        axes[number] = (
            row, red, problem.extent(pair[0]), axis.taps, axis.size, axis.stride, axis.padding, axis.dilation,
            period, period * axis.dilation // axis.stride,
        )  # fmt: skip
    return axes


@no_type_check
@numba.njit(cache=True)
def fill_halo(axis, row_steps, rows, red_steps, reds, halo, row_list, red_list):
    """Fill a `HALO` record for loops of these steps; False where it has no room for every kind of tile."""
    halo.row, halo.red = axis.row, axis.red
    used = 0
    for a in range(MAX_PER_DIM):
        kinds = _chunks(axis, axis.outputs, row_steps, a, True, row_list) if a <= rows else 0
        for b in range(MAX_PER_DIM):
            halo.first[a * MAX_PER_DIM + b] = used
            if a > rows or b > reds:
                continue
            taps = _chunks(axis, axis.taps, red_steps, b, False, red_list)
            if kinds < 0 or taps < 0:
                return False
            used = _pair(axis, kinds, taps, used, halo, row_list, red_list)
            if used < 0:
                return False
    halo.first[MAX_PER_DIM * MAX_PER_DIM] = used
    return True


@no_type_check
@numba.njit(cache=True)
def _chunks(axis, indices, steps, loops, are_outputs, found):
    """List the chunks of a dim below `loops` loops, alike ones once; returns how many, -1 for too many."""
    kinds = 0
    place, size = np.zeros(MAX_PER_DIM, np.int64), np.zeros(MAX_PER_DIM, np.int64)
    end, cut = np.zeros(MAX_PER_DIM, np.int64), np.full(MAX_PER_DIM, -1, np.int64)
    size[0], end[0] = indices, indices
    level = 0
    while level >= 0:
        if level < loops:
            step = steps[level]
            cut[level + 1] = level if size[level] > step else cut[level]
            end[level + 1] = place[level] + size[level]
            place[level + 1], size[level + 1] = place[level], min(step, size[level])
            level += 1
            continue
        start = place[level]
        if are_outputs:
            first = start * axis.stride - axis.padding
            last = first + (size[level] - 1) * axis.stride + (axis.taps - 1) * axis.dilation
            if first >= 0 and last < axis.size:
                start = -(-axis.padding // axis.stride)  # as good as any away from the padding
        at = 0
        while at < kinds and not (
            found.start[at] == start and found.extent[at] == size[level] and found.cut[at] == cut[level]
        ):
            at += 1
        if at == kinds:
            if kinds == MAX_KINDS:
                return -1
            found.start[at], found.extent[at], found.cut[at], found.count[at] = start, size[level], cut[level], 0
            kinds += 1
        found.count[at] += 1
        # The next chunk: of this loop, or of the innermost one that has one left.
        while level > 0 and place[level] + steps[level - 1] >= end[level]:
            level -= 1
        if level == 0:
            break
        place[level] += steps[level - 1]
        size[level] = min(steps[level - 1], end[level] - place[level])
    return kinds


@no_type_check
@numba.njit(cache=True)
def _pair(axis, kinds, taps, used, halo, row_list, red_list):
    """Append the kinds of tile of every pair of chunks; returns how many stand there, -1 for too many."""
    first = used
    for i in range(kinds):
        for j in range(taps):
            values = _positions(axis, row_list.start[i], row_list.extent[i], red_list.start[j], red_list.extent[j])
            at = first
            while at < used and not (
                halo.values[at] == values
                and halo.row_cut[at] == row_list.cut[i]
                and halo.red_cut[at] == red_list.cut[j]
            ):
                at += 1
            if at == used:
                if used == MAX_TILES:
                    return -1
                halo.values[at], halo.count[at] = values, 0
                halo.row_cut[at], halo.red_cut[at] = row_list.cut[i], red_list.cut[j]
                used += 1
            halo.count[at] += row_list.count[i] * red_list.count[j]
    return used


@no_type_check
@numba.njit(cache=True)
def _positions(axis, start, extent, tap_start, taps):
    """Distinct positions inside the input of a chunk of outputs under a chunk of taps."""
    values = np.int64(0)
    for tap in range(taps):
        first = start * axis.stride + (tap_start + tap) * axis.dilation - axis.padding
        unseen = max(extent - axis.shift, 0) if tap >= axis.period else 0
        low = max(unseen, -(first // axis.stride))
        high = min(extent - 1, (axis.size - 1 - first) // axis.stride)
        values += max(high - low + 1, 0)
    return values
