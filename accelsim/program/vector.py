"""An op without MACs as a pipeline of chunks: load, compute, store, and a move for each further memory.

Two slots each way in every memory, so all stages overlap. A chunk is as small as keeps its DRAM
transfer longer than a few DRAM latencies, and as large as half a memory at most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accelsim.hardware.machine import Machine
from accelsim.hardware.sram import OperandName, Sram
from accelsim.mapping.arrays import distinct_rows
from accelsim.mapping.placement import transfer_bits
from accelsim.mapping.vector import VectorProblem, VectorWork
from accelsim.program.program import Channel, Ints, Program, Queue, Resource, TokenUse
from accelsim.program.transfer import End, Transfer, shared_ports, transfer_queue

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
    in_dram = _shares(problem.dram_input_bits, chunks), _shares(problem.dram_output_bits, chunks)
    vectors = _shares(problem.vectors, chunks)
    firsts, which = distinct_rows([lanes, lookups, loaded, stored, vectors])
    kinds = [
        _units(problem, int(lanes[i]), int(lookups[i]), int(loaded[i]), int(stored[i]), int(vectors[i]), machine)
        for i in firsts
    ]  # chunks come in a few sizes
    ports = {name: np.array([kind[name] for kind in kinds], np.int64)[which] for name in kinds[0]}
    compute = np.maximum.reduce([ports[name] for name in compute_units(machine)])
    cycles = np.maximum.reduce([*ports.values()])
    if int(cycles.max()) * machine.period_fs >= 2**62:
        raise OverflowError("an instruction lasts longer than int64 femtoseconds can count")
    program = _pipeline((loaded, stored), in_dram, cycles * machine.period_fs, machine)
    totals = tuple((name, int(each.sum())) for name, each in ports.items())
    return VectorProgram(program, int(compute.sum()), totals)


def _pipeline(on_chip: tuple[Ints, Ints], in_dram: tuple[Ints, Ints], busy_fs: Ints, machine: Machine) -> Program:
    """Every chunk through the memories of the ifmap, the units, and the memories of the psums; bits in and out."""
    ins, outs = machine.chain("ifmap"), machine.chain("output")[::-1]
    between = [*(f"load_{memory.name}" for memory in ins[:-1]), "load"]  # what holds a chunk after each stage
    between += ["store", *(f"store_{memory.name}" for memory in outs[1:])]
    loads = ["load", *(f"move_in_{memory.name}" for memory in ins[1:])]
    stores = [*(f"move_out_{memory.name}" for memory in outs[1:]), "store"]
    one, zero = np.ones(busy_fs.size, np.int64), np.zeros(busy_fs.size, np.int64)

    def uses(stage: int) -> tuple[tuple[TokenUse, ...], tuple[TokenUse, ...]]:
        """What the stage waits for and signals: its chunk before it, a slot after it."""
        before, after = between[max(0, stage - 1) : stage], between[stage : stage + 1]
        waits = [*(f"{name}_full" for name in before), *(f"{name}_free" for name in after)]
        signals = [*(f"{name}_free" for name in before), *(f"{name}_full" for name in after)]
        return tuple(TokenUse(name, one) for name in waits), tuple(TokenUse(name, one) for name in signals)

    sources: list[End] = [machine.dram, *ins[:-1], *outs]
    targets: list[End] = [*ins, *outs[1:], machine.dram]
    transfers = []
    for at, (name, source, target) in enumerate(zip([*loads, *stores], sources, targets, strict=True)):
        is_load, way = at < len(loads), int(at >= len(loads))
        waits, signals = uses(at if is_load else at + 1)
        bits, stored = on_chip[way], in_dram[way]
        if machine.dram not in (source, target):
            transfers.append(Transfer(name, bits, source, target, waits, signals))
        else:
            transfers.append(Transfer(name, stored, source, target, waits, signals, bits))
    ports = shared_ports(transfers, machine)
    queues = [transfer_queue(transfer, machine, ports) for transfer in transfers]
    queues.insert(len(loads), Queue("compute", ("units",), busy_fs, zero, zero, *uses(len(loads))))
    channels = []
    for name, producer, consumer in zip(between, queues, queues[1:], strict=False):
        channels.append(Channel(f"{name}_full", producer.name, consumer.name))
        channels.append(Channel(f"{name}_free", consumer.name, producer.name, 2))
    return Program(tuple(queues), (Resource("dram"), Resource("units"), *ports), tuple(channels))


def whole_units(problem: VectorProblem, work: VectorWork, machine: Machine) -> dict[str, int]:
    """Cycles each unit and port needs for a whole op, as one chunk."""
    return _units(problem, *problem.operations(work), problem.input_bits, problem.output_bits, problem.vectors, machine)


def compute_units(machine: Machine) -> tuple[str, ...]:
    """The units that an op without MACs may keep busy."""
    units = (machine.vector_unit, machine.lut_unit, machine.rotation_unit)
    return tuple(unit.name for unit in units if unit is not None)


def _units(
    problem: VectorProblem, lanes: int, lookups: int, loaded_bits: int, stored_bits: int, vectors: int,
    machine: Machine,
) -> dict[str, int]:  # fmt: skip
    rotation = machine.rotation_unit
    if rotation is None:
        rotated = {}
    else:
        scheme = problem.rotation if problem.on_rotation_unit else None
        rotated = {rotation.name: 0 if scheme is None else rotation.cycles(scheme, vectors)}
    return {
        f"{machine.ifmap_buffer.name} read": -(-loaded_bits // machine.ifmap_buffer.read_bits_per_cycle),
        f"{machine.psum_buffer.name} write": -(-stored_bits // machine.psum_buffer.write_bits_per_cycle),
        machine.vector_unit.name: machine.vector_unit.cycles(lanes),
        machine.lut_unit.name: machine.lut_unit.cycles(lookups),
        **rotated,
    }


def slot_bits(problem: VectorProblem, machine: Machine, memory: Sram) -> int:
    """Bits of a memory, in whole port words, that an op's chunks take up: two slots each way."""
    return sum(bits for operand, bits in _slots(problem, machine, memory) if operand in memory.holds)


def slots(problem: VectorProblem, machine: Machine) -> dict[OperandName, int]:
    """The same of an op's inputs and of its result, each in the outermost memory that it passes."""
    chains: tuple[OperandName, ...] = ("ifmap", "output")
    return {operand: dict(_slots(problem, machine, machine.chain(operand)[0]))[operand] for operand in chains}


def _slots(problem: VectorProblem, machine: Machine, memory: Sram) -> tuple[tuple[OperandName, int], ...]:
    chunks = _chunks(problem, machine)
    loaded, stored = (
        2 * memory.accesses(-(-bits // chunks), 1) * memory.word_bits
        for bits in (problem.input_bits, problem.output_bits)
    )
    return ("ifmap", loaded), ("output", stored)


def _chunks(problem: VectorProblem, machine: Machine) -> int:
    """How many chunks: enough to fit half a memory, else as many as stay long DRAM transfers."""
    fit = 1
    for memory in machine.memories:
        held = problem.input_bits * ("ifmap" in memory.holds) + problem.output_bits * ("output" in memory.holds)
        fit = max(fit, -(-2 * held // memory.capacity_bits))
    return max(fit, max(problem.input_bits, problem.output_bits) // transfer_bits(machine))


def _shares(amount: int, chunks: int) -> Ints:
    """`amount` in `chunks` parts that differ by one at most."""
    base, more = divmod(amount, chunks)
    return np.array([base + 1] * more + [base] * (chunks - more), np.int64)
