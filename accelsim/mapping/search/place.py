"""Every way to store the operands of one counted nest, and the cheapest that fits.

An operand is stored below any prefix of the nest in each memory of its chain, outer memories outside
inner ones, or passes a memory by; it uses one memory at least. Each way has its energy, DRAM bits,
port time and demand; the op takes one way per operand. See `accelsim.mapping.closed_form` for what
energy and time are.
"""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np

from accelsim.mapping.search.count import words_of
from accelsim.mapping.search.space import MAX_LOOPS, MAX_PLACES
from accelsim.mapping.search.tables import MAX_LEVELS

ENERGY, LATENCY, EDP = 0, 1, 2
SAME = 1e-12
"""Scores closer than this are equal; then the second metric decides, then which came first."""


@no_type_check
@numba.njit(cache=True)
def list_places(t, out, loops, fixed, places):
    """Fill `places`; `fixed` (3, levels) is -1 where the position is free."""
    for x in range(3):
        places.number[x] = 0
        levels = t.levels[x]
        position = np.zeros(MAX_LEVELS, np.int64)
        total = (loops + 2) ** levels
        for code in range(total):
            rest, outer, used, good = code, 0, 0, True
            for level in range(levels):
                position[level] = rest % (loops + 2) - 1
                rest //= loops + 2
                if fixed[x, level] != -1 and position[level] != fixed[x, level]:
                    good = False
                    break
                if position[level] >= 0:
                    used += 1
                    if position[level] < outer:
                        good = False
                        break
                    outer = position[level]
            if not good or (used == 0 and not (x == 2 and t.bypass and out.visits[loops] > 1)):
                continue
            if places.number[x] < MAX_PLACES:
                _price(t, out, loops, x, position, places)


@no_type_check
@numba.njit(cache=True)
def _price(t, out, loops, x, position, places):
    """Append the operand's way `position` if each memory by itself can hold it and the spill rule allows it."""
    way = places.number[x]
    memories = t.word_bits.size
    for m in range(memories):
        places.need_bits[x, way, m] = 0
        places.read_cycles[x, way, m], places.write_cycles[x, way, m] = 0.0, 0.0
    energy, inner, depth = 0.0, loops, 0
    for level in range(t.levels[x] - 1, -1, -1):
        p = position[level]
        if p < 0:
            continue
        m = t.memory[x, level]
        need = _need(t, out, loops, x, level, p)
        if need > t.capacity_bits[m] or (x == 2 and t.bypass and out.visits[p] > 1):
            return
        if x < 2:
            reads, writes = out.words[x, level, inner], out.words[x, level, p]
        else:
            reads = out.psum_words[level, inner] + out.psum_words[level, p] + out.words[2, level, p]
            writes = out.psum_words[level, inner] + out.psum_words[level, p] + out.words[2, level, inner]
        energy += reads * t.read_pj[x, level] + writes * t.write_pj[x, level]
        places.need_bits[x, way, m] = need
        places.read_cycles[x, way, m] = reads / t.read_rate[m]
        places.write_cycles[x, way, m] = writes / t.write_rate[m]
        depth = max(depth, p)
        inner = p
    bits = out.moved[x, inner]
    if x == 2:
        bits += 2 * out.psum_moved[inner]
        energy += out.stores[loops] * t.requantise_pj + out.again[loops] * t.dequantise_pj
        if inner == loops:
            depth = loops
    places.energy_pj[x, way] = energy + bits * t.dram_pj_per_bit
    places.dram_bits[x, way] = bits
    edge = out.largest[x, inner] * t.bits[x]
    places.edge_bits[x, way] = -(-edge // t.burst_bits) * t.burst_bits
    places.depth[x, way] = depth
    for level in range(MAX_LEVELS):
        places.position[x, way, level] = position[level]
    places.number[x] += 1


@no_type_check
@numba.njit(cache=True)
def _need(t, out, loops, x, level, p):
    """Bits of the memory that the operand's tile (or two of them) takes; see `mapping.fit`."""
    m = t.memory[x, level]
    values = out.largest[x, p]
    words = words_of(values, t.per_word[x, level])
    if x == 2:
        live = min(t.group_size, out.visits[loops] - 1)
        return max(words, words_of(values * live, t.psum_per_word[level])) * t.word_bits[m]
    return (2 if out.tiles[x, p] > 1 else 1) * words * t.word_bits[m]


@no_type_check
@numba.njit(cache=True)
def choose(t, out, loop_dim, loop_step, loops, places, objective, best):
    """Try every triple of ways that fits; keep a better one in `best`."""
    stored = out.visits[loops]
    if t.k_tile_visits != 0 and stored > 1 and stored != t.k_tile_visits:
        return
    base_pj, base_cycles = _bias(t, out, loops), 0.0
    pieces = float(out.steps[loops]) if t.stationary < 0 else float(out.fold_cycles[0])
    if t.engine_rate > 0 and stored > 1:
        base_cycles = out.stores[loops] / t.engine_rate
    memories = t.word_bits.size
    for i in range(places.number[0]):
        for w in range(places.number[1]):
            if not _fits(t, places, i, w, -1):
                continue
            for o in range(places.number[2]):
                if not _fits(t, places, i, w, o):
                    continue
                best.counted[1] += 1
                depth = max(places.depth[0, i], max(places.depth[1, w], places.depth[2, o]))
                cycles = max(base_cycles, pieces + out.steps[depth] * t.pipeline_cycles)
                for m in range(memories):
                    read = places.read_cycles[0, i, m] + places.read_cycles[1, w, m] + places.read_cycles[2, o, m]
                    write = places.write_cycles[0, i, m] + places.write_cycles[1, w, m] + places.write_cycles[2, o, m]
                    cycles = max(cycles, max(read, write))
                dram = places.dram_bits[0, i] + places.dram_bits[1, w] + places.dram_bits[2, o] + base_pj[1]
                edge = places.edge_bits[0, i] + places.edge_bits[1, w] + places.edge_bits[2, o]
                fs = cycles * t.period_fs + edge * t.dram_fs_per_bit
                fs = 2 * t.dram_latency_fs + max(fs, dram * t.dram_fs_per_bit)
                energy = places.energy_pj[0, i] + places.energy_pj[1, w] + places.energy_pj[2, o]
                energy += t.fixed_pj + base_pj[0] + fs * t.leakage_pj_per_fs
                _keep(energy, fs, objective, loop_dim, loop_step, loops, places, i, w, o, best)


@no_type_check
@numba.njit(cache=True, inline="always")
def _fits(t, places, i, w, o):
    for m in range(t.word_bits.size):
        need = places.need_bits[0, i, m] + places.need_bits[1, w, m]
        if o >= 0:
            need += places.need_bits[2, o, m]
        if need > t.capacity_bits[m]:
            return False
    return True


@no_type_check
@numba.njit(cache=True)
def _bias(t, out, loops):
    """Energy and DRAM bits of a bias: in once, read to start each output tile of the array."""
    values, per_word, bits, level = t.bias[0], t.bias[1], t.bias[2], t.bias[4]
    if values == 0:
        return 0.0, 0
    moved = -(-values * bits // t.burst_bits) * t.burst_bits
    words = words_of(values, per_word)
    energy = moved * t.dram_pj_per_bit + words * t.write_pj[1, level] + out.bias_reads[0] * t.read_pj[1, level]
    return energy, moved


@no_type_check
@numba.njit(cache=True, inline="always")
def score_of(energy, fs, objective):
    """Objective and second metric."""
    if objective == ENERGY:
        return energy, fs
    if objective == LATENCY:
        return fs, energy
    return energy * fs, energy


@no_type_check
@numba.njit(cache=True)
def _keep(energy, fs, objective, loop_dim, loop_step, loops, places, i, w, o, best):
    score, second = score_of(energy, fs, objective)
    if score > best.score[0] * (1 + SAME):
        return
    if score >= best.score[0] * (1 - SAME) and second >= best.score[1] * (1 - SAME):
        return
    best.score[0], best.score[1], best.score[2], best.score[3] = score, second, energy, fs
    best.loops[0] = loops
    for p in range(loops):
        best.loops[1 + p], best.loops[1 + MAX_LOOPS + p] = loop_dim[p], loop_step[p]
    for level in range(MAX_LEVELS):
        best.position[0, level] = places.position[0, i, level]
        best.position[1, level] = places.position[1, w, level]
        best.position[2, level] = places.position[2, o, level]
