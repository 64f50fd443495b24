"""Every way to store the operands of one counted nest, and the cheapest that fits.

An operand is stored below any of the tile loops in each memory of its chain, outer memories outside
inner ones, or passes a memory by; it uses one memory at least. Each way has its energy, DRAM bits,
port time and demand; the op takes one way per operand. See `accelsim.mapping.closed_form` for what
energy and time are.
"""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np

from accelsim.mapping.search.count import words_of
from accelsim.mapping.search.space import MAX_LEVELS, MAX_MEMORIES, MAX_PLACES

ENERGY, LATENCY, EDP = 0, 1, 2
SAME = 1e-12
"""Scores closer than this are equal; then the second metric decides, then which came first."""


@no_type_check
@numba.njit(cache=True)
def list_places(t, out, loop_dim, loops, places):
    """Fill `places` with positions right below a loop the operand depends on; past any other its tile is the same."""
    position = np.zeros(MAX_LEVELS, np.int64)
    for x in range(3):
        places.number[x] = 0
        levels = t.levels[x]
        for code in range((loops + 2) ** levels):
            rest, outer, used, good = code, 0, 0, True
            for level in range(levels):
                p = rest % (loops + 2) - 1
                rest //= loops + 2
                position[level] = p
                if p > 0:
                    good = good and t.relevant[x, loop_dim[p - 1]]
                if p >= 0:
                    good = good and p >= outer
                    used, outer = used + 1, p
            # Groups of several psums move otherwise than `psum_moved` counts: they stay in a memory till finished.
            exchanged = x == 2 and t.bypass and t.group_size == 1 and out.visits[loops] > 1
            if not good or (used == 0 and not exchanged):
                continue
            if places.number[x] < MAX_PLACES:
                _price(t, out, loops, x, position, places)
            else:
                places.left_out = True


@no_type_check
@numba.njit(cache=True)
def _price(t, out, loops, x, position, places):
    """Append the operand's way `position` if each memory by itself can hold it and the spill rule allows it.

    Psums in groups of more than one stay in their memory until they are finished.
    """
    way = places.number[x]
    memories = t.memories
    for m in range(memories):
        places.need_bits[x, way, m] = 0
        places.read_cycles[x, way, m], places.write_cycles[x, way, m] = 0.0, 0.0
    energy, inner, depth, innermost = 0.0, loops, 0, True
    places.outermost[x, way] = -1
    for level in range(t.levels[x] - 1, -1, -1):
        p = position[level]
        if p < 0:
            continue
        m = t.memory[x, level]
        need = _need(t, out, loops, x, level, p)
        if need > t.capacity_bits[m]:
            return
        if x == 2 and out.visits[p] > 1 and (t.bypass or t.group_size > 1):
            return  # several psums of a group may leave unfinished, which `psum_words` does not count: left out
        if x < 2:
            reads, writes = out.words[x, level, inner], out.words[x, level, p]
        else:
            reads = out.psum_words[level, inner] + out.psum_words[level, p] + out.words[2, level, p]
            writes = out.psum_words[level, inner] + out.psum_words[level, p] + out.words[2, level, inner]
        energy += reads * t.read_pj[x, level] + writes * t.write_pj[x, level]
        if x == 1 and t.bias[0] > 0:  # a bias comes by the weight's memories; the innermost starts the outputs
            words = words_of(t.bias[0], t.bias_per_word[level])
            starts = out.bias_reads[level] if innermost else words
            energy += words * t.write_pj[x, level] + starts * t.read_pj[x, level]
        places.need_bits[x, way, m] = need
        places.read_cycles[x, way, m] = reads / t.read_rate[m]
        places.write_cycles[x, way, m] = writes / t.write_rate[m]
        depth = max(depth, p)
        inner, innermost = p, False
        places.outermost[x, way] = m
    bits = out.moved[x, inner]
    if x == 2:
        bits += 2 * out.psum_moved[inner]
        energy += out.stores[loops] * t.requantise_pj + out.again[loops] * t.dequantise_pj
        if inner == loops:
            depth = loops
    places.energy_pj[x, way] = energy + bits * t.dram_pj_per_bit
    places.dram_bits[x, way] = bits
    edge = out.largest[x, inner] * t.bits[x]
    places.edge_bits[x, way] = -(-edge // (t.bits_of[x] * t.burst_bits)) * t.burst_bits
    places.depth[x, way] = depth
    is_kept = x == 2 and places.outermost[x, way] >= 0
    places.drain_bits[x, way] = max(places.edge_bits[x, way], bits) if is_kept else places.edge_bits[x, way]
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
def choose(t, out, loop_dim, loop_step, loops, tile_loops, places, objective, best):
    """Try every triple of ways that fits and stores something below the last tile loop; keep the best in `best`."""
    stored = out.visits[loops]
    if t.k_tile_visits != 0 and stored > 1 and stored != t.k_tile_visits:
        return
    bias_bits = -(-t.bias[0] * t.bias[1] // t.burst_bits) * t.burst_bits
    base_pj = t.fixed_pj + bias_bits * t.dram_pj_per_bit
    base_cycles = 0.0
    if t.engine_rate > 0 and stored > 1:
        base_cycles = out.stores[loops] / t.engine_rate
    pieces = float(out.steps[loops]) if t.stationary < 0 else float(out.fold_cycles)
    need, read, write = np.zeros(MAX_MEMORIES, np.int64), np.zeros(MAX_MEMORIES), np.zeros(MAX_MEMORIES)
    for i in range(places.number[0]):
        for w in range(places.number[1]):
            good = True
            for m in range(t.memories):
                need[m] = places.need_bits[0, i, m] + places.need_bits[1, w, m]
                read[m] = places.read_cycles[0, i, m] + places.read_cycles[1, w, m]
                write[m] = places.write_cycles[0, i, m] + places.write_cycles[1, w, m]
                good = good and need[m] <= t.capacity_bits[m]
            if not good:
                continue
            pj = base_pj + places.energy_pj[0, i] + places.energy_pj[1, w]
            bits = bias_bits + places.dram_bits[0, i] + places.dram_bits[1, w]
            edge_bits = places.edge_bits[0, i] + places.edge_bits[1, w]
            deep = max(places.depth[0, i], places.depth[1, w])
            for o in range(places.number[2]):
                depth = max(deep, places.depth[2, o])
                cycles = max(base_cycles, pieces + out.steps[depth] * t.pipeline_cycles)
                good = depth >= tile_loops
                for m in range(t.memories):
                    good = good and need[m] + places.need_bits[2, o, m] <= t.capacity_bits[m]
                    cycles = max(cycles, read[m] + places.read_cycles[2, o, m])
                    cycles = max(cycles, write[m] + places.write_cycles[2, o, m])
                if not good:
                    continue
                best.mappings += 1
                m, edge = places.outermost[2, o], places.edge_bits[2, o]
                if m >= 0 and need[m] + 2 * places.need_bits[2, o, m] > t.capacity_bits[m]:
                    edge = places.drain_bits[2, o]  # one slot: the array waits until each tile has left
                edge_fs = (edge_bits + edge) * t.dram_fs_per_bit
                dram_fs = (bits + places.dram_bits[2, o]) * t.dram_fs_per_bit
                fs = 2 * t.dram_latency_fs + max(cycles * t.period_fs + edge_fs, dram_fs)
                energy = pj + places.energy_pj[2, o] + fs * t.leakage_pj_per_fs
                score, second = score_of(energy, fs, objective)
                if score > best.score[0] * (1 + SAME):
                    continue
                if score < best.score[0] * (1 - SAME) or second < best.score[1] * (1 - SAME):
                    _keep(score, second, energy, fs, loop_dim, loop_step, loops, places, i, w, o, best)


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
def _keep(score, second, energy, fs, loop_dim, loop_step, loops, places, i, w, o, best):
    best.score[0], best.score[1], best.energy_pj, best.latency_fs = score, second, energy, fs
    best.loops = loops
    for p in range(loops):
        best.loop_dim[p], best.loop_step[p] = loop_dim[p], loop_step[p]
    for level in range(MAX_LEVELS):
        best.position[0, level] = places.position[0, i, level]
        best.position[1, level] = places.position[1, w, level]
        best.position[2, level] = places.position[2, o, level]
