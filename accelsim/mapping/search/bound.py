"""Lower bounds of all mappings with given loop orders, storage and trips, whatever their tile sizes.

What is bounded stands in a `WALK` record w: the tile loops, the trips of each, the smallest tiles.

Traffic is bounded by values: words and bursts are at least values / values per word. An operand is
fetched once per trip of every loop that it does not depend on outside the last one that it does; the
part of it that may lie in an outer chunk of one array width, where the inner loop does not exist, is
counted without that loop's trips. What does not fit with the smallest tiles of the given trips never
fits. In a chain of several memories the cheapest stands for the one used.
"""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np

from accelsim.mapping.search.place import score_of


@no_type_check
@numba.njit(cache=True)
def array_cycles(t, pieces):
    """Cycles that no mapping with these array pieces of each dim goes below; of a systolic array, folds too."""
    product, stream, folds = 1.0, 1.0, 1.0
    for d in range(t.dims):
        parts = pieces[d]
        product *= parts
        stream *= parts if d == t.row or d == t.column else t.extents[d]
        folds *= parts if t.stationary < 0 or t.relevant[t.stationary, d] else 1
    if t.stationary < 0:
        return product
    return stream + (0 if t.trimmed else folds * (t.load_cycles + t.rows + t.cols - 2))


@no_type_check
@numba.njit(cache=True)
def least_pieces(t, d, low, high):
    """Array pieces of a dim, at least, with tiles of `low` to `high` indices that make equal trips."""
    width = t.widths[d]
    trips = -(-t.extents[d] // low)
    if trips == 1 or high // width * width >= low:
        return t.pieces[d]
    return (trips - 1) * (high // width + 1) + -(-(t.extents[d] - (trips - 1) * high) // width)


@no_type_check
@numba.njit(cache=True)
def _split_share(t, w, x, a):
    """The part of an operand at least that lies in tiles which a loop over array pieces of the dim splits."""
    if w.ragged[a] and w.trips[a] > 1:
        return 0.0 if x == 0 and t.overlaps else 1.0 - t.widths[a] / t.extents[a]
    return 1.0


@no_type_check
@numba.njit(cache=True)
def visits_of_array(t, w, x, inner, inners):
    """Times each value of an operand enters (or leaves) the array, on average, with at least so many `pieces` by dim.

    `ragged` (dims,): the last outer chunk may be no wider than the array.
    """
    last, plain = -1, 1.0
    for q in range(w.size):
        if t.relevant[x, w.outer[q]]:
            last = q
    for q in range(last):
        if not t.relevant[x, w.outer[q]]:
            plain *= w.trips[w.outer[q]]
    most, times = plain, 1.0
    for d in range(t.dims):
        if not t.relevant[x, d]:
            times *= w.trips[d]
    for q in range(inners):
        a = inner[q]
        if not t.relevant[x, a]:
            times *= max(1.0, w.pieces[a] / w.trips[a])
        elif w.trips[a] < w.pieces[a]:
            whole = _split_share(t, w, x, a)
            most = max(most, whole * times + (1.0 - whole) * plain)
    return most


@no_type_check
@numba.njit(cache=True)
def _per_value(per_word):
    return 1.0 / per_word if per_word > 0 else -float(per_word)


@no_type_check
@numba.njit(cache=True)
def _array_prices(t, prices):
    """Fill `prices` (3, 2): per operand, energy of a value per visit of the array, and per fetch from DRAM.

    Outputs: per visit but the last.
    """
    for x in range(3):
        prices[x, 0], prices[x, 1] = 1e300, 1e300
        for level in range(t.levels[x]):
            if x < 2:
                word = _per_value(t.per_word[x, level])
                read, write = word * t.read_pj[x, level], word * t.write_pj[x, level]
            else:
                read = _per_value(t.psum_per_word[level]) * (t.read_pj[x, level] + t.write_pj[x, level])
                write = read
            prices[x, 0], prices[x, 1] = min(prices[x, 0], read), min(prices[x, 1], write)
    dram = 2 * t.bits[3] * t.dram_pj_per_bit
    if t.bypass:
        prices[2, 0], prices[2, 1] = min(prices[2, 0], dram), 0.0
    else:
        prices[2, 1] += dram
    prices[2, 0] += t.requantise_pj + t.dequantise_pj
    prices[0, 1] += t.bits[0] / t.bits_of[0] * t.dram_pj_per_bit
    prices[1, 1] += t.bits[1] / t.bits_of[1] * t.dram_pj_per_bit


@no_type_check
@numba.njit(cache=True)
def _once_pj(t):
    """Energy that every mapping has: MACs, and each finished output out through the cheapest memory."""
    best = 0.0 if t.bypass else 1e300
    for level in range(t.levels[2]):
        both = t.read_pj[2, level] + t.write_pj[2, level]
        best = min(best, _per_value(t.per_word[2, level]) * both)
    return t.fixed_pj + t.values[2] * (best + t.bits[2] / t.bits_of[2] * t.dram_pj_per_bit)


@no_type_check
@numba.njit(cache=True)
def prepare(record, walk_record):
    """Fill in what does not change between bounds."""
    t, w = record[0], walk_record[0]
    _array_prices(t, w.prices)
    w.once_pj = _once_pj(t)
    w.pieces[:] = t.pieces
    w.cycles = array_cycles(t, w.pieces)


@no_type_check
@numba.njit(cache=True)
def array_pj(t, w, inner, inners):
    """Energy of what enters and leaves the array, and the least visits of an output."""
    energy = 0.0
    for x in range(3):
        visits = visits_of_array(t, w, x, inner, inners)
        if x == 2:
            visits -= 1.0
        energy += w.prices[x, 0] * t.values[x] * visits
    return energy


@no_type_check
@numba.njit(cache=True)
def fetches(t, w, x, inner, position):
    """Times each value is fetched below the first `position` loops, outer then inner, on average."""
    if position > w.size:
        return visits_of_array(t, w, x, inner, position - w.size)
    last, times = -1, 1.0
    for q in range(position):
        if t.relevant[x, w.outer[q]]:
            last = q
    for q in range(last):
        if not t.relevant[x, w.outer[q]]:
            times *= w.trips[w.outer[q]]
    return times


@no_type_check
@numba.njit(cache=True)
def fits(t, w, x, inner, position, stored):
    """Whether a tile of sizes `low` (dims,) below `position` loops fits a memory of the operand's chain.

    `stored`: outputs leave the accumulator unfinished, so that a tile holds psums. A tile of psums that
    come back past all memories, and one of a conv's inputs, whose values are not known from its sizes
    alone, have all the room there is.
    """
    values, several = 1, x == 2 and stored
    for d in range(t.dims):
        if t.relevant[x, d]:
            size = t.extents[d]
            for q in range(min(position, w.size)):
                if w.outer[q] == d:
                    size, several = w.low[d], several or x < 2
            for q in range(position - w.size):
                if inner[q] == d:
                    several = several or (x < 2 and w.trips[d] < t.pieces[d])
                    size = min(size, t.widths[d])
            values *= size
    return values <= t.room[x, 1 if several else 0]


@no_type_check
@numba.njit(cache=True)
def stores_psums(t, w):
    """Whether some output leaves the accumulator unfinished: a loop it depends on stands inside the reduction's."""
    reduced = False
    for q in range(w.size):
        if not t.relevant[2, w.outer[q]]:
            reduced = True
        elif reduced:
            return True
    inside = False
    for d in range(t.dims):
        inside = inside or (t.relevant[2, d] and w.trips[d] < t.pieces[d])
    return reduced and inside


@no_type_check
@numba.njit(cache=True)
def inside_fetches(t, w, x):
    """Least times each value is fetched by a memory anywhere among the loops over array pieces.

    At least one of those loops that the operand depends on stands outside it, so every trip of an outer
    loop that it does not depend on fetches anew. Endless where there is no such loop.
    """
    last, plain, times = -1, 1.0, 1.0
    for q in range(w.size):
        if t.relevant[x, w.outer[q]]:
            last = q
    for q in range(w.size):
        if not t.relevant[x, w.outer[q]]:
            times *= w.trips[w.outer[q]]
            if q < last:
                plain = times
    least = 1e300
    for a in range(t.dims):
        pieces = t.pieces[a]
        if t.relevant[x, a] and pieces > 1 and w.trips[a] < pieces:
            whole = _split_share(t, w, x, a)
            least = min(least, whole * times + (1.0 - whole) * plain)
    return least


@no_type_check
@numba.njit(cache=True)
def bound_of(t, w, base_pj, times, steps):
    """Bound with each value fetched `times` (3,) over `steps` tiles, above what `base_pj` (once, array) counts."""
    energy, bits = base_pj, 0.0
    for x in range(3):
        if x == 2:
            again = 0.0 if t.bypass else times[x] - 1.0
            bits += t.values[x] * (t.bits[x] / t.bits_of[x] + 2 * again * t.bits[3])
            energy += w.prices[x, 1] * t.values[x] * again
        else:
            bits += t.values[x] * times[x] * (t.bits[x] / t.bits_of[x])
            energy += w.prices[x, 1] * t.values[x] * times[x]
    fs = max((w.cycles + steps * t.pipeline_cycles) * t.period_fs, bits * t.dram_fs_per_bit)
    fs += 2 * t.dram_latency_fs
    return score_of(energy + fs * t.leakage_pj_per_fs, fs, w.objective)[0]


@no_type_check
@numba.njit(cache=True)
def outer_fetches(t, w):
    """Fill `outside` (4,): fetches of each operand where it fits outside all array pieces; the last of stored psums.

    That is at the outermost place where it fits: further in, it is fetched as often or more. Endless if nowhere.
    """
    for row in range(4):
        x, stored = min(row, 2), row == 3
        w.outside[row] = 1e300
        for p in range(w.size + 1):
            depends = p == 0 or t.relevant[x, w.outer[p - 1]]
            if depends and fits(t, w, x, w.outer, p, stored):
                w.outside[row] = fetches(t, w, x, w.outer, p)
                break


@no_type_check
@numba.njit(cache=True)
def tile_bound(t, w, inner):
    """Bound of tile sizes from `low` on, of at least so many `pieces`, and one order of the array's pieces.

    `outside` is what `outer_fetches` says of them.
    """
    base = w.once_pj + array_pj(t, w, inner, inner.size)
    stored = visits_of_array(t, w, 2, inner, inner.size) > 1.0
    least, steps = np.ones(3), 1.0
    for x in range(3):
        least[x] = w.outside[3 if x == 2 and stored else x]
        p = w.size + 1
        while least[x] == 1e300 and p <= w.size + inner.size:
            if t.relevant[x, inner[p - 1 - w.size]] and fits(t, w, x, inner, p, stored):
                least[x] = fetches(t, w, x, inner, p)
            p += 1
        if least[x] == 1e300 and not (x == 2 and t.bypass):
            return 1e300
    for q in range(w.size):
        steps *= w.trips[w.outer[q]]
    return bound_of(t, w, base, least, steps)
