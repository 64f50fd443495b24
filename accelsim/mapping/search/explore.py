"""Walks over cells and tile sizes: every loop order of each, cut short by the bound."""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np

from accelsim.mapping.search.bound import order_bound
from accelsim.mapping.search.count import count_nest
from accelsim.mapping.search.place import SAME, choose, list_places
from accelsim.mapping.search.space import MAX_LOOPS


@no_type_check
@numba.njit(cache=True)
def _filtered(order, present, kept):
    """The present dims of an order in `kept`; returns how many, and a number that tells sequences apart."""
    number, code = 0, 0
    for d in order:
        if present[d]:
            kept[number] = d
            number += 1
            code = code * 16 + d + 1
    return number, code


@no_type_check
@numba.njit(cache=True)
def distinct_orders(orders, present, kept, sizes):
    """The different sequences that `orders` (n, dims) leave of the present dims; returns how many."""
    number = 0
    codes = np.zeros(orders.shape[0], np.int64)
    for row in range(orders.shape[0]):
        size, code = _filtered(orders[row], present, kept[number])
        seen = False
        for other in range(number):
            seen = seen or codes[other] == code
        if not seen:
            codes[number], sizes[number] = code, size
            number += 1
    return number


@no_type_check
@numba.njit(cache=True)
def cell_bound(t, trips, lead, outer_orders, inner_orders, objective, fit):
    """Least bound of a cell over all loop orders; `lead` dims stand outermost, in order."""
    dims = t.extents.size
    present, inside = np.zeros(dims, np.bool_), np.zeros(dims, np.bool_)
    for d in range(dims):
        present[d] = trips[d] > 1
        inside[d] = t.extents[d] > t.widths[d]
    for d in lead:
        present[d], inside[d] = False, False
    outer, outer_size = np.zeros((outer_orders.shape[0], dims), np.int64), np.zeros(outer_orders.shape[0], np.int64)
    inner, inner_size = np.zeros((inner_orders.shape[0], dims), np.int64), np.zeros(inner_orders.shape[0], np.int64)
    outers = distinct_orders(outer_orders, present, outer, outer_size)
    inners = distinct_orders(inner_orders, inside, inner, inner_size)
    least = 1e300
    whole = np.zeros(dims, np.int64)
    for a in range(outers):
        size = lead.size
        whole[:size] = lead
        for p in range(outer_size[a]):
            whole[size] = outer[a, p]
            size += 1
        for b in range(inners):
            found = order_bound(t, trips, whole, size, inner[b], inner_size[b], objective, fit)
            least = min(least, found)
    return least


@no_type_check
@numba.njit(cache=True)
def list_cells(t, counts, counts_size, lead, free, all_orders, inner_orders, objective, best, bounds, cells):
    """Cells with a bound below the best, up to the room in `cells`; returns how many, and whether all fitted.

    `counts` (free dims, n) are the trips to try per dim, ascending. With every inner order allowed and
    capacities left out the bound grows with the trips of each dim, so a walk up a dim can stop early.
    """
    number, dims = 0, free.size
    index = np.zeros(max(dims, 1), np.int64)
    trips = np.ones(t.extents.size, np.int64)
    for d in lead:
        trips[d] = -(-t.extents[d] // t.widths[d])
    while True:
        for i in range(dims):
            trips[free[i]] = counts[i, index[i]]
        loose = cell_bound(t, trips, lead, all_orders, all_orders, objective, False)
        at = dims - 1
        if loose < best.score[0] * (1 - SAME):
            tight = cell_bound(t, trips, lead, all_orders, inner_orders, objective, True)
            if tight < best.score[0] * (1 - SAME):
                if number == bounds.size:
                    return number, False
                bounds[number] = tight
                cells[number, :] = trips
                number += 1
        else:  # more trips of the dims that stand at their first cannot help
            while at >= 0 and index[at] == 0:
                at -= 1
            if at < 0:
                return number, True
            index[at] = counts_size[at]  # and neither can more of this one
        while at >= 0:
            index[at] += 1
            if index[at] < counts_size[at]:
                break
            index[at] = 0
            at -= 1
        if at < 0:
            return number, True


@no_type_check
@numba.njit(cache=True)
def try_tiles(t, halo, tiles, lead, fixed_loops, outer_orders, inner_orders, fixed, objective, limit, scratch, best):
    """Count every mapping with these tile sizes (n, dims) whose bound is below the best.

    `fixed_loops` (n, 2) are (dim, step) of loops outside everything; returns False once `limit`
    mappings have been counted.
    """
    work, out, places = scratch
    dims = t.extents.size
    trips, left = np.ones(dims, np.int64), np.zeros(dims, np.int64)
    present, inside = np.zeros(dims, np.bool_), np.zeros(dims, np.bool_)
    outer, outer_size = np.zeros((outer_orders.shape[0], dims), np.int64), np.zeros(outer_orders.shape[0], np.int64)
    inner, inner_size = np.zeros((inner_orders.shape[0], dims), np.int64), np.zeros(inner_orders.shape[0], np.int64)
    loop_dim, loop_step = np.zeros(MAX_LOOPS, np.int64), np.zeros(MAX_LOOPS, np.int64)
    whole = np.zeros(dims + lead.size, np.int64)
    for row in range(tiles.shape[0]):
        left[:] = t.extents
        start = 0
        for p in range(fixed_loops.shape[0]):
            if fixed_loops[p, 1] < left[fixed_loops[p, 0]]:
                loop_dim[start], loop_step[start] = fixed_loops[p]
                left[fixed_loops[p, 0]] = fixed_loops[p, 1]
                start += 1
        for d in range(dims):
            present[d] = tiles[row, d] < left[d]
            trips[d] = -(-t.extents[d] // min(left[d], tiles[row, d]))
            inside[d] = min(tiles[row, d], left[d]) > t.widths[d]
        whole[: lead.size] = lead
        for p in range(lead.size):
            d = lead[p]
            present[d], inside[d] = False, False
            trips[d] = -(-t.extents[d] // t.widths[d])
            if t.widths[d] < left[d]:
                loop_dim[start], loop_step[start] = d, t.widths[d]
                start += 1
        outers = distinct_orders(outer_orders, present, outer, outer_size)
        inners = distinct_orders(inner_orders, inside, inner, inner_size)
        for a in range(outers):
            for p in range(outer_size[a]):
                loop_dim[start + p], loop_step[start + p] = outer[a, p], tiles[row, outer[a, p]]
                whole[lead.size + p] = outer[a, p]
            size = lead.size + outer_size[a]
            for b in range(inners):
                if fixed_loops.shape[0] == 0:
                    low = order_bound(t, trips, whole, size, inner[b], inner_size[b], objective, True)
                    if low >= best.score[0] * (1 - SAME):
                        continue
                loops = start + outer_size[a]
                for p in range(inner_size[b]):
                    loop_dim[loops], loop_step[loops] = inner[b, p], t.widths[inner[b, p]]
                    loops += 1
                count_nest(t, halo, loop_dim, loop_step, loops, work, out)
                list_places(t, out, loops, fixed, places)
                choose(t, out, loop_dim, loop_step, loops, places, objective, best)
                best.counted[0] += 1
                if best.counted[1] >= limit:
                    return False
    return True
