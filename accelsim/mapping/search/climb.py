"""A nest of any loops counted with its best storage, and made better loop by loop until nothing helps.

A nest is a list of (dim, step) from the outside in; the last loop of a dim walks array-sized pieces. One
change moves a loop, gives a dim another tile loop (or one more), or another tile size. What is best is
what `accelsim.mapping.search.place` says.
"""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np

from accelsim.mapping.search.count import count_nest
from accelsim.mapping.search.outcome import MAPPINGS_PER_LOOK
from accelsim.mapping.search.place import choose, list_places
from accelsim.mapping.search.prune import keep_undominated
from accelsim.mapping.search.space import HALO, MAX_DIMS, MAX_LOOPS, MAX_PER_DIM, MAX_TILES, SCRATCH
from accelsim.mapping.search.windows import LISTS, fill_halo

LOOPS_PER_DIM = 3
"""Two tile loops and the one over array pieces."""
NEST = np.dtype([("loops", np.int64), ("dim", np.int64, (MAX_LOOPS,)), ("step", np.int64, (MAX_LOOPS,))])
ROOM = np.dtype(
    [
        ("scratch", SCRATCH),
        ("halo", HALO, (2,)),
        ("steps", np.int64, (2, 2, MAX_PER_DIM)),  # of the loops that `halo` holds, by axis and dim, 0 for none
        ("lists", LISTS, (2,)),
        ("next", NEST),
        ("trial", NEST),
    ]
)
"""What the kernels work in."""


@no_type_check
@numba.njit(cache=True)
def _settle(t, nest, into):
    """Copy with every dim's steps falling from the outside in, and without loops of one trip."""
    into.loops = 0
    left = np.zeros(MAX_DIMS, np.int64)
    for d in range(t.dims):
        left[d] = t.extents[d]
    for p in range(nest.loops):
        d, step = nest.dim[p], 0
        for q in range(nest.loops):  # the largest step of the dim below what stands further out
            if nest.dim[q] == d and nest.step[q] < left[d]:
                step = max(step, nest.step[q])
        if step:
            into.dim[into.loops], into.step[into.loops] = d, step
            into.loops += 1
            left[d] = step


@no_type_check
@numba.njit(cache=True)
def _remember_windows(axes, nest, room):
    """Bring the tables of a conv's tiles up to the nest; False where one has no room."""
    found = np.zeros((2, MAX_PER_DIM), np.int64)
    for a in range(axes.size):
        number = np.zeros(2, np.int64)
        found[:, :] = 0
        for p in range(nest.loops):
            for side in range(2):
                if nest.dim[p] == (axes[a].row if side == 0 else axes[a].red):
                    found[side, number[side]] = nest.step[p]
                    number[side] += 1
        same = True
        for side in range(2):
            for q in range(MAX_PER_DIM):
                same = same and room.steps[a, side, q] == found[side, q]
        if same:
            continue
        for side in range(2):
            for q in range(MAX_PER_DIM):
                room.steps[a, side, q] = found[side, q]
        if not fill_halo(axes[a], found[0], number[0], found[1], number[1], room.halo[a], room.lists[0], room.lists[1]):
            room.steps[a, 0, 0] = -1
            return False
    return True


@no_type_check
@numba.njit(cache=True)
def _is_countable(t, axes, nest, room):
    """Whether no operand has more kinds of tile than the tables hold."""
    loops = np.zeros(MAX_DIMS, np.int64)
    for p in range(nest.loops):
        loops[nest.dim[p]] += 1
    for x in range(3):
        kinds = 1
        for d in range(t.dims):
            if loops[d] > LOOPS_PER_DIM:
                return False
            paired = False
            for a in range(axes.size):
                paired = paired or axes[a].row == d or axes[a].red == d
            if t.relevant[x, d] and not (x == 0 and paired):
                kinds *= 1 << loops[d]
        for a in range(axes.size if x == 0 else 0):
            most = 1
            for entry in range(MAX_PER_DIM * MAX_PER_DIM):
                most = max(most, room.halo[a].first[entry + 1] - room.halo[a].first[entry])
            kinds *= most
        if kinds > MAX_TILES:
            return False
    return True


@no_type_check
@numba.njit(cache=True)
def try_nest(t, axes, nest, objective, room, best):
    """Count every mapping of one nest that may be the best; whether it made `best` better."""
    if not (_remember_windows(axes, nest, room) and _is_countable(t, axes, nest, room)):
        return False
    counts, places, before, second = room.scratch.counts, room.scratch.places, best.score[0], best.score[1]
    best.looks += 1
    count_nest(t, room.halo, nest.dim, nest.step, nest.loops, room.scratch.work, counts)
    list_places(t, counts, nest.dim, nest.loops, places)
    keep_undominated(t, counts, places, objective)
    choose(t, counts, nest.dim, nest.step, nest.loops, 0, places, objective, best)
    return best.score[0] < before or best.score[1] < second


@no_type_check
@numba.njit(cache=True)
def _spent(best):
    return best.mappings + MAPPINGS_PER_LOOK * best.looks


@no_type_check
@numba.njit(cache=True)
def _accept(t, axes, objective, now, room, best):
    """Try the trial nest; it becomes `now` if it is better."""
    _settle(t, room.trial, room.next)
    if room.next.loops == now.loops:
        same = True
        for p in range(now.loops):
            same = same and room.next.dim[p] == now.dim[p] and room.next.step[p] == now.step[p]
        if same:
            return False
    if not try_nest(t, axes, room.next, objective, room, best):
        return False
    _copy(room.next, now)
    return True


@no_type_check
@numba.njit(cache=True)
def _copy(nest, into):
    into.loops = nest.loops
    for p in range(nest.loops):
        into.dim[p], into.step[p] = nest.dim[p], nest.step[p]


@no_type_check
@numba.njit(cache=True)
def _insert(nest, at, d, step, into):
    """Copy with a loop inserted at a position."""
    into.loops = nest.loops + 1
    for p in range(nest.loops):
        to = p if p < at else p + 1
        into.dim[to], into.step[to] = nest.dim[p], nest.step[p]
    into.dim[at], into.step[at] = d, step


@no_type_check
@numba.njit(cache=True)
def _without(nest, at, into):
    into.loops = nest.loops - 1
    for p in range(nest.loops - 1):
        of = p if p < at else p + 1
        into.dim[p], into.step[p] = nest.dim[of], nest.step[of]


@no_type_check
@numba.njit(cache=True)
def _moved(t, axes, lead, objective, now, spare, room, best):
    """Every loop to every other place; whether something helped."""
    better = False
    for p in range(lead, MAX_LOOPS):
        for q in range(lead, MAX_LOOPS):
            if p < now.loops and q < now.loops and p != q:
                _without(now, p, spare)
                _insert(spare, q, now.dim[p], now.step[p], room.trial)
                better = _accept(t, axes, objective, now, room, best) or better
    return better


@no_type_check
@numba.njit(cache=True)
def _resized(t, axes, lead, sizes, numbers, few, fews, objective, now, room, best):
    """Every tile loop with other sizes, then with the next larger and smaller one, and without it."""
    better = False
    for p in range(lead, MAX_LOOPS):
        if p >= now.loops or now.step[p] <= t.widths[now.dim[p]]:
            continue
        d = now.dim[p]
        for i in range(fews[d]):
            _copy(now, room.trial)
            room.trial.step[p] = few[d, i]
            better = _accept(t, axes, objective, now, room, best) or better
            if p >= now.loops or now.dim[p] != d:
                break
        at = 0
        while at < 2 and p < now.loops and now.dim[p] == d and now.step[p] > t.widths[d]:
            i = np.searchsorted(sizes[d, : numbers[d]], now.step[p]) + (1 if at == 0 else -1)
            _copy(now, room.trial)
            if 0 <= i < numbers[d]:
                room.trial.step[p] = sizes[d, i]
            if _accept(t, axes, objective, now, room, best):
                better = True
            else:
                at += 1
        if p < now.loops and now.dim[p] == d and now.step[p] > t.widths[d]:
            _without(now, p, room.trial)
            better = _accept(t, axes, objective, now, room, best) or better
    return better


@no_type_check
@numba.njit(cache=True)
def _added(t, axes, lead, few, fews, objective, limit, now, room, best):
    """One tile loop more, of every dim and size at every place."""
    better = False
    for d in range(t.dims):
        for q in range(lead, MAX_LOOPS - 1):
            if _spent(best) >= limit:
                return better
            for i in range(fews[d]):
                if q <= now.loops < MAX_LOOPS - 1:
                    _insert(now, q, d, few[d, i], room.trial)
                    better = _accept(t, axes, objective, now, room, best) or better
    return better


@no_type_check
@numba.njit(cache=True)
def climb(
    record, axes, lead, sizes, numbers, few, fews, objective, limit, now_record, spare_record, room_record, found
):  # fmt: skip
    """Change the nest in `spare` for the better until no change helps; False where `limit` was spent first.

    The first `lead` loops stay. `sizes` (dims, n) are the tile sizes of each dim by rising size, `numbers`
    how many; `few` and `fews` those that are tried everywhere.
    """
    t, now, spare, room, best = record[0], now_record[0], spare_record[0], room_record[0], found[0]
    _settle(t, spare, now)
    try_nest(t, axes, now, objective, room, best)
    going = True
    while going and _spent(best) < limit:
        going = _moved(t, axes, lead, objective, now, spare, room, best)
        going = _resized(t, axes, lead, sizes, numbers, few, fews, objective, now, room, best) or going
        going = _added(t, axes, lead, few, fews, objective, limit, now, room, best) or going
    return _spent(best) < limit
