"""Branch and bound: which loop orders and trips are worth a look, and a look at tile sizes.

A cell is an order of tile loops with the trips of each. `branch` lists the cells with a bound below
the best; `try_cells` counts every mapping of the tile sizes in them.
"""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np

from accelsim.mapping.search.bound import (
    array_cycles,
    array_pj,
    array_prices,
    bound_of,
    fetches,
    fits,
    once_pj,
    stores_psums,
    visits_of_array,
)
from accelsim.mapping.search.count import count_nest
from accelsim.mapping.search.place import choose, list_places
from accelsim.mapping.search.space import MAX_DIMS, MAX_LOOPS

TABLE = 2**20


@no_type_check
@numba.njit(cache=True)
def _least_array_pj(t, prices, trips, ragged, outer, outers, inner_orders):
    least = 1e300
    for b in range(inner_orders.shape[0]):
        found = array_pj(t, prices, trips, ragged, outer, outers, inner_orders[b], inner_orders.shape[1])
        least = min(least, found)
    return least


@no_type_check
@numba.njit(cache=True)
def _may_fit(t, trips, low, outer, outers, inner, position, final):
    """Whether all three operands fit; before the trips are `final` it is not known whether psums are stored."""
    stored = final and stores_psums(t, trips, outer, outers)
    return (
        fits(t, 0, trips, low, outer, outers, inner, position[0], stored)
        and fits(t, 1, trips, low, outer, outers, inner, position[1], stored)
        and fits(t, 2, trips, low, outer, outers, inner, position[2], stored)
    )


@no_type_check
@numba.njit(cache=True)
def branch(
    record, counts, sizes, lead, orders, order_sizes, all_inner, inner_orders, objective, below, bounds, cells, found,
    nodes,
):  # fmt: skip
    """List every cell whose bound is less than `below`; returns how many stand in the list, and whether all found room.

    `counts` (dims, n) are the trips to look at, ascending, `sizes` how many; `orders` (n, free dims) the
    orders of the tile loops, `order_sizes` how many loops each has. A cell is a row of trips by dim,
    then the order's number. The walk ends after `nodes` nodes of all walks together.
    """
    t, best = record[0], found[0]
    prices = np.zeros((3, 2))
    array_prices(t, prices)
    once, cycles = once_pj(t), array_cycles(t)
    number, table, bases = 0, np.full(TABLE, -1, np.int64), np.zeros(bounds.size)
    outer, ragged = np.zeros(MAX_DIMS, np.int64), np.ones(MAX_DIMS, np.int8)
    open_trips = np.ones(MAX_DIMS, np.int8)  # those of the tile loops are not known yet
    trips, low = np.ones(MAX_DIMS, np.int64), np.zeros(MAX_DIMS, np.int64)
    position, index = np.zeros(3, np.int64), np.zeros(MAX_DIMS, np.int64)
    for a in range(orders.shape[0]):
        size = lead.size + order_sizes[a]
        for d in range(t.dims):
            trips[d], low[d] = 1, t.extents[d]
        for q in range(lead.size):
            outer[q] = lead[q]
            trips[lead[q]] = -(-t.extents[lead[q]] // t.widths[lead[q]])
            low[lead[q]] = min(t.widths[lead[q]], t.extents[lead[q]])
        for q in range(order_sizes[a]):
            outer[lead.size + q] = orders[a, q]
            trips[orders[a, q]] = counts[orders[a, q], 1] if sizes[orders[a, q]] > 1 else 1
        for d in range(t.dims):
            open_trips[d] = 1
        for q in range(order_sizes[a]):
            open_trips[orders[a, q]] = 2
        floor = once + _least_array_pj(t, prices, trips, open_trips, outer, size, all_inner)
        for b in range(inner_orders.shape[0]):
            ways = size + inner_orders.shape[1] + 1
            for code in range(ways**3):
                deepest = _positions(code, ways, position)
                if (deepest < size and order_sizes[a] > 0) or (b > 0 and deepest <= size):
                    continue  # no memory stands below the innermost tile loop, or the order of pieces tells nothing
                if not _canonical(t, outer, size, inner_orders[b], position):
                    continue
                number = _descend(
                    t, prices, once, floor, cycles, counts, sizes, lead, outer, size, inner_orders[b], trips, low,
                    position, index, ragged, inner_orders, objective, below, bounds, cells, table, bases, number, a,
                    best, nodes,
                )  # fmt: skip
                if number < 0:
                    return -number - 1, False
    return number, True


@no_type_check
@numba.njit(cache=True)
def _positions(code, ways, position):
    """Unpack three storage positions; returns the deepest."""
    deepest = 0
    for x in range(3):
        position[x] = code % ways
        code //= ways
        deepest = max(deepest, position[x])
    return deepest


@no_type_check
@numba.njit(cache=True)
def _canonical(t, outer, size, inner, position):
    """Whether every operand stands right below a loop that it depends on: past any other its tile is the same."""
    for x in range(3):
        p = position[x]
        if p > 0 and not t.relevant[x, outer[p - 1] if p <= size else inner[p - 1 - size]]:
            return False
    return True


@no_type_check
@numba.njit(cache=True)
def _descend(
    t, prices, once, floor, cycles, counts, sizes, lead, outer, size, inner, trips, low, position, index, ragged,
    inner_orders, objective, below, bounds, cells, table, bases, number, order, best, nodes,
):  # fmt: skip
    """Depth first over the trips of each tile loop; a bound of `below` cuts all that have more trips.

    Returns how many cells are listed, or minus one more where the walk had to end.
    """
    first = lead.size
    for q in range(first, size):
        index[q] = 1
        trips[outer[q]], low[outer[q]] = counts[outer[q], 1], 1
    if first == size:
        if _may_fit(t, trips, low, outer, size, inner, position, True):
            number = _record(
                t, prices, once, cycles, trips, low, outer, size, inner, position, ragged, inner_orders, objective,
                below, bounds, cells, table, bases, number, order,
            )  # fmt: skip
        return number
    level = first
    while level >= first:
        best.nodes += 1
        if best.nodes > nodes:
            return -number - 1
        d = outer[level]
        if index[level] >= sizes[d]:
            index[level] = 1
            trips[d], low[d] = counts[d, 1], 1
            level -= 1
            if level >= first:
                index[level] += 1
            continue
        trips[d] = counts[d, index[level]]
        low[d] = -(-t.extents[d] // trips[d])
        if bound_of(t, prices, floor, cycles, trips, ragged, outer, size, inner, position, objective) >= below:
            index[level] = sizes[d]
            continue
        final = level == size - 1
        if not _may_fit(t, trips, low, outer, size, inner, position, final):
            index[level] = _next_that_fits(
                t, counts, sizes, index[level], d, trips, low, outer, size, inner, position, final
            )
            continue
        if level < size - 1:
            level += 1
            continue
        number = _record(
            t, prices, once, cycles, trips, low, outer, size, inner, position, ragged, inner_orders, objective, below,
            bounds, cells, table, bases, number, order,
        )  # fmt: skip
        if number < 0:
            return number
        index[level] += 1
    return number


@no_type_check
@numba.njit(cache=True)
def _next_that_fits(t, counts, sizes, index, d, trips, low, outer, size, inner, position, final):
    """The least number of trips of one loop with which the smallest tiles fit; past the end if none."""
    at, end = index + 1, sizes[d]
    while at < end:
        middle = (at + end) // 2
        trips[d] = counts[d, middle]
        low[d] = -(-t.extents[d] // trips[d])
        if _may_fit(t, trips, low, outer, size, inner, position, final):
            end = middle
        else:
            at = middle + 1
    return at


@no_type_check
@numba.njit(cache=True)
def _record(
    t, prices, once, cycles, trips, low, outer, size, inner, position, ragged, inner_orders, objective, below, bounds,
    cells, table, bases, number, order,
):  # fmt: skip
    at = _slot(t, trips, order, cells, table)
    row = table[at]
    if row < 0:
        if number == bounds.size:
            return -number - 1
        row, table[at], bounds[number] = number, number, 1e300
        bases[number] = once + _least_array_pj(t, prices, trips, ragged, outer, size, inner_orders)
        for d in range(t.dims):
            cells[number, d] = trips[d]
        cells[number, t.dims] = order
        number += 1
    bound = bound_of(t, prices, bases[row], cycles, trips, ragged, outer, size, inner, position, objective)
    bounds[row] = min(bounds[row], bound)
    return number


@no_type_check
@numba.njit(cache=True)
def _slot(t, trips, order, cells, table):
    """Where a cell stands, or would stand, in the hash table of row numbers (a power of two long)."""
    code = np.uint64(order)
    for d in range(t.dims):
        code = (code ^ np.uint64(trips[d])) * np.uint64(0x9E3779B97F4A7C15)
    at = np.int64(code >> np.uint64(40)) & (table.size - 1)
    while table[at] >= 0:
        row, same = table[at], True
        for d in range(t.dims):
            same = same and cells[row, d] == trips[d]
        if same and cells[row, t.dims] == order:
            return at
        at = (at + 1) & (table.size - 1)
    return at


@no_type_check
@numba.njit(cache=True)
def floor_bound(record, lead, any_inner, objective):
    """Bound of every mapping, whatever fits: each value crosses the DRAM's pins once."""
    t = record[0]
    prices = np.zeros((3, 2))
    array_prices(t, prices)
    trips, ragged, outer = np.ones(MAX_DIMS, np.int64), np.ones(MAX_DIMS, np.int8), np.zeros(MAX_DIMS, np.int64)
    base = once_pj(t) + _least_array_pj(t, prices, trips, ragged, outer, 0, any_inner)
    first = np.zeros(3, np.int64)
    return bound_of(t, prices, base, array_cycles(t), trips, ragged, outer, 0, any_inner[0], first, objective)


@no_type_check
@numba.njit(cache=True)
def tile_bound(t, prices, once, cycles, trips, ragged, low, outer, size, inner, objective):
    """Bound of tile sizes from `low` on and one order of the array's pieces: each operand where it is cheapest."""
    base = once + array_pj(t, prices, trips, ragged, outer, size, inner, inner.size)
    stored = visits_of_array(t, trips, ragged, 2, outer, size, inner, inner.size) > 1.0
    best = np.zeros(3, np.int64)
    for x in range(3):
        least = 1e300
        for p in range(size + inner.size + 1):
            times = fetches(t, trips, ragged, x, outer, size, inner, p)
            if times < least and fits(t, x, trips, low, outer, size, inner, p, stored):
                least, best[x] = times, p
        if least == 1e300 and not (x == 2 and t.bypass):
            return 1e300
    return bound_of(t, prices, base, cycles, trips, ragged, outer, size, inner, best, objective)


@no_type_check
@numba.njit(cache=True)
def class_bound(record, low_tiles, ragged_dims, lead, order, order_size, inner_orders, objective):
    """Bound of all tile sizes from `low_tiles` (dims,) on that make equal trips, over every order of the pieces."""
    t = record[0]
    prices = np.zeros((3, 2))
    array_prices(t, prices)
    once, cycles = once_pj(t), array_cycles(t)
    trips, low, ragged = np.ones(MAX_DIMS, np.int64), np.ones(MAX_DIMS, np.int64), np.zeros(MAX_DIMS, np.int8)
    outer = np.zeros(MAX_DIMS, np.int64)
    size = lead.size + order_size
    for q in range(size):
        outer[q] = lead[q] if q < lead.size else order[q - lead.size]
    for d in range(t.dims):
        low[d], ragged[d] = low_tiles[d], ragged_dims[d]
        trips[d] = -(-t.extents[d] // low[d])
    least = 1e300
    for b in range(inner_orders.shape[0]):
        found = tile_bound(t, prices, once, cycles, trips, ragged, low, outer, size, inner_orders[b], objective)
        least = min(least, found)
    return least


@no_type_check
@numba.njit(cache=True)
def try_tiles(
    record, halo, tiles, lead, order, order_size, inner_orders, objective, slack, limit, looks, scratch, found,
):  # fmt: skip
    """Count every mapping with one order of the tile loops and these tile sizes (n, dims).

    Orders of array pieces whose bound is not below the best x `slack` are left out. False once `limit`
    mappings have been counted, or `looks` bounds.
    """
    t, best = record[0], found[0]
    work, out, places = scratch[0].work, scratch[0].counts, scratch[0].places
    prices = np.zeros((3, 2))
    array_prices(t, prices)
    once, cycles = once_pj(t), array_cycles(t)
    trips, left, low = np.ones(MAX_DIMS, np.int64), np.ones(MAX_DIMS, np.int64), np.ones(MAX_DIMS, np.int64)
    ragged, inside = np.zeros(MAX_DIMS, np.int8), np.zeros(MAX_DIMS, np.int8)
    loop_dim, loop_step = np.zeros(MAX_LOOPS, np.int64), np.zeros(MAX_LOOPS, np.int64)
    outer = np.zeros(MAX_DIMS, np.int64)
    codes = np.zeros(max(1, inner_orders.shape[0]), np.int64)
    for row in range(tiles.shape[0]):
        for d in range(t.dims):
            left[d] = t.extents[d]
        size = 0
        for q in range(lead.size + order_size):
            d = lead[q] if q < lead.size else order[q - lead.size]
            step = t.widths[d] if q < lead.size else tiles[row, d]
            if step < left[d]:
                loop_dim[size], loop_step[size], outer[size] = d, step, d
                left[d] = step
                size += 1
        for d in range(t.dims):
            low[d] = left[d]
            trips[d] = -(-t.extents[d] // left[d])
            rest = t.extents[d] - (trips[d] - 1) * left[d]
            ragged[d] = 1 if rest <= t.widths[d] else 0
            inside[d] = 1 if left[d] > t.widths[d] else 0
        for b in range(inner_orders.shape[0]):
            loops, codes[b] = size, 1
            for q in range(inner_orders.shape[1]):
                d = inner_orders[b, q]
                if inside[d]:
                    loop_dim[loops], loop_step[loops] = d, t.widths[d]
                    loops += 1
                    codes[b] = codes[b] * 16 + d
            if _seen(codes, b):
                continue
            best.looks += 1
            low_bound = tile_bound(t, prices, once, cycles, trips, ragged, low, outer, size, inner_orders[b], objective)
            if low_bound >= best.score[0] * slack:
                continue
            count_nest(t, halo, loop_dim, loop_step, loops, work, out)
            list_places(t, out, loop_dim, loops, places)
            choose(t, out, loop_dim, loop_step, loops, size, places, objective, best)
            if best.mappings >= limit:
                return False
        if best.looks >= looks:
            return False
    return True


@no_type_check
@numba.njit(cache=True)
def _seen(codes, at):
    seen = False
    for other in range(at):
        seen = seen or codes[other] == codes[at]
    return seen
