"""An op without MACs as a three-stage pipeline of chunks: load, compute, store.

Two slots each way, so loading, computing and storing overlap. A chunk is as small as keeps its DRAM
transfer longer than a few DRAM latencies, and as large as half a buffer at most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accelsim.hardware.machine import Machine
from accelsim.mapping.arrays import distinct_rows
from accelsim.mapping.placement import transfer_bits
from accelsim.mapping.vector import VectorProblem, VectorWork
from accelsim.program.dma import dma_queue, read_port, write_port
from accelsim.program.program import Channel, Ints, Program, Queue, Resource, TokenUse

MAX_CHUNKS = 2_000_000


@dataclass(frozen=True)
class VectorProgram:
    """The instructions of one op and its units' own cycles, in total and by what set them."""

    program: Program
    compute_cycles: int
    port_cycles: tuple[tuple[str, int], ...]


def vector_program(problem: VectorProblem, work: VectorWork, machine: Machine) -> VectorProgram:
    """Load, compute and store queues of one op. Raises OverflowError when there are too many chunks."""
    chunks = _chunks(problem, machine)
    if chunks > MAX_CHUNKS:
        raise OverflowError(f"{chunks} chunks")
    lanes, lookups = (_shares(amount, chunks) for amount in problem.operations(work))
    loaded, stored = _shares(problem.input_bits, chunks), _shares(problem.output_bits, chunks)
    firsts, which = distinct_rows([lanes, lookups, loaded, stored])
    kinds = [
        _units(int(lanes[i]), int(lookups[i]), int(loaded[i]), int(stored[i]), machine) for i in firsts
    ]  # chunks come in a few sizes
    ports = {name: np.array([kind[name] for kind in kinds], np.int64)[which] for name in kinds[0]}
    compute = np.maximum(ports[machine.vector_unit.name], ports[machine.lut_unit.name])
    cycles = np.maximum.reduce([*ports.values()])
    one = np.ones(chunks, np.int64)
    zero = np.zeros(chunks, np.int64)
    ports_fs = write_port(machine.ifmap_buffer, machine.period_fs), read_port(machine.psum_buffer, machine.period_fs)
    load_free, load_full, store_free, store_full = (
        (TokenUse(name, one),) for name in ("load_free", "load_full", "store_free", "store_full")
    )
    if int(cycles.max()) * machine.period_fs >= 2**62:
        raise OverflowError("an instruction lasts longer than int64 femtoseconds can count")
    busy_fs = cycles * machine.period_fs
    queues = (
        dma_queue("load", loaded, machine.dram, ports_fs[0], load_free, load_full),
        Queue("compute", ("units",), busy_fs, zero, zero, (*load_full, *store_free), (*load_free, *store_full)),
        dma_queue("store", stored, machine.dram, ports_fs[1], store_full, store_free),
    )
    channels = (
        Channel("load_full", "load", "compute"),
        Channel("load_free", "compute", "load", 2),
        Channel("store_full", "compute", "store"),
        Channel("store_free", "store", "compute", 2),
    )
    program = Program(queues, (Resource("dram"), Resource("units")), channels)
    totals = tuple((name, int(each.sum())) for name, each in ports.items())
    return VectorProgram(program, int(compute.sum()), totals)


def whole_units(problem: VectorProblem, work: VectorWork, machine: Machine) -> dict[str, int]:
    """Cycles each unit and port needs for a whole op, as one chunk."""
    return _units(*problem.operations(work), problem.input_bits, problem.output_bits, machine)


def _units(lanes: int, lookups: int, loaded_bits: int, stored_bits: int, machine: Machine) -> dict[str, int]:
    return {
        f"{machine.ifmap_buffer.name} read": -(-loaded_bits // machine.ifmap_buffer.read_bits_per_cycle),
        f"{machine.psum_buffer.name} write": -(-stored_bits // machine.psum_buffer.write_bits_per_cycle),
        machine.vector_unit.name: machine.vector_unit.cycles(lanes),
        machine.lut_unit.name: machine.lut_unit.cycles(lookups),
    }


def _chunks(problem: VectorProblem, machine: Machine) -> int:
    """How many chunks: enough to fit half a buffer, else as many as stay long DRAM transfers."""
    fit = max(
        -(-2 * problem.input_bits // machine.ifmap_buffer.capacity_bits),
        -(-2 * problem.output_bits // machine.psum_buffer.capacity_bits),
    )
    return max(1, fit, max(problem.input_bits, problem.output_bits) // transfer_bits(machine))


def _shares(amount: int, chunks: int) -> Ints:
    """`amount` in `chunks` parts that differ by one at most."""
    base, more = divmod(amount, chunks)
    return np.array([base + 1] * more + [base] * (chunks - more), np.int64)
