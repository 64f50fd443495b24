"""Tile sizes of one cell (see `branch`): the bound of a class of them, and the count of every mapping."""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np

from accelsim.mapping.search.bound import (
    array_cycles,
    array_prices,
    least_pieces,
    once_pj,
    outer_fetches,
    tile_bound,
)
from accelsim.mapping.search.count import count_nest
from accelsim.mapping.search.place import choose, list_places
from accelsim.mapping.search.space import MAX_DIMS, MAX_LOOPS


@no_type_check
@numba.njit(cache=True)
def class_bound(record, low, high, ragged, lead, order, order_size, inner_orders, objective):
    """Bound of all tile sizes from `low` to `high` (dims,) that make equal trips, over every order of the pieces."""
    return _class_bound(record[0], low, high, ragged, lead, order, order_size, inner_orders, objective)


@no_type_check
@numba.njit(cache=True)
def _class_bound(t, low, high, ragged, lead, order, order_size, inner_orders, objective):
    prices, outer = np.zeros((3, 2)), np.zeros(MAX_DIMS, np.int64)
    trips, pieces = np.ones(MAX_DIMS, np.int64), np.ones(MAX_DIMS, np.int64)
    array_prices(t, prices)
    for d in range(t.dims):
        trips[d] = -(-t.extents[d] // low[d])
        pieces[d] = least_pieces(t, d, low[d], high[d])
    once, cycles = once_pj(t), array_cycles(t, pieces)
    size = lead.size + order_size
    for q in range(size):
        outer[q] = lead[q] if q < lead.size else order[q - lead.size]
    least, outside = 1e300, np.zeros(4)
    outer_fetches(t, trips, pieces, ragged, low, outer, size, outside)
    for b in range(inner_orders.shape[0]):
        inner = inner_orders[b]
        found = tile_bound(
            t, prices, once, cycles, trips, pieces, ragged, low, outer, size, outside, inner, objective
        )  # fmt: skip
        least = min(least, found)
    return least


@no_type_check
@numba.njit(cache=True)
def next_cell(record, cells, first, below, lead, orders, order_sizes, inner_orders, objective):
    """The first cell from `first` on whose smallest tiles have a bound less than `below`; else how many there are.

    `cells` stand by rising bound; those looked at get the bound of their smallest tiles.
    """
    t = record[0]
    ragged = np.ones(MAX_DIMS, np.int8)
    low, high = np.ones(MAX_DIMS, np.int64), np.ones(MAX_DIMS, np.int64)
    leads = np.zeros(MAX_DIMS, np.int8)
    for q in range(lead.size):
        leads[lead[q]] = 1
    for i in range(first, cells.size):
        cell = cells[i]
        if cell.bound >= below:
            return cells.size
        for d in range(t.dims):
            low[d] = min(t.widths[d], t.extents[d]) if leads[d] else -(-t.extents[d] // cell.trips[d])
            one = leads[d] or cell.trips[d] == 1
            high[d] = low[d] if one else -(-t.extents[d] // (cell.trips[d] - 1)) - 1
        size = order_sizes[cell.order]
        cell.bound = max(cell.bound, _class_bound(
            t, low, high, ragged, lead, orders[cell.order], size, inner_orders, objective
        ))  # fmt: skip
        if cell.bound < below:
            return i
    return cells.size


@no_type_check
@numba.njit(cache=True)
def try_tiles(
    record, halo_record, tiles, lead, order, order_size, inner_orders, objective, slack, limit, looks, scratch, found,
):  # fmt: skip
    """Count every mapping with one order of the tile loops and these tile sizes (n, dims).

    Orders of array pieces whose bound is not below the best x `slack` are left out. False once `limit`
    mappings have been counted, or `looks` bounds.
    """
    t, halo, best = record[0], halo_record[0], found[0]
    work, out, places = scratch[0].work, scratch[0].counts, scratch[0].places
    prices = np.zeros((3, 2))
    array_prices(t, prices)
    once = once_pj(t)
    pieces, outside = np.ones(MAX_DIMS, np.int64), np.zeros(4)
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
            pieces[d] = least_pieces(t, d, low[d], low[d])
            trips[d] = -(-t.extents[d] // left[d])
            rest = t.extents[d] - (trips[d] - 1) * left[d]
            ragged[d] = 1 if rest <= t.widths[d] else 0
            inside[d] = 1 if left[d] > t.widths[d] else 0
        cycles = array_cycles(t, pieces)
        outer_fetches(t, trips, pieces, ragged, low, outer, size, outside)
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
            low_bound = tile_bound(
                t, prices, once, cycles, trips, pieces, ragged, low, outer, size, outside, inner_orders[b], objective
            )
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
