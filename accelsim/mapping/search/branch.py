"""The walk over loop orders, storage and trips that lists the cells worth a look at their tile sizes.

A cell is an order of tile loops with the trips of each. An operand stands right below a tile loop that
it depends on, or above all, or anywhere among the loops over array pieces: one bound serves all of
those places.
"""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np

from accelsim.mapping.search.bound import (
    array_cycles,
    array_pj,
    bound_of,
    fetches,
    fits,
    inside_fetches,
    least_pieces,
    stores_psums,
)


@no_type_check
@numba.njit(cache=True)
def floor_bound(record, walk_record, any_inner):
    """Bound of every mapping, whatever fits: each value crosses the DRAM's pins once."""
    t, w = record[0], walk_record[0]
    w.size = 0
    for d in range(t.dims):
        w.trips[d], w.pieces[d], w.ragged[d] = 1, t.pieces[d], 1
    return bound_of(t, w, w.once_pj + _least_array_pj(t, w, any_inner), np.ones(3), 1.0)


@no_type_check
@numba.njit(cache=True)
def branch(record, walk_record, counts, sizes, lead, orders, order_sizes, any_inner, inner_orders, cells, table):
    """List every cell whose bound is less than the walk's `below`; False where it had to end early.

    `counts` (dims, n) are the trips to look at, ascending, `sizes` how many; `orders` (n, free dims) the
    orders of the tile loops, `order_sizes` how many loops each has. `cells` is filled from the top on,
    `table` (zeros, a power of two long) finds a cell in it.
    """
    t, w = record[0], walk_record[0]
    once, w.number, w.first = np.ones(3), 0, lead.size
    for a in range(orders.shape[0]):
        w.order = a
        for narrow in range(1 << order_sizes[a]):
            if not _start(t, w, counts, sizes, lead, orders[a], order_sizes[a], narrow):
                continue
            w.floor_pj = w.once_pj + _least_array_pj(t, w, any_inner)
            if bound_of(t, w, w.floor_pj, once, 1.0) >= w.below:
                continue
            for code in range((w.size + 2) ** 3):
                if _place(t, w, code) and not _descend(t, w, counts, inner_orders, cells, table):
                    return False
    return True


@no_type_check
@numba.njit(cache=True)
def _start(t, w, counts, sizes, lead, order, order_size, narrow):
    """The loops of an order, each with the fewest trips that it can have; False if some loop can have none.

    Bits of `narrow`: tiles of that loop are no wider than the array, so no loop over array pieces stands
    inside it. Otherwise one does, but for the last tile perhaps.
    """
    w.size = lead.size + order_size
    w.cycles = array_cycles(t, t.pieces)
    for d in range(t.dims):
        w.trips[d], w.low[d], w.pieces[d], w.ragged[d] = 1, t.extents[d], t.pieces[d], 1
    for q in range(lead.size):
        d = lead[q]
        w.outer[q] = d
        w.trips[d] = t.pieces[d]
        w.low[d] = min(t.widths[d], t.extents[d])
    for q in range(order_size):
        d, level = order[q], lead.size + q
        w.outer[level] = d
        split = 1
        while split < sizes[d] and counts[d, split] < t.pieces[d]:
            split += 1
        w.start[level], w.end[level] = 1, split
        if narrow >> q & 1:
            w.start[level], w.end[level] = split, sizes[d]
        if w.start[level] >= w.end[level]:
            return False
        w.trips[d] = counts[d, w.start[level]]
    return True


@no_type_check
@numba.njit(cache=True)
def _place(t, w, code):
    """Unpack three positions; False for a way to store the operands that another one stands for.

    Below a loop that the operand does not depend on its tile is the same as above it; and something
    stands below the innermost tile loop. Position size + 1 is inside the loops over array pieces.
    """
    deepest = 0
    for x in range(3):
        p = code % (w.size + 2)
        code //= w.size + 2
        w.position[x] = p
        deepest = max(deepest, p)
        if 0 < p <= w.size and not t.relevant[x, w.outer[p - 1]]:
            return False
        if p > w.size and not _fits_inside(t, w, x):
            return False
    return deepest >= w.size or w.size == w.first


@no_type_check
@numba.njit(cache=True)
def _fits_inside(t, w, x):
    """Whether the operand may stand inside a loop over array pieces, and such a piece fits a memory."""
    values, pieces = 1, False
    for d in range(t.dims):
        if t.relevant[x, d]:
            several = w.trips[d] < t.pieces[d]
            pieces = pieces or several
            values *= min(t.extents[d], t.widths[d]) if several else 1  # a tile may be narrower than the array
    return pieces and values <= t.room[x, 0]


@no_type_check
@numba.njit(cache=True)
def _may_fit(t, w, final):
    """Whether all three operands fit; before the trips are `final` it is not known whether psums are stored."""
    stored = final and stores_psums(t, w)
    for x in range(3):
        p = w.position[x]
        if p <= w.size and not fits(t, w, x, w.outer, p, stored):
            return False
    return True


@no_type_check
@numba.njit(cache=True)
def _bound(t, w, base_pj, times):
    for x in range(3):
        p = w.position[x]
        if p > w.size:
            times[x] = inside_fetches(t, w, x)
        else:
            times[x] = fetches(t, w, x, w.outer, p)
    steps = 1.0
    for q in range(w.size):
        steps *= w.trips[w.outer[q]]
    return bound_of(t, w, base_pj, times, steps)


@no_type_check
@numba.njit(cache=True)
def _reset(t, w, counts, level):
    d = w.outer[level]
    w.index[level] = w.start[level]
    w.trips[d] = counts[d, w.start[level]]
    w.low[d] = 1  # any tile is at least so large while the trips are open


@no_type_check
@numba.njit(cache=True)
def _descend(t, w, counts, inner_orders, cells, table):
    """Depth first over the trips of each tile loop; a bound of `below` cuts all that have more trips."""
    times = np.ones(3)
    for level in range(w.first, w.size):
        _reset(t, w, counts, level)
    if w.first == w.size:
        return not _may_fit(t, w, True) or _list(t, w, inner_orders, cells, table, times)
    level = w.first
    while level >= w.first:
        w.nodes += 1
        if w.nodes > w.most_nodes:
            return False
        if w.index[level] >= w.end[level]:
            _reset(t, w, counts, level)
            level -= 1
            if level >= w.first:
                w.index[level] += 1
            continue
        d = w.outer[level]
        w.trips[d] = counts[d, w.index[level]]
        w.low[d] = -(-t.extents[d] // w.trips[d])
        if _bound(t, w, w.floor_pj, times) >= w.below:
            w.index[level] = w.end[level]
            continue
        final = level == w.size - 1
        if not _may_fit(t, w, final):
            w.index[level] = _next_that_fits(t, w, counts, level, final)
            continue
        if not final:
            level += 1
            continue
        if not _list(t, w, inner_orders, cells, table, times):
            return False
        w.index[level] += 1
    return True


@no_type_check
@numba.njit(cache=True)
def _next_that_fits(t, w, counts, level, final):
    """The least number of trips of one loop with which the smallest tiles fit; past the end if none."""
    d = w.outer[level]
    at, end = w.index[level] + 1, w.end[level]
    while at < end:
        middle = (at + end) // 2
        w.trips[d] = counts[d, middle]
        w.low[d] = -(-t.extents[d] // w.trips[d])
        if _may_fit(t, w, final):
            end = middle
        else:
            at = middle + 1
    return at


@no_type_check
@numba.njit(cache=True)
def _list(t, w, inner_orders, cells, table, times):
    """Note the cell, or its lower bound where it stands already; False if there is no room."""
    at = _slot(t, w, cells, table)
    if table[at] == 0:
        if w.number == cells.size or 2 * w.number > table.size:
            return False
        cell = cells[w.number]
        for d in range(t.dims):
            cell.trips[d] = w.trips[d]
        cell.order, cell.bound = w.order, 1e300
        for d in range(t.dims):
            high = w.low[d] if w.trips[d] == 1 else -(-t.extents[d] // (w.trips[d] - 1)) - 1
            w.pieces[d] = least_pieces(t, d, w.low[d], high)
        for q in range(w.first):
            w.pieces[w.outer[q]] = t.pieces[w.outer[q]]
        cell.base_pj = w.once_pj + _least_array_pj(t, w, inner_orders)
        w.number += 1
        table[at] = w.number
    cell = cells[table[at] - 1]
    cell.bound = min(cell.bound, _bound(t, w, cell.base_pj, times))
    return True


@no_type_check
@numba.njit(cache=True)
def _slot(t, w, cells, table):
    """Where a cell stands, or would stand, in the hash table of row numbers from 1."""
    code = np.uint64(w.order)
    for d in range(t.dims):
        code = (code ^ np.uint64(w.trips[d])) * np.uint64(0x9E3779B97F4A7C15)
    at = np.int64(code >> np.uint64(40)) & (table.size - 1)
    while table[at] > 0:
        cell = cells[table[at] - 1]
        same = cell.order == w.order
        for d in range(t.dims):
            same = same and cell.trips[d] == w.trips[d]
        if same:
            return at
        at = (at + 1) & (table.size - 1)
    return at


@no_type_check
@numba.njit(cache=True)
def _least_array_pj(t, w, inner_orders):
    least = 1e300
    for b in range(inner_orders.shape[0]):
        least = min(least, array_pj(t, w, inner_orders[b], inner_orders.shape[1]))
    return least
