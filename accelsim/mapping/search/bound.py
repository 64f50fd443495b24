"""A lower bound of every mapping with given loop orders and trips, whatever its tile sizes.

A cell is the set of tile sizes that give each outer loop the same number of trips. In a cell the
smallest tile of dim d is ceil(E_d / n_d), so what does not fit with that tile never fits. Traffic is
bounded by values (words and bursts are at least values / values per word), with the trips of the loops
outside the last relevant one; the part of an operand that may lie in an outer chunk of one array width,
where the inner loop does not exist, is counted without that loop's trips.
"""

from __future__ import annotations

from typing import no_type_check

import numba

from accelsim.mapping.search.count import words_of
from accelsim.mapping.search.place import score_of


@no_type_check
@numba.njit(cache=True)
def order_bound(t, trips, outer, outers, inner, inners, objective, fit):
    """Bound of the objective; infinite when `fit` and nothing in the cell fits.

    `trips` (dims,) of the outer loops, 1 for none; `outer`, `inner` the dims in order.
    """
    energy, dram_bits = t.fixed_pj, 0.0
    for x in range(3):
        array = _array_values(t, trips, x, outer, outers, inner, inners)
        least_pj, least_bits = _least(t, trips, x, outer, outers, array, fit)
        if least_pj < 0:
            return 1e300
        energy += least_pj
        dram_bits += least_bits
    pieces = 1.0
    for d in range(t.extents.size):
        pieces *= -(-t.extents[d] // t.widths[d])
    cycles = pieces + t.pipeline_cycles
    if t.stationary >= 0:
        cycles = _systolic_cycles(t)
    fs = 2 * t.dram_latency_fs + max(cycles * t.period_fs, dram_bits * t.dram_fs_per_bit)
    return score_of(energy + fs * t.leakage_pj_per_fs, fs, objective)[0]


@no_type_check
@numba.njit(cache=True)
def _systolic_cycles(t):
    stream, folds = 1.0, 1.0
    for d in range(t.extents.size):
        if d == t.row or d == t.column:
            stream *= -(-t.extents[d] // t.widths[d])
            folds *= -(-t.extents[d] // t.widths[d])
        else:
            stream *= t.extents[d]
            if t.relevant[t.stationary, d]:
                folds *= t.extents[d]
    skew = t.load_cycles + t.rows + t.cols - 2
    return stream + (0 if t.trimmed else folds * skew)


@no_type_check
@numba.njit(cache=True)
def _fetches(t, trips, x, outer, loops):
    """Times each value is fetched below the first `loops` outer loops."""
    last = -1
    for p in range(loops):
        if t.relevant[x, outer[p]]:
            last = p
    times = 1.0
    for p in range(last):
        if not t.relevant[x, outer[p]]:
            times *= trips[outer[p]]
    return times


@no_type_check
@numba.njit(cache=True)
def _array_values(t, trips, x, outer, outers, inner, inners):
    """Values that enter (or leave) the array at least."""
    plain = _fetches(t, trips, x, outer, outers)
    best = plain
    for p in range(inners):
        a = inner[p]
        pieces_a = -(-t.extents[a] // t.widths[a])
        if not t.relevant[x, a] or pieces_a == 1 or trips[a] >= pieces_a:
            continue
        times = 1.0
        for d in range(t.extents.size):
            if not t.relevant[x, d]:
                above = False
                for q in range(p):
                    above = above or inner[q] == d
                times *= max(trips[d], -(-t.extents[d] // t.widths[d])) if above else trips[d]
        whole = 1.0 if trips[a] == 1 else 1.0 - t.widths[a] / t.extents[a]
        if x == 0 and t.overlaps and trips[a] > 1:
            whole = 0.0
        best = max(best, whole * times + (1.0 - whole) * plain)
    return best * t.values[x]


@no_type_check
@numba.njit(cache=True)
def _least(t, trips, x, outer, outers, array, fit):
    """Least energy and least DRAM bits of an operand over where its outermost tile stands; -1 if it fits nowhere."""
    values = float(t.values[x])
    least_pj, least_bits = -1.0, -1.0
    for p in range(outers + 1):
        if fit and not _may_fit(t, trips, x, outer, p):
            continue
        fetched = values * _fetches(t, trips, x, outer, p)
        if x == 2 and t.bypass and fetched > values:
            continue
        pj, bits = _energy(t, x, fetched, array)
        if least_pj < 0 or pj < least_pj:
            least_pj = pj
        if least_bits < 0 or bits < least_bits:
            least_bits = bits
    if fit and least_pj < 0:  # below the inner loops the tile may still fit
        fetched = values * _fetches(t, trips, x, outer, outers)
        if not (x == 2 and t.bypass and fetched > values):
            least_pj, least_bits = _energy(t, x, fetched, array)
    if x == 2 and t.bypass and array > values:
        bits = values * t.bits[2] + 2 * (array - values) * t.bits[3]
        pj = bits * t.dram_pj_per_bit + (array - values) * (t.requantise_pj + t.dequantise_pj)
        least_pj = pj if least_pj < 0 else min(least_pj, pj)
        least_bits = bits if least_bits < 0 else min(least_bits, bits)
    return least_pj, least_bits


@no_type_check
@numba.njit(cache=True)
def _energy(t, x, fetched, array):
    """Energy and DRAM bits of an operand stored in the cheapest memory of its chain."""
    values = float(t.values[x])
    best = -1.0
    bits = fetched * t.bits[x]
    if x == 2:
        bits = values * t.bits[2] + 2 * (fetched - values) * t.bits[3]
    for level in range(t.levels[x]):
        word = 1.0 / t.per_word[x, level] if t.per_word[x, level] > 0 else -float(t.per_word[x, level])
        both = t.read_pj[x, level] + t.write_pj[x, level]
        if x < 2:
            pj = word * (fetched * t.write_pj[x, level] + array * t.read_pj[x, level])
        else:
            psum = 1.0 / t.psum_per_word[level] if t.psum_per_word[level] > 0 else -float(t.psum_per_word[level])
            pj = word * values * both + psum * (array - values + fetched - values) * both
            pj += (array - values) * (t.requantise_pj + t.dequantise_pj)
        best = pj if best < 0 else min(best, pj)
    return best + bits * t.dram_pj_per_bit, bits


@no_type_check
@numba.njit(cache=True)
def _may_fit(t, trips, x, outer, p):
    """Whether the smallest tile of the cell below p outer loops fits any memory of the operand's chain."""
    if x == 0 and t.overlaps:
        return True  # how many inputs a conv's tile holds is not known from its sizes alone
    values, several = 1, False
    for d in range(t.extents.size):
        if not t.relevant[x, d]:
            continue
        size = t.extents[d]
        for q in range(p):
            if outer[q] == d:
                size = -(-size // trips[d])
                several = True
        values *= size
    for level in range(t.levels[x]):
        words = words_of(values, t.per_word[x, level])
        if x < 2 and several:
            words *= 2
        if words * t.word_bits[t.memory[x, level]] <= t.capacity_bits[t.memory[x, level]]:
            return True
    return False
