"""Ways to store an operand that another way is better than whatever the other operands do."""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np

from accelsim.mapping.search.place import ENERGY
from accelsim.mapping.search.space import MAX_LEVELS, MAX_PLACES


@no_type_check
@numba.njit(cache=True)
def _is_shared(t, x, m):
    """Whether other operands may be in the memory too."""
    shared = False
    for other in range(3):
        for level in range(t.levels[other]):
            shared = shared or (other != x and t.memory[other, level] == m)
    return shared


@no_type_check
@numba.njit(cache=True)
def _edge_bits(t, places, x, way, worst):
    """The most or the least that nothing overlaps: whether outputs have two slots may depend on who else is there."""
    m = places.outermost[x, way]
    if x < 2 or m < 0:
        return places.edge_bits[x, way]
    is_single = 2 * places.need_bits[x, way, m] > t.capacity_bits[m]
    return places.drain_bits[x, way] if is_single or (worst and _is_shared(t, x, m)) else places.edge_bits[x, way]


@no_type_check
@numba.njit(cache=True)
def _later_fs(t, counts, places, x, a, b):
    """How much later than with way `b` an op can end with way `a`, at most; never less than nothing.

    Time is a maximum of sums, each with one term of each operand, so it grows by no more than its terms.
    """
    steps = counts.steps[places.depth[x, a]] - counts.steps[places.depth[x, b]]
    cycles = max(0.0, float(steps * t.pipeline_cycles))
    for m in range(t.memories):
        cycles = max(cycles, places.read_cycles[x, a, m] - places.read_cycles[x, b, m])
        cycles = max(cycles, places.write_cycles[x, a, m] - places.write_cycles[x, b, m])
    edge_fs = max(0, _edge_bits(t, places, x, a, True) - _edge_bits(t, places, x, b, False)) * t.dram_fs_per_bit
    dram_fs = (places.dram_bits[x, a] - places.dram_bits[x, b]) * t.dram_fs_per_bit
    return max(cycles * t.period_fs + edge_fs, dram_fs)


@no_type_check
@numba.njit(cache=True)
def _is_dominated(t, counts, places, x, a, b, objective):
    """Whether way `b` is no worse than way `a` in the objective, and no larger where others are stored too."""
    for m in range(t.memories):
        if places.need_bits[x, b, m] > places.need_bits[x, a, m] and _is_shared(t, x, m):
            return False
    later = _later_fs(t, counts, places, x, b, a)
    if objective == ENERGY:
        return places.energy_pj[x, b] + later * t.leakage_pj_per_fs < places.energy_pj[x, a]
    return later == 0.0 and places.energy_pj[x, b] <= places.energy_pj[x, a]


@no_type_check
@numba.njit(cache=True)
def keep_undominated(t, counts, places, objective):
    """Leave out of `places` every way that the best mapping can do without."""
    beaten = np.zeros(MAX_PLACES, np.bool_)
    for x in range(3):
        for a in range(places.number[x]):
            beaten[a] = False
            for b in range(places.number[x]):
                if not beaten[a] and b != a and _is_dominated(t, counts, places, x, a, b, objective):
                    # Of two equal ways the first stays.
                    beaten[a] = b < a or not _is_dominated(t, counts, places, x, b, a, objective)
        kept = 0
        for a in range(places.number[x]):
            if not beaten[a]:
                _move(t, places, x, a, kept)
                kept += 1
        places.number[x] = kept


@no_type_check
@numba.njit(cache=True)
def _move(t, places, x, a, to):
    if a == to:
        return
    places.energy_pj[x, to], places.dram_bits[x, to] = places.energy_pj[x, a], places.dram_bits[x, a]
    places.edge_bits[x, to], places.depth[x, to] = places.edge_bits[x, a], places.depth[x, a]
    for m in range(t.memories):
        places.need_bits[x, to, m] = places.need_bits[x, a, m]
        places.read_cycles[x, to, m] = places.read_cycles[x, a, m]
        places.write_cycles[x, to, m] = places.write_cycles[x, a, m]
    for level in range(MAX_LEVELS):
        places.position[x, to, level] = places.position[x, a, level]
