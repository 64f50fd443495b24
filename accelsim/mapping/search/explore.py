"""Tile sizes of one cell (see `branch`): the bound of a class of them, and the count of every mapping."""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np

from accelsim.mapping.search.bound import array_cycles, least_pieces, outer_fetches, tile_bound
from accelsim.mapping.search.count import count_nest
from accelsim.mapping.search.place import choose, list_places
from accelsim.mapping.search.space import MAX_DIMS, MAX_LOOPS


@no_type_check
@numba.njit(cache=True)
def class_bound(record, walk_record, low, high, ragged, lead, order, order_size, inner_orders):
    """Bound of all tile sizes from `low` to `high` (dims,) that make equal trips, over every order of the pieces."""
    t, w = record[0], walk_record[0]
    for d in range(t.dims):
        w.low[d], w.ragged[d] = low[d], ragged[d]
    return _class_bound(t, w, high, lead, order, order_size, inner_orders)


@no_type_check
@numba.njit(cache=True)
def _class_bound(t, w, high, lead, order, order_size, inner_orders):
    """The bound from the smallest tiles in the record to `high`."""
    w.size = lead.size + order_size
    for q in range(w.size):
        w.outer[q] = lead[q] if q < lead.size else order[q - lead.size]
    for d in range(t.dims):
        w.trips[d] = -(-t.extents[d] // w.low[d])
        w.pieces[d] = least_pieces(t, d, w.low[d], high[d])
    w.cycles = array_cycles(t, w.pieces)
    outer_fetches(t, w)
    least = 1e300
    for b in range(inner_orders.shape[0]):
        least = min(least, tile_bound(t, w, inner_orders[b]))
    return least


@no_type_check
@numba.njit(cache=True)
def next_cell(record, walk_record, cells, first, below, lead, orders, order_sizes, inner_orders):
    """The first cell from `first` on whose smallest tiles have a bound less than `below`; else how many there are.

    `cells` stand by rising bound; those looked at get the bound of their smallest tiles.
    """
    t, w = record[0], walk_record[0]
    high, leads = np.ones(MAX_DIMS, np.int64), np.zeros(MAX_DIMS, np.int8)
    for q in range(lead.size):
        leads[lead[q]] = 1
    for i in range(first, cells.size):
        cell = cells[i]
        if cell.bound >= below:
            return cells.size
        for d in range(t.dims):
            w.ragged[d] = 1
            w.low[d] = min(t.widths[d], t.extents[d]) if leads[d] else -(-t.extents[d] // cell.trips[d])
            one = leads[d] or cell.trips[d] == 1
            high[d] = w.low[d] if one else -(-t.extents[d] // (cell.trips[d] - 1)) - 1
        found = _class_bound(t, w, high, lead, orders[cell.order], order_sizes[cell.order], inner_orders)
        cell.bound = max(cell.bound, found)
        if cell.bound < below:
            return i
    return cells.size


@no_type_check
@numba.njit(cache=True)
def try_tiles(
    record, walk_record, halo, tiles, lead, order, order_size, inner_orders, slack, limit, looks, scratch, found
):  # fmt: skip
    """Count every mapping with one order of the tile loops and these tile sizes (n, dims).

    Orders of array pieces whose bound is not below the best x `slack` are left out. False once `limit`
    mappings have been counted, or `looks` bounds.
    """
    t, w, best = record[0], walk_record[0], found[0]
    work, out, places = scratch[0].work, scratch[0].counts, scratch[0].places
    loop_dim, loop_step = np.zeros(MAX_LOOPS, np.int64), np.zeros(MAX_LOOPS, np.int64)
    codes = np.zeros(max(1, inner_orders.shape[0]), np.int64)
    for row in range(tiles.shape[0]):
        _take_tiles(t, w, tiles[row], lead, order, order_size, loop_dim, loop_step)
        for b in range(inner_orders.shape[0]):
            loops, codes[b] = w.size, 1
            for q in range(inner_orders.shape[1]):
                d = inner_orders[b, q]
                if w.low[d] > t.widths[d]:
                    loop_dim[loops], loop_step[loops] = d, t.widths[d]
                    loops += 1
                    codes[b] = codes[b] * 16 + d
            if _seen(codes, b):
                continue
            best.looks += 1
            if tile_bound(t, w, inner_orders[b]) >= best.score[0] * slack:
                continue
            count_nest(t, halo, loop_dim, loop_step, loops, work, out)
            list_places(t, out, loop_dim, loops, places)
            choose(t, out, loop_dim, loop_step, loops, w.size, places, w.objective, best)
            if best.mappings >= limit:
                return False
        if best.looks >= looks:
            return False
    return True


@no_type_check
@numba.njit(cache=True)
def _take_tiles(t, w, tiles, lead, order, order_size, loop_dim, loop_step):
    """The tile loops that these sizes make, and what their bound needs."""
    for d in range(t.dims):
        w.low[d] = t.extents[d]
    w.size = 0
    for q in range(lead.size + order_size):
        d = lead[q] if q < lead.size else order[q - lead.size]
        step = t.widths[d] if q < lead.size else tiles[d]
        if step < w.low[d]:
            loop_dim[w.size], loop_step[w.size], w.outer[w.size] = d, step, d
            w.low[d] = step
            w.size += 1
    for d in range(t.dims):
        w.pieces[d] = least_pieces(t, d, w.low[d], w.low[d])
        w.trips[d] = -(-t.extents[d] // w.low[d])
        w.ragged[d] = 1 if t.extents[d] - (w.trips[d] - 1) * w.low[d] <= t.widths[d] else 0
    w.cycles = array_cycles(t, w.pieces)
    outer_fetches(t, w)


@no_type_check
@numba.njit(cache=True)
def _seen(codes, at):
    seen = False
    for other in range(at):
        seen = seen or codes[other] == codes[at]
    return seen
