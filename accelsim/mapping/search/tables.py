"""What the kernels of the search read: a problem on a machine as one record of numbers.

Energies in pJ, times in femtoseconds, sizes in bits. Dims are the problem's with more than one index.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from accelsim.hardware.adder_tree import AdderTree
from accelsim.hardware.machine import Array, Machine
from accelsim.hardware.pe_grid import PeGrid
from accelsim.hardware.sram import Sram, Width
from accelsim.mapping.closed_form import STATIONARY
from accelsim.mapping.count import tiling
from accelsim.mapping.problem import OPERANDS, OperandName, Problem
from accelsim.mapping.search.halo_tables import overlaps
from accelsim.mapping.search.space import MAX_DIMS, MAX_LEVELS, MAX_MEMORIES, TABLES, Floats, Record

EVERYTHING = 2**62


def used_dims(problem: Problem) -> tuple[str, ...]:
    """The dims with more than one index."""
    return tuple(dim for dim, extent in problem.extents if extent > 1)


def tables(problem: Problem, machine: Machine, widths: dict[str, int], spill: str) -> Record:
    """A record of `TABLES`; `widths` are the array's, by dim. ValueError for more than the kernels have room for."""
    dims = used_dims(problem)
    if len(dims) > MAX_DIMS or len(machine.memories) > MAX_MEMORIES:
        raise ValueError(f"{len(dims)} dims, {len(machine.memories)} memories: more than {MAX_DIMS}, {MAX_MEMORIES}")
    record = np.zeros(1, TABLES)
    values = {
        **_shape(problem, dims, widths),
        **_memories(problem, machine),
        **_dram(machine),
        **_psums(problem, machine, widths),
        **_array(machine.array, dims, widths),
        "bypass": spill == "bypass",
        "room": _room(problem, machine, spill == "bypass"),
        "fixed_pj": problem.macs * machine.array.actions["mac"].energy_pj.value,
        "period_fs": machine.period_fs,
        "leakage_pj_per_fs": math.fsum(block.leakage_mw.value for block in machine.blocks()) * 1e-6,
    }
    for name, value in values.items():
        array = np.asarray(value)
        where = (slice(0, 1), *(slice(0, size) for size in array.shape))
        record[name][where] = array
    return record


def _shape(problem: Problem, dims: tuple[str, ...], widths: dict[str, int]) -> dict[str, object]:
    return {
        "dims": len(dims),
        "extents": [problem.extent(dim) for dim in dims],
        "widths": [widths.get(dim, 1) for dim in dims],
        "pieces": [-(-problem.extent(dim) // widths.get(dim, 1)) for dim in dims],
        "relevant": [[dim in problem.relevant(operand) for dim in dims] for operand in OPERANDS],
        "values": [_elements(problem, operand) for operand in OPERANDS],
        "overlaps": overlaps(problem),
        "bias": [problem.bias_values, problem.bias_bits],
        "bias_dims": [dim in (*problem.batch, problem.column) for dim in dims],
        "restart": [dim in (problem.row, *problem.shared) for dim in dims],
    }


def _memories(problem: Problem, machine: Machine) -> dict[str, object]:
    memories = machine.memories
    number = {memory.name: i for i, memory in enumerate(memories)}
    chains = [machine.chain(operand) for operand in OPERANDS]
    widths: tuple[Width, ...] = (problem.ifmap_bits, problem.stored_weight_bits, problem.ofmap_bits)
    return {
        "memories": len(memories),
        "word_bits": [memory.word_bits for memory in memories],
        "capacity_bits": [memory.capacity_bits for memory in memories],
        "read_rate": [memory.read_bits_per_cycle / memory.word_bits for memory in memories],
        "write_rate": [memory.write_bits_per_cycle / memory.word_bits for memory in memories],
        "levels": [len(chain) for chain in chains],
        "memory": _grid(chains, lambda sram, _: number[sram.name]),
        "per_word": _grid(chains, lambda sram, x: _per_word(sram, widths[x])),
        "psum_per_word": [_per_word(sram, problem.psum.bits) for sram in chains[2]],
        "bias_per_word": [_per_word(sram, problem.bias_bits) for sram in chains[1]],
        "read_pj": _grid(chains, lambda sram, _: sram.actions["read"].energy_pj.value),
        "write_pj": _grid(chains, lambda sram, _: sram.actions["write"].energy_pj.value),
        "bits": [*(width.numerator for width in problem.dram_bits.values()), problem.psum.bits],
        "bits_of": [width.denominator for width in problem.dram_bits.values()],
    }


def _room(problem: Problem, machine: Machine, bypass: bool) -> list[list[int]]:
    """See `TABLES`; everything fits where psums that come back use no memory, and where a conv's tiles overlap."""
    ifmap, weight, output = (machine.chain(operand) for operand in OPERANDS)
    rooms = [
        [max(_values(sram, bits, slots) for sram in chain) for slots in (1, 2)]
        for chain, bits in ((ifmap, problem.ifmap_bits), (weight, problem.stored_weight_bits))
    ]
    if overlaps(problem):
        rooms[0] = [EVERYTHING] * 2
    if bypass:
        return [*rooms, [EVERYTHING] * 2]
    finished = [_values(sram, problem.ofmap_bits, 1) for sram in output]
    stored = [min(room, _values(sram, problem.psum.bits, 1)) for room, sram in zip(finished, output, strict=True)]
    return [*rooms, [max(finished), max(stored)]]


def _values(sram: Sram, bits: Width, slots: int) -> int:
    """The most values of which so many tiles fit."""
    words, per_word = sram.capacity_bits // sram.word_bits // slots, _per_word(sram, bits)
    return words * per_word if per_word > 0 else words // -per_word


def _dram(machine: Machine) -> dict[str, object]:
    dram = machine.dram
    return {
        "burst_bits": dram.burst_bytes * 8,
        "dram_pj_per_bit": dram.pj_per_bit.value,
        "dram_fs_per_bit": float(dram.fs_per_byte / 8),
        "dram_latency_fs": dram.latency_fs,
    }


def _psums(problem: Problem, machine: Machine, widths: dict[str, int]) -> dict[str, object]:
    asked: dict[str, object] = {
        "group_size": problem.psum.group_size,
        "k_tile_visits": _k_tile_visits(problem, widths),
    }
    engine = machine.psum_engine
    if engine is None or not problem.psum.is_apsq:
        return asked
    return {
        **asked,
        "requantise_pj": engine.actions["requantise"].energy_pj.value,
        "dequantise_pj": engine.actions["dequantise"].energy_pj.value,
        "engine_rate": engine.psums_per_cycle,
    }


def _array(array: Array, dims: tuple[str, ...], widths: dict[str, int]) -> dict[str, object]:
    if isinstance(array, PeGrid):
        raise ValueError("a PE grid's registers and passes are not searched")
    if isinstance(array, AdderTree):
        return {"pipeline_cycles": array.pipeline_stages, "stationary": -1}
    row, column = widths
    return {
        "stationary": OPERANDS.index(STATIONARY[array.dataflow]),
        "row": _position(dims, row),
        "column": _position(dims, column),
        "rows": array.rows,
        "cols": array.cols,
        "load_cycles": 0 if array.overlapped_load else array.load_cycles(array.rows, array.cols),
        "trimmed": array.trimmed_folds,
    }


def _grid(chains: Sequence[Sequence[Sram]], value: Callable[[Sram, int], float]) -> Floats:
    """One value per operand and level of its chain."""
    grid = np.zeros((len(chains), MAX_LEVELS))
    for operand, chain in enumerate(chains):
        for level, sram in enumerate(chain):
            grid[operand, level] = value(sram, operand)
    return grid


def _per_word(sram: Sram, bits: Width) -> int:
    """Values in a word, or minus the words of a value wider than one (see `Sram.accesses`)."""
    if bits > sram.word_bits:
        return -sram.accesses(1, bits)
    return sram.values_per_word(bits)


def _position(dims: Sequence[str], dim: str) -> int:
    return dims.index(dim) if dim in dims else -1


def _elements(problem: Problem, operand: OperandName) -> int:
    return tiling(problem, operand, ()).once()


def _k_tile_visits(problem: Problem, widths: dict[str, int]) -> int:
    """T when every array-sized piece of the reduction leaves the accumulator by itself; -1 if none can."""
    if problem.psum.k_tile is None:
        return 0
    if widths.get(problem.reduction[-1], 1) != problem.psum.k_tile:
        return -1
    return math.prod(-(-problem.extent(dim) // widths.get(dim, 1)) for dim in problem.reduction)
