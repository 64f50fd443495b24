"""Exact counts of one loop nest at every place where storage could stand.

The same rule as `accelsim.mapping.count`, for all prefixes of the nest at once: what a storage node
below the first p loops is filled with, how often, and in how many words. `accelsim.mapping.traffic`
remains the definition; a test holds the two equal.
"""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np

from accelsim.mapping.search.space import MAX_CLASSES



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
def chunk_classes(extent, dim, loop_dim, loop_step, loops, size, cut, count, number, pieces):
    """Chunks of one dim below 0, 1, 2, ... of its loops (see `nest.chunk_classes`).

    Fills rows of size, cut, count (per_dim, classes), how many classes and chunks each row has, and
    returns how many loops the dim has.
    """
    size[0, 0], cut[0, 0], count[0, 0] = extent, -1, 1
    number[0], pieces[0] = 1, 1
    row = 0
    for position in range(loops):
        if loop_dim[position] != dim:
            continue
        step, kinds, total = loop_step[position], 0, 0
        for i in range(number[row]):
            full, rest = size[row, i] // step, size[row, i] % step
            here = position if full + (1 if rest else 0) > 1 else cut[row, i]
            if full:
                size[row + 1, kinds], cut[row + 1, kinds], count[row + 1, kinds] = step, here, count[row, i] * full
                total += count[row + 1, kinds]
                kinds += 1
            if rest:
                size[row + 1, kinds], cut[row + 1, kinds], count[row + 1, kinds] = rest, here, count[row, i]
                total += count[row + 1, kinds]
                kinds += 1
        row += 1
        number[row], pieces[row] = kinds, total
    return row


@no_type_check
@numba.njit(cache=True)
def count_nest(t, halo, loop_dim, loop_step, loops, work, out):
    """Fill `out` for the nest `loop_dim`, `loop_step` (loops,). `halo` is empty unless a conv's tiles overlap."""
    dims = t.extents.size
    for d in range(dims):
        chunk_classes(
            t.extents[d], d, loop_dim, loop_step, loops,
            work.size[d], work.cut[d], work.count[d], work.number[d], work.pieces[d],
        )  # fmt: skip
    depth = np.zeros(dims, np.int64)
    for p in range(loops + 1):
        if p > 0:
            depth[loop_dim[p - 1]] += 1
        out.steps[p] = 1
        for d in range(dims):
            out.depth[p, d] = depth[d]
            out.steps[p] *= work.pieces[d, depth[d]]
    for x in range(3):
        for p in range(loops + 1):
            trips = np.int64(1)
            for d in range(dims):
                if not t.relevant[x, d]:
                    trips *= work.pieces[d, out.depth[p, d]]
            work.trips[p] = trips
        for p in range(loops + 1):
            kinds = _tiles(t, halo, x, out.depth[p], loop_dim, loops, work)
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
def _tiles(t, halo, x, depth, loop_dim, loops, work):
    """The operand's tiles as (values, visits, tiles) in `work`; returns how many kinds there are."""
    kinds = 1
    work.values[0], work.cuts[0], work.tiles[0] = 1, -1, 1
    joint = x == 0 and halo.row >= 0
    if joint:
        kinds = _joint(halo, depth, loop_dim, loops, work)
    for d in range(t.extents.size):
        if not t.relevant[x, d] or (joint and (d == halo.row or d == halo.red)):
            continue
        row = depth[d]
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
def _joint(halo, depth, loop_dim, loops, work):
    """A conv's (pixel, reduction) tiles; their cuts count each dim's own loops."""
    entry = depth[halo.row] * halo.stride + depth[halo.red]
    first, last = halo.first[entry], halo.first[entry + 1]
    for i in range(first, last):
        row, red, seen_row, seen_red = -1, -1, -1, -1
        for p in range(loops):
            if loop_dim[p] == halo.row:
                seen_row += 1
                if seen_row == halo.row_cut[i]:
                    row = p
            if loop_dim[p] == halo.red:
                seen_red += 1
                if seen_red == halo.red_cut[i]:
                    red = p
        work.values[i - first], work.tiles[i - first] = halo.values[i], halo.count[i]
        work.cuts[i - first] = max(row, red)
    return last - first


@no_type_check
@numba.njit(cache=True)
def _sum_input(t, x, p, kinds, work, out):
    largest, tiles, fetches, burst = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    for i in range(kinds):
        times = work.tiles[i] * work.visits[i]
        largest = max(largest, work.values[i])
        tiles += work.tiles[i]
        fetches += times
        burst += times * _ceil(work.values[i] * t.bits[x], t.burst_bits)
    out.largest[x, p], out.tiles[x, p], out.fetches[x, p] = largest, tiles, fetches
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
    largest, tiles, fetches, most = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    burst, psum_burst, again, stores = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    for i in range(kinds):
        values, number, visits = work.values[i], work.tiles[i], work.visits[i]
        largest, most = max(largest, values), max(most, visits)
        tiles += number
        fetches += number * visits
        burst += number * _ceil(values * t.bits[2], t.burst_bits)
        psum_burst += number * (visits - 1) * _ceil(values * t.bits[3], t.burst_bits)
        again += number * (visits - 1) * values
        if visits > 1:
            stores += number * visits * values
    out.largest[2, p], out.tiles[2, p], out.fetches[2, p], out.visits[p] = largest, tiles, fetches, most
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
def _sum_folds(t, loop_dim, loops, work, out):
    """Cycles of a systolic array: every fold's skew (and load), and the stream once a piece.

    A fold is one stay of the stationary operand's tile.
    """
    x = t.stationary
    dims = t.extents.size
    for p in range(loops + 1):
        trips = np.int64(1)
        for d in range(dims):
            if not t.relevant[x, d]:
                trips *= work.pieces[d, out.depth[p, d]]
        work.trips[p] = trips
    kinds = 1
    work.values[0], work.cuts[0], work.tiles[0] = 1, -1, 1
    for i in range(MAX_CLASSES):
        work.rows[i], work.columns[i] = 1, 1
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
                work.rows[at] = work.size[d, row, j] if d == t.row else work.rows[i]
                work.columns[at] = work.size[d, row, j] if d == t.column else work.columns[i]
        kinds *= more
    cycles = stream
    for i in range(kinds):
        folds = work.tiles[i] * work.trips[work.cuts[i] + 1]
        if t.trimmed:
            load = work.rows[i] if t.load_cycles else 0
            cycles += folds * (load + work.rows[i] + work.columns[i] - 2)
        else:
            cycles += folds * (t.load_cycles + t.rows + t.cols - 2)
    out.fold_cycles[0] = cycles


@no_type_check
@numba.njit(cache=True)
def _sum_bias(t, loops, work, out):
    """Words read to start each output tile of the array, which every row chunk does again."""
    kinds, starts = 1, np.int64(1)
    work.values[0], work.tiles[0] = 1, 1
    for d in range(t.extents.size):
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
    words = np.int64(0)
    for i in range(kinds):
        words += work.tiles[i] * words_of(work.values[i], t.bias[1])
    out.bias_reads[0] = starts * words
