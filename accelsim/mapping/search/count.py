"""Exact counts of one loop nest at every place where storage could stand.

The same rule as `accelsim.mapping.count`, for all prefixes of the nest at once: what a storage node
below the first p loops is filled with, how often, and in how many words. `accelsim.mapping.traffic`
remains the definition; a test holds the two equal.
"""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np

from accelsim.mapping.search.space import MAX_PER_DIM


@no_type_check
@numba.njit(cache=True, inline="always")
def _ceil(a, b):
    return -(-a // b)


@no_type_check
@numba.njit(cache=True, inline="always")
def words_of(values, per_word):
    """Words that so many values take; `per_word` negative: words per value."""
    if per_word < 0:
        return -per_word * values
    return (values + per_word - 1) // per_word


@no_type_check
@numba.njit(cache=True)
def _chunk_classes(t, d, loop_dim, loop_step, loops, work):
    """Chunks of one dim below 0, 1, 2, ... of its loops (see `nest.chunk_classes`).

    Rows 0, 1, ... of size, cut and count; how many classes and chunks each row has.
    """
    work.size[d, 0, 0], work.cut[d, 0, 0], work.count[d, 0, 0] = t.extents[d], -1, 1
    work.number[d, 0], work.pieces[d, 0] = 1, 1
    row = 0
    for position in range(loops):
        if loop_dim[position] != d:
            continue
        step, kinds, total = loop_step[position], 0, 0
        for i in range(work.number[d, row]):
            full, rest = work.size[d, row, i] // step, work.size[d, row, i] % step
            here = position if full + (1 if rest else 0) > 1 else work.cut[d, row, i]
            if full:
                work.size[d, row + 1, kinds], work.cut[d, row + 1, kinds] = step, here
                work.count[d, row + 1, kinds] = work.count[d, row, i] * full
                total += work.count[d, row + 1, kinds]
                kinds += 1
            if rest:
                work.size[d, row + 1, kinds], work.cut[d, row + 1, kinds] = rest, here
                work.count[d, row + 1, kinds] = work.count[d, row, i]
                total += work.count[d, row + 1, kinds]
                kinds += 1
        row += 1
        work.number[d, row], work.pieces[d, row] = kinds, total


@no_type_check
@numba.njit(cache=True)
def count_nest(t, halo, loop_dim, loop_step, loops, work, out):
    """Fill `out` for the nest `loop_dim`, `loop_step` (loops,); `halo` (pairs,) counts if a conv's tiles overlap."""
    dims = t.dims
    for d in range(dims):
        _chunk_classes(t, d, loop_dim, loop_step, loops, work)
    for p in range(loops + 1):
        out.steps[p] = 1
        for d in range(dims):
            above = out.depth[p - 1, d] if p else 0
            out.depth[p, d] = above + (1 if p and loop_dim[p - 1] == d else 0)
            out.steps[p] *= work.pieces[d, out.depth[p, d]]
    for x in range(3):
        _fill_trips(t, x, loops, work, out)
        for p in range(loops + 1):
            kinds = _tiles(t, halo, x, out, p, loop_dim, loops, work)
            if x < 2:
                _sum_input(t, x, p, kinds, work, out)
            else:
                _sum_output(t, p, kinds, work, out)
    if t.stationary >= 0:
        _sum_folds(t, loop_dim, loops, work, out)
    if t.bias[0] > 0:
        _sum_bias(t, loops, work, out)


@no_type_check
@numba.njit(cache=True)
def _tiles(t, halo, x, out, p, loop_dim, loops, work):
    """The operand's tiles as (values, visits, tiles) in `work`; returns how many kinds there are."""
    kinds = 1
    work.values[0], work.cuts[0], work.tiles[0] = 1, -1, 1
    joint = x == 0 and t.overlaps
    if joint:
        for pair in range(halo.size):
            kinds = _joint(halo[pair], out, p, loop_dim, loops, kinds, work)
    for d in range(t.dims):
        if not t.relevant[x, d] or (joint and _is_joint(halo, d)):
            continue
        row = out.depth[p, d]
        if row == 0:
            for i in range(kinds):
                work.values[i] *= t.extents[d]
            continue
        more = work.number[d, row]
        for j in range(more - 1, -1, -1):  # the first class last: it overwrites what the others read
            for i in range(kinds):
                at = j * kinds + i
                work.values[at] = work.values[i] * work.size[d, row, j]
                work.tiles[at] = work.tiles[i] * work.count[d, row, j]
                work.cuts[at] = max(work.cuts[i], work.cut[d, row, j])
        kinds *= more
    for i in range(kinds):
        work.visits[i] = work.trips[work.cuts[i] + 1]
    return kinds


@no_type_check
@numba.njit(cache=True)
def _is_joint(halo, d):
    found = False
    for pair in range(halo.size):
        found = found or halo[pair].row == d or halo[pair].red == d
    return found


@no_type_check
@numba.njit(cache=True)
def _joint(halo, out, prefix, loop_dim, loops, kinds, work):
    """Multiply the kinds of tiles by those of one pair of dims, whose cuts count each dim's own loops."""
    row_loops = out.depth[prefix, halo.row] if halo.row >= 0 else 0
    red_loops = out.depth[prefix, halo.red] if halo.red >= 0 else 0
    entry = row_loops * MAX_PER_DIM + red_loops
    first, last = halo.first[entry], halo.first[entry + 1]
    for j in range(last - first - 1, -1, -1):  # the first kind last: it overwrites what the others read
        at = first + j
        row, red, seen_row, seen_red = -1, -1, -1, -1
        for p in range(loops):
            if loop_dim[p] == halo.row:
                seen_row += 1
                if seen_row == halo.row_cut[at]:
                    row = p
            if loop_dim[p] == halo.red:
                seen_red += 1
                if seen_red == halo.red_cut[at]:
                    red = p
        cut = max(row, red)
        for i in range(kinds):
            to = j * kinds + i
            work.values[to] = work.values[i] * halo.values[at]
            work.tiles[to] = work.tiles[i] * halo.count[at]
            work.cuts[to] = max(work.cuts[i], cut)
    return kinds * (last - first)


@no_type_check
@numba.njit(cache=True)
def _sum_input(t, x, p, kinds, work, out):
    largest, tiles, burst = np.int64(0), np.int64(0), np.int64(0)
    for i in range(kinds):
        times = work.tiles[i] * work.visits[i]
        largest = max(largest, work.values[i])
        tiles += work.tiles[i]
        burst += times * _ceil(work.values[i] * t.bits[x], t.bits_of[x] * t.burst_bits)
    out.largest[x, p], out.tiles[x, p] = largest, tiles
    out.moved[x, p] = burst * t.burst_bits
    for level in range(t.levels[x]):
        words = np.int64(0)
        for i in range(kinds):
            words += work.tiles[i] * work.visits[i] * words_of(work.values[i], t.per_word[x, level])
        out.words[x, level, p] = words


@no_type_check
@numba.njit(cache=True)
def _sum_output(t, p, kinds, work, out):
    """Psums: every visit but the last; finished values: the last."""
    largest, tiles, most = np.int64(0), np.int64(0), np.int64(0)
    burst, psum_burst, again, stores = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    for i in range(kinds):
        values, number, visits = work.values[i], work.tiles[i], work.visits[i]
        largest, most = max(largest, values), max(most, visits)
        tiles += number
        burst += number * _ceil(values * t.bits[2], t.bits_of[2] * t.burst_bits)
        psum_burst += number * (visits - 1) * _ceil(values * t.bits[3], t.burst_bits)
        again += number * (visits - 1) * values
        if visits > 1:
            stores += number * visits * values
    out.largest[2, p], out.tiles[2, p], out.visits[p] = largest, tiles, most
    out.moved[2, p], out.psum_moved[p] = burst * t.burst_bits, psum_burst * t.burst_bits
    out.again[p], out.stores[p] = again, stores
    for level in range(t.levels[2]):
        words, psums = np.int64(0), np.int64(0)
        for i in range(kinds):
            words += work.tiles[i] * words_of(work.values[i], t.per_word[2, level])
            psums += work.tiles[i] * (work.visits[i] - 1) * words_of(work.values[i], t.psum_per_word[level])
        out.words[2, level, p] = words
        out.psum_words[level, p] = psums


@no_type_check
@numba.njit(cache=True)
def _fill_trips(t, x, loops, work, out):
    """Trips of the loops that the operand does not depend on, by prefix."""
    for p in range(loops + 1):
        trips = np.int64(1)
        for d in range(t.dims):
            if not t.relevant[x, d]:
                trips *= work.pieces[d, out.depth[p, d]]
        work.trips[p] = trips


@no_type_check
@numba.njit(cache=True)
def _sum_folds(t, loop_dim, loops, work, out):
    """Cycles of a systolic array: every fold's skew (and load), and the stream once a piece.

    A fold is one stay of the stationary operand's tile.
    """
    x = t.stationary
    dims = t.dims
    _fill_trips(t, x, loops, work, out)
    kinds = 1
    work.values[0], work.cuts[0], work.tiles[0] = 1, -1, 1
    work.row_size[0], work.col_size[0] = 1, 1
    stream = np.int64(1)
    for d in range(dims):
        row = out.depth[loops, d]
        stream *= work.pieces[d, row] if d == t.row or d == t.column else t.extents[d]
        if not t.relevant[x, d]:
            continue
        more = work.number[d, row]
        for j in range(more - 1, -1, -1):
            for i in range(kinds):
                at = j * kinds + i
                work.tiles[at] = work.tiles[i] * work.count[d, row, j]
                work.cuts[at] = max(work.cuts[i], work.cut[d, row, j])
                work.row_size[at] = work.size[d, row, j] if d == t.row else work.row_size[i]
                work.col_size[at] = work.size[d, row, j] if d == t.column else work.col_size[i]
        kinds *= more
    cycles = stream
    for i in range(kinds):
        folds = work.tiles[i] * work.trips[work.cuts[i] + 1]
        if t.trimmed:
            load = work.row_size[i] if t.load_cycles else 0
            cycles += folds * (load + work.row_size[i] + work.col_size[i] - 2)
        else:
            cycles += folds * (t.load_cycles + t.rows + t.cols - 2)
    out.fold_cycles = cycles


@no_type_check
@numba.njit(cache=True)
def _sum_bias(t, loops, work, out):
    """Words read to start each output tile of the array, which every row chunk does again."""
    kinds, starts = 1, np.int64(1)
    work.values[0], work.tiles[0] = 1, 1
    for d in range(t.dims):
        row = out.depth[loops, d]
        if t.restart[d]:
            starts *= work.pieces[d, row]
        if not t.bias_dims[d]:
            continue
        more = work.number[d, row]
        for j in range(more - 1, -1, -1):
            for i in range(kinds):
                work.values[j * kinds + i] = work.values[i] * work.size[d, row, j]
                work.tiles[j * kinds + i] = work.tiles[i] * work.count[d, row, j]
        kinds *= more
    for level in range(t.levels[1]):
        words = np.int64(0)
        for i in range(kinds):
            words += work.tiles[i] * words_of(work.values[i], t.bias_per_word[level])
        out.bias_reads[level] = starts * words
