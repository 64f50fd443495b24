"""What the kernels of the search read: a problem on a machine as arrays of numbers.

Operands are rows 0, 1, 2 (ifmap, weight, output), memories columns in the order of
`Machine.memories`, dims in the order of the problem's that have more than one index. Energies in pJ,
times in femtoseconds, sizes in bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware.machine import Machine
from accelsim.hardware.sram import Sram
from accelsim.hardware.systolic import Systolic
from accelsim.mapping.count import tiling
from accelsim.mapping.halo import halo_dims
from accelsim.mapping.problem import OPERANDS, OperandName, Problem

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MAX_LEVELS = 3
"""On-chip memories that one operand may pass."""


class Tables(NamedTuple):
    """A tuple of arrays, so that numba takes it as it is."""

    extents: Ints
    """(dims,)"""
    widths: Ints
    """(dims,) indices of each dim that the array takes at once."""
    relevant: NDArray[np.bool_]
    """(3, dims)"""
    values: Ints
    """(3,) elements of each operand."""
    overlaps: bool
    """Whether a conv's input tiles share elements."""
    levels: Ints
    """(3,) on-chip memories of each operand's chain."""
    memory: Ints
    """(3, levels) column of the memory."""
    per_word: Ints
    """(3, levels) values per word; negative: words per value. Output: of finished values."""
    psum_per_word: Ints
    """(levels,) the same of stored partial sums."""
    read_pj: Floats
    """(3, levels) energy of one word read."""
    write_pj: Floats
    word_bits: Ints
    """(memories,)"""
    capacity_bits: Ints
    read_rate: Floats
    """(memories,) words per cycle."""
    write_rate: Floats
    bits: Ints
    """(4,) bits per value of ifmap, weight, ofmap, stored psum."""
    burst_bits: int
    dram_pj_per_bit: float
    dram_fs_per_bit: float
    dram_latency_fs: float
    period_fs: float
    fixed_pj: float
    """Energy that no mapping changes: the MACs."""
    leakage_pj_per_fs: float
    requantise_pj: float
    dequantise_pj: float
    engine_rate: float
    """Psums the psum engine requantises in a cycle; 0 without APSQ."""
    group_size: int
    k_tile_visits: int
    """Visits of the accumulator a psum scheme's k_tile asks for; 0: any."""
    pipeline_cycles: int
    """Adder tree: cycles each array instruction pays once."""
    stationary: int
    """Systolic: the operand that stays (0, 1, 2); -1 for an adder tree."""
    row: int
    """Systolic: position of the dim on the rows, -1 if it has one index; likewise `column`."""
    column: int
    rows: int
    cols: int
    load_cycles: int
    """Systolic: cycles a fold's load adds, of a full array; 0 when loads overlap or outputs stay."""
    trimmed: bool
    bypass: bool
    """Outputs that come back go past their buffer."""
    bias: Ints
    """(5,) bias values, values per word, bits, and the bias's memory and level."""
    bias_dims: NDArray[np.bool_]
    """(dims,) dims that select a bias; of the others, which restart it (row and shared) in `restart`."""
    restart: NDArray[np.bool_]


def used_dims(problem: Problem) -> tuple[str, ...]:
    """The dims with more than one index."""
    return tuple(dim for dim, extent in problem.extents if extent > 1)


def tables(problem: Problem, machine: Machine, widths: dict[str, int], spill: str) -> Tables:
    """Everything the kernels need; `widths` are the array's, by dim."""
    dims = used_dims(problem)
    memories = machine.memories
    column_of = {memory.name: i for i, memory in enumerate(memories)}
    chains = [machine.chain(operand) for operand in OPERANDS]
    widest = (problem.ifmap_bits, problem.weight_bits, problem.ofmap_bits)
    array = machine.array
    systolic = isinstance(array, Systolic)
    engine = machine.psum_engine if problem.psum.is_apsq else None
    weights = chains[1][-1]
    dram_pj = machine.dram.actions["access"].energy_pj.value
    leakage = math.fsum(block.leakage_mw.value for block in machine.blocks()) * 1e-6
    return Tables(
        extents=_ints(problem.extent(dim) for dim in dims),
        widths=_ints(widths.get(dim, 1) for dim in dims),
        relevant=np.array([[dim in problem.relevant(operand) for dim in dims] for operand in OPERANDS], np.bool_),
        values=_ints(_elements(problem, operand) for operand in OPERANDS),
        overlaps=bool(halo_dims(problem)),
        levels=_ints(len(chain) for chain in chains),
        memory=_grid(chains, lambda sram, _: column_of[sram.name]).astype(np.int64),
        per_word=_grid(chains, lambda sram, x: _per_word(sram, widest[x])).astype(np.int64),
        psum_per_word=_ints([_per_word(sram, problem.psum.bits) for sram in chains[2]] + [1] * MAX_LEVELS),
        read_pj=_grid(chains, lambda sram, _: sram.actions["read"].energy_pj.value),
        write_pj=_grid(chains, lambda sram, _: sram.actions["write"].energy_pj.value),
        word_bits=_ints(memory.word_bits for memory in memories),
        capacity_bits=_ints(memory.capacity_bits for memory in memories),
        read_rate=np.array([memory.read_bits_per_cycle / memory.word_bits for memory in memories]),
        write_rate=np.array([memory.write_bits_per_cycle / memory.word_bits for memory in memories]),
        bits=_ints((*widest, problem.psum.bits)),
        burst_bits=machine.dram.burst_bytes * 8,
        dram_pj_per_bit=dram_pj,
        dram_fs_per_bit=float(machine.dram.fs_per_byte / 8),
        dram_latency_fs=float(machine.dram.latency_fs),
        period_fs=float(machine.period_fs),
        fixed_pj=problem.macs * array.actions["mac"].energy_pj.value,
        leakage_pj_per_fs=leakage,
        requantise_pj=engine.actions["requantise"].energy_pj.value if engine else 0.0,
        dequantise_pj=engine.actions["dequantise"].energy_pj.value if engine else 0.0,
        engine_rate=float(engine.psums_per_cycle) if engine else 0.0,
        group_size=problem.psum.group_size,
        k_tile_visits=_k_tile_visits(problem, widths),
        pipeline_cycles=0 if isinstance(array, Systolic) else array.pipeline_stages,
        stationary=_stationary(array.dataflow) if systolic else -1,
        row=_position(dims, list(widths)[0]) if systolic else -1,
        column=_position(dims, list(widths)[1]) if systolic else -1,
        rows=array.rows if isinstance(array, Systolic) else 0,
        cols=array.cols if isinstance(array, Systolic) else 0,
        load_cycles=array.load_cycles(array.rows, array.cols)
        if isinstance(array, Systolic) and not array.overlapped_load
        else 0,
        trimmed=isinstance(array, Systolic) and array.trimmed_folds,
        bypass=spill == "bypass",
        bias=_ints(
            (
                problem.bias_values,
                _per_word(weights, problem.bias_bits),
                problem.bias_bits,
                column_of[weights.name],
                len(chains[1]) - 1,
            )
        ),
        bias_dims=np.array([dim in (*problem.batch, problem.column) for dim in dims], np.bool_),
        restart=np.array([dim in (problem.row, *problem.shared) for dim in dims], np.bool_),
    )


def _ints(values: Iterable[int]) -> Ints:
    return np.array(list(values), dtype=np.int64)


def _grid(chains: Sequence[Sequence[Sram]], value: Callable[[Sram, int], float]) -> Floats:
    """One value per operand and level of its chain."""
    grid = np.zeros((len(chains), MAX_LEVELS))
    for operand, chain in enumerate(chains):
        for level, sram in enumerate(chain):
            grid[operand, level] = value(sram, operand)
    return grid


def _per_word(sram: Sram, bits: int) -> int:
    """Values in a word, or minus the words of a value wider than one (see `Sram.accesses`)."""
    if bits > sram.word_bits:
        return -sram.accesses(1, bits)
    return sram.values_per_word(bits)


def _position(dims: Sequence[str], dim: str) -> int:
    return dims.index(dim) if dim in dims else -1


def _elements(problem: Problem, operand: OperandName) -> int:
    return tiling(problem, operand, ()).once()


def _stationary(dataflow: str) -> int:
    return {"input_stationary": 0, "weight_stationary": 1, "output_stationary": 2}[dataflow]


def _k_tile_visits(problem: Problem, widths: dict[str, int]) -> int:
    """T when every array-sized piece of the reduction leaves the accumulator by itself; -1 if none can."""
    if problem.psum.k_tile is None:
        return 0
    if widths.get(problem.reduction[-1], 1) != problem.psum.k_tile:
        return -1
    return math.prod(-(-problem.extent(dim) // widths.get(dim, 1)) for dim in problem.reduction)
