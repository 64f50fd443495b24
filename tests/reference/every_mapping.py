"""Every mapping of a matmul on an adder tree with a buffer of its own for each operand, and the best of them.

Batch dims stand outermost, one index a trip. Every other dim has tiles of any size, as large as the dim
for no loop at all; the loops over tiles stand in every order, inside them the loops over array-sized
pieces in every order; every operand is stored outside all loops or right below any loop that it depends
on, some operand at or below the last tile loop. (Right below another loop its tile is the same one, but
it would stand for "something" there: that is not in the map space.) All are walked
(`nest_walk`) and priced here, without any code of `accelsim.mapping`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import no_type_check

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.hardware.adder_tree import AdderTree
from accelsim.hardware.machine import Machine
from accelsim.mapping.problem import Problem
from tests.reference.nest_walk import COUNTS, DIMS, FORMAT, MAX_LOOPS, NO_WINDOWS, OUTPUT, RELEVANT, bursts, walk, words
from tests.reference.psum_stays import psum_stays

OBJECTIVES = ("energy", "latency", "edp")
Loops = tuple[tuple[str, int], ...]
Positions = tuple[int, int, int]

PRICES = np.dtype(
    [
        ("capacity_bits", np.int64, (3,)),
        ("group_size", np.int64),
        ("read_pj", np.float64, (3,)),
        ("write_pj", np.float64, (3,)),
        ("read_bits_per_cycle", np.float64, (3,)),
        ("write_bits_per_cycle", np.float64, (3,)),
        ("dram_pj_per_bit", np.float64),
        ("dram_fs_per_bit", np.float64),
        ("dram_latency_fs", np.float64),
        ("requantise_pj", np.float64),
        ("dequantise_pj", np.float64),
        ("psums_per_cycle", np.float64),
        ("macs_pj", np.float64),
        ("pipeline_cycles", np.float64),
        ("period_fs", np.float64),
        ("leakage_pj_per_fs", np.float64),
    ]
)
BEST = np.dtype(
    [
        ("score", np.float64),
        ("energy_pj", np.float64),
        ("latency_fs", np.float64),
        ("loops", np.int64),
        ("loop_dim", np.int64, (MAX_LOOPS,)),
        ("loop_step", np.int64, (MAX_LOOPS,)),
        ("position", np.int64, (3,)),
        ("mappings", np.int64),
        ("nests", np.int64),
    ]
)


@dataclass(frozen=True)
class Best:
    """The least of the objective; `mappings` fit, of `nests` loop nests."""

    score: float
    energy_pj: float
    latency_fs: float
    loops: Loops
    positions: Positions
    mappings: int
    nests: int


def best_of_all(problem: Problem, machine: Machine, objective: str, stationary: int | None = None) -> Best | None:
    """The best of all mappings, None if none fits; `stationary`: what its loops leave still comes innermost.

    That is, the loops over array pieces whose dims do not select an element of that operand stand
    inside all others.
    """
    extents, widths, form, prices = numbers(problem, machine)
    best, scratch = np.zeros(1, BEST), np.zeros(1, COUNTS)
    best["score"] = np.inf
    split = _ordered_subsets([d for d in range(1, 5) if extents[d] > 1])
    pieces = [order for order in split if stationary is None or _streams_last(order, stationary)]
    tiles, counts = (_rows(orders) for orders in (split, pieces))
    code = OBJECTIVES.index(objective)
    every(extents, widths, tiles, counts, code, form[0], prices[0], RELEVANT, scratch[0], best[0])
    if not np.isfinite(best["score"][0]):
        return None
    row = best[0]
    size = int(row["loops"])
    loops = tuple((DIMS[d], int(step)) for d, step in zip(row["loop_dim"][:size], row["loop_step"][:size], strict=True))
    i, w, o = (int(p) for p in row["position"])
    score, energy, latency = (float(row[name]) for name in ("score", "energy_pj", "latency_fs"))
    return Best(score, energy, latency, loops, (i, w, o), int(row["mappings"]), int(row["nests"]))


def walked_cost(
    problem: Problem, machine: Machine, loops: Loops, positions: Positions
) -> tuple[float, float, tuple[int, int, int]]:
    """Energy in pJ, time in fs and the bits asked of each buffer, of any nest with storage at any positions.

    Outputs have one slot.
    """
    extents, _, form, prices = numbers(problem, machine)
    dims = np.array([DIMS.index(dim) for dim, _ in loops], np.int64)
    steps = np.array([step for _, step in loops], np.int64)
    counts = np.zeros(1, COUNTS)
    walk(extents, dims, steps, len(loops), form[0], RELEVANT, NO_WINDOWS, counts[0])
    if problem.psum.group_size > 1:
        _count_groups(counts[0], problem, loops, positions[OUTPUT], form[0])
    energy, latency = price(counts[0], len(loops), *positions, False, form[0], prices[0])
    i, w, o = (int(need(counts[0], len(loops), x, positions[x], form[0], prices[0])) for x in range(3))
    return float(energy), float(latency), (i, w, o)


def _count_groups(counts: np.void, problem: Problem, loops: Loops, position: int, form: np.void) -> None:
    """Put the psums of groups that cross at one position in place of one a stay."""
    extents = [problem.extent(dim) for dim in DIMS]
    nest = [(DIMS.index(dim), step) for dim, step in loops]
    up, down = psum_stays(extents, RELEVANT[OUTPUT].tolist(), nest, position, problem.psum.group_size)
    for name, psums in (("up_words", up), ("down_words", down)):
        counts[name][position] = sum(words(psum, form["psum_bits"], form["word_bits"][OUTPUT]) for psum in psums)
    counts["crossed_bits"][position] = sum(bursts(psum * form["psum_bits"], form["burst_bits"]) for psum in up + down)


def _ordered_subsets(dims: list[int]) -> list[tuple[int, ...]]:
    return [order for size in range(len(dims) + 1) for order in itertools.permutations(dims, size)]


def _streams_last(order: tuple[int, ...], stationary: int) -> bool:
    moving = [not RELEVANT[stationary, d] for d in order]
    return moving == sorted(moving)


def _rows(orders: list[tuple[int, ...]]) -> NDArray[np.int64]:
    """One order a row, ended by -1."""
    return np.array([[*order, *[-1] * (5 - len(order))] for order in orders], np.int64)


def numbers(
    problem: Problem, machine: Machine
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.void], NDArray[np.void]]:
    array = machine.array
    assert isinstance(array, AdderTree)
    assert len(machine.memories) == 3
    assert not problem.bias_values
    unrolled = {problem.row: array.po, problem.reduction[-1]: array.pci, problem.column: array.pco}
    extents = np.array([extent for _, extent in problem.extents], np.int64)
    widths = np.array([unrolled.get(dim, 1) for dim in problem.dims], np.int64)
    buffers = (machine.ifmap_buffer, machine.weight_buffer, machine.psum_buffer)
    dram, engine = machine.dram, machine.psum_engine
    form = np.zeros(1, FORMAT)
    form["bits"] = (problem.ifmap_bits, problem.weight_bits, problem.ofmap_bits)
    form["psum_bits"] = problem.psum.bits
    form["word_bits"] = [buffer.word_bits for buffer in buffers]
    form["burst_bits"] = dram.burst_bytes * 8
    prices = np.zeros(1, PRICES)
    for name in ("capacity_bits", "read_bits_per_cycle", "write_bits_per_cycle"):
        prices[name] = [getattr(buffer, name) for buffer in buffers]
    prices["read_pj"] = [buffer.actions["read"].energy_pj.value for buffer in buffers]
    prices["write_pj"] = [buffer.actions["write"].energy_pj.value for buffer in buffers]
    prices["group_size"] = problem.psum.group_size
    prices["dram_pj_per_bit"] = dram.pj_per_bit.value
    prices["dram_fs_per_bit"] = float(dram.fs_per_byte) / 8
    prices["dram_latency_fs"] = dram.latency_fs
    prices["psums_per_cycle"] = np.inf
    if engine is not None and problem.psum.bits < 16:
        prices["requantise_pj"] = engine.actions["requantise"].energy_pj.value
        prices["dequantise_pj"] = engine.actions["dequantise"].energy_pj.value
        prices["psums_per_cycle"] = engine.psums_per_cycle
    prices["macs_pj"] = np.prod(extents) * array.actions["mac"].energy_pj.value
    prices["pipeline_cycles"] = array.pipeline_stages
    prices["period_fs"] = machine.period_fs
    prices["leakage_pj_per_fs"] = sum(block.leakage_mw.value for block in machine.blocks()) * 1e-3 * 1e-15 * 1e12
    return extents, widths, form, prices


@no_type_check
@numba.njit(cache=True)
def need(counts, loops, x, p, form, prices):
    """Bits of its buffer that an operand stored below `p` loops takes.

    Inputs twice if there is more than one tile; an output's slot has room for its live psums.
    """
    size = words(counts.largest[x, p], form.bits[x], form.word_bits[x])
    if x == OUTPUT:
        live = min(prices.group_size, counts.most_visits[loops] - 1)
        size = max(size, words(counts.largest[x, p] * live, form.psum_bits, form.word_bits[x]))
    elif counts.largest[x, p] < counts.largest[x, 0] or counts.least[x, p] < counts.largest[x, 0]:
        size *= 2
    return size * form.word_bits[x]


@no_type_check
@numba.njit(cache=True)
def price(counts, loops, i, w, o, two_slots, form, prices):
    """Energy and time with the input stored below `i` loops, the weight below `w`, the output below `o`.

    Without `two_slots` for outputs the array waits until a tile is in DRAM before it begins the next.
    """
    energy, bits, edge_bits, busy = prices.macs_pj, 0.0, 0.0, 0.0
    for x, p in ((0, i), (1, w), (2, o)):
        if x != OUTPUT:
            fills, drains = counts.words[x, p], counts.words[x, loops]
            bits += counts.moved_bits[x, p]
        else:
            psums = counts.psum_words[x, loops]
            fills = psums + counts.down_words[p] + counts.words[x, loops]
            drains = psums + counts.up_words[p] + counts.words[x, p]
            bits += counts.moved_bits[x, p] + counts.crossed_bits[p]
        energy += fills * prices.write_pj[x] + drains * prices.read_pj[x]
        busy = max(busy, fills * form.word_bits[x] / prices.write_bits_per_cycle[x])
        busy = max(busy, drains * form.word_bits[x] / prices.read_bits_per_cycle[x])
        edge = bursts(counts.largest[x, p] * form.bits[x], form.burst_bits)
        if x == OUTPUT and not two_slots:
            edge = max(edge, counts.moved_bits[x, p] + counts.crossed_bits[p])
        edge_bits += edge
    energy += counts.requantised * prices.requantise_pj + counts.dequantised * prices.dequantise_pj
    energy += bits * prices.dram_pj_per_bit
    busy = max(busy, counts.requantised / prices.psums_per_cycle)
    busy = max(busy, counts.entries[loops] + counts.entries[max(i, w, o)] * prices.pipeline_cycles)
    inside = busy * prices.period_fs + edge_bits * prices.dram_fs_per_bit
    time = 2 * prices.dram_latency_fs + max(inside, bits * prices.dram_fs_per_bit)
    return energy + time * prices.leakage_pj_per_fs, time


@no_type_check
@numba.njit(cache=True)
def every(extents, widths, tile_orders, piece_orders, objective, form, prices, relevant, counts, best):
    """Go through all tile sizes and orders; a dim without a tile loop is one tile. `counts` is scratch."""
    tile, most = np.ones(5, np.int64), np.ones(5, np.int64)
    dims, steps = np.zeros(MAX_LOOPS, np.int64), np.zeros(MAX_LOOPS, np.int64)
    for a in range(tile_orders.shape[0]):
        for d in range(5):
            tile[d], most[d] = extents[d], extents[d]
        first = 0
        if extents[0] > 1:
            dims[0], steps[0], tile[0], most[0], first = 0, 1, 1, 1, 1
        for q in range(5):
            if tile_orders[a, q] < 0:
                break
            d = tile_orders[a, q]
            dims[first], tile[d], most[d] = d, 1, extents[d] - 1
            first += 1
        while True:
            for p in range(first):
                steps[p] = tile[dims[p]]
            for b in range(piece_orders.shape[0]):
                loops = _pieces(piece_orders[b], tile, widths, first, dims, steps)
                if loops >= 0:
                    walk(extents, dims, steps, loops, form, relevant, NO_WINDOWS, counts)
                    best.nests += 1
                    store_everywhere(counts, dims, steps, loops, first, objective, form, prices, relevant, best)
            # The next tile sizes: counted up like the digits of a number.
            p = first - 1
            while p >= 0 and tile[dims[p]] == most[dims[p]]:
                tile[dims[p]] = 1
                p -= 1
            if p < 0:
                break
            tile[dims[p]] += 1


@no_type_check
@numba.njit(cache=True)
def _pieces(order, tile, widths, first, dims, steps):
    """Append the loops over array pieces; -1 unless `order` names just the dims that have some."""
    loops, named = first, 0
    for d in range(5):
        if tile[d] > widths[d]:
            named += 1
    for q in range(5):
        if order[q] < 0:
            break
        if tile[order[q]] <= widths[order[q]]:
            return -1
        dims[loops], steps[loops] = order[q], widths[order[q]]
        loops += 1
    return loops if loops - first == named else -1


@no_type_check
@numba.njit(cache=True)
def store_everywhere(counts, dims, steps, loops, tile_loops, objective, form, prices, relevant, best):
    fits = np.zeros((3, MAX_LOOPS + 1), np.bool_)
    for x in range(3):
        for p in range(loops + 1):
            depends = p == 0 or relevant[x, dims[p - 1]]
            fits[x, p] = depends and need(counts, loops, x, p, form, prices) <= prices.capacity_bits[x]
    for o in range(loops + 1):
        if prices.group_size > 1 and counts.most_visits[o] > 1:
            fits[OUTPUT, o] = False  # groups of psums stay in their buffer until they are finished
    for i in range(loops + 1):
        for w in range(loops + 1):
            for o in range(loops + 1):
                if not (fits[0, i] and fits[1, w] and fits[2, o]) or max(i, w, o) < tile_loops:
                    continue
                best.mappings += 1
                two_slots = 2 * need(counts, loops, OUTPUT, o, form, prices) <= prices.capacity_bits[OUTPUT]
                energy, time = price(counts, loops, i, w, o, two_slots, form, prices)
                score = energy if objective == 0 else time if objective == 1 else energy * time
                if score < best.score:
                    best.score, best.energy_pj, best.latency_fs, best.loops = score, energy, time, loops
                    for p in range(loops):
                        best.loop_dim[p], best.loop_step[p] = dims[p], steps[p]
                    best.position[0], best.position[1], best.position[2] = i, w, o
