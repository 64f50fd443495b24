"""A mapped matmul or conv as tile instructions.

Queues, in arbitration order, and what passes between them (credits = slots: two where the mapping
says double buffered, else one):

    load_ifmap  --ifmap_full-->  array  --ifmap_free-->  load_ifmap
    load_weight --weight_full--> array  --weight_free--> load_weight
    array --output_full--> store --output_free--> array
    with spilled psums:  store --output_free--> load_psum --psum_full--> array
                         store --psum_stored--> load_psum   (the psum is in DRAM again)

Every further memory of an operand adds a queue for each way, named after where it moves to (see
`accelsim.program.chain`). One array instruction covers the loops below the innermost memory node. It
lasts as long as the array needs, or as the slowest memory port that feeds it, whichever is longer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accelsim.hardware.machine import Machine
from accelsim.mapping.nest import Loop, Mapping
from accelsim.mapping.placement import psum_stores
from accelsim.mapping.problem import OPERANDS, OperandName, Problem
from accelsim.mapping.weight_store import weight_store
from accelsim.program.chain import Chain, input_chain, output_chain
from accelsim.program.duration import ArrayWork, array_work
from accelsim.program.program import Ints, Program, Queue, Resource, TokenUse
from accelsim.program.runs import run_by_run
from accelsim.program.steps import Steps, walk
from accelsim.program.tiles import Level, Tiles, levels_of, nodes_of
from accelsim.program.transfer import shared_ports, transfer_queue


@dataclass(frozen=True)
class ArraySteps:
    """The array's part of one op: its steps, their work, and each operand's levels over them."""

    steps: Steps
    work: ArrayWork
    levels: dict[OperandName, list[Level]]

    @property
    def tiles(self) -> dict[OperandName, Tiles]:
        """The tiles next to the array."""
        return {operand: levels[-1].tiles for operand, levels in self.levels.items()}


@dataclass(frozen=True)
class MacProgram:
    """The instructions of one op, and the array's own cycles by what set them."""

    program: Program
    work: ArrayWork


def step_loops(mapping: Mapping, machine: Machine) -> tuple[Loop, ...]:
    """The loops above the innermost memory node: one trip of all of them is one array instruction."""
    nodes = [node for operand in OPERANDS for _, node in nodes_of(mapping, machine, operand)]
    return mapping.loops[: max(len(mapping.loops_above(node.operand, node.level)) for node in nodes)]


def array_steps(problem: Problem, mapping: Mapping, machine: Machine, outer_trips: int | None = None) -> ArraySteps:
    """The steps of one matmul or conv, or of some of its outermost trips (see `mac_program`)."""
    steps = walk(problem, step_loops(mapping, machine), outer_trips)
    work = array_work(problem, mapping, steps, psum_stores(problem, mapping.array_loops("output")) + 1, machine)
    levels = {operand: levels_of(problem, mapping, machine, steps, operand) for operand in OPERANDS}
    return ArraySteps(steps, work, levels)


def mac_program(problem: Problem, mapping: Mapping, machine: Machine, outer_trips: int | None = None) -> MacProgram:
    """Instructions of one matmul or conv, or of its first `outer_trips` - 1 and its last outermost trip.

    Raises TooManySteps, and OverflowError for instructions of hours.
    """
    part = array_steps(problem, mapping, machine, outer_trips)
    bias_bits = problem.bias_values * problem.bias_bits
    home = weight_store(problem, machine)
    chains = (
        input_chain("ifmap", part.levels["ifmap"], problem.ifmap_bits, 0, machine.dram, problem.dram_bits["ifmap"]),
        input_chain("weight", part.levels["weight"], problem.stored_weight_bits, bias_bits, home),
        output_chain(problem, part.steps, mapping.array_loops("output"), part.levels["output"], machine.dram),
    )
    if int(part.work.cycles.max()) * machine.period_fs >= 2**62:
        raise OverflowError("an instruction lasts longer than int64 femtoseconds can count")
    moved = [
        run_by_run(chain, problem, part.steps, part.levels[operand], operand, machine)
        for operand, chain in zip(OPERANDS, chains, strict=True)
    ]
    inwards = [transfer for chain in moved for transfer in chain.inwards]
    outwards = [transfer for chain in moved for transfer in chain.outwards]
    ports = shared_ports([*inwards, *outwards], machine)
    before, after = ([transfer_queue(transfer, machine, ports) for transfer in way] for way in (inwards, outwards))
    array = _array_queue(part.work.cycles * machine.period_fs, part.tiles, chains)
    stores = dict.fromkeys(("dram", home.name))
    resources = (*map(Resource, stores), Resource("array"), *ports)
    channels = tuple(channel for chain in chains for channel in chain.channels)
    return MacProgram(Program((*before, array, *after), resources, channels), part.work)


def _array_queue(busy_fs: Ints, tiles: dict[OperandName, Tiles], chains: tuple[Chain, ...]) -> Queue:
    zeros = np.zeros(busy_fs.size, np.int64)
    waits, signals = [], []
    for operand, chain in zip(OPERANDS, chains, strict=True):
        waits.append(TokenUse(chain.array_takes, tiles[operand].begins.astype(np.int64)))
        signals.append(TokenUse(chain.array_gives, tiles[operand].ends.astype(np.int64)))
    return Queue("array", ("array",), busy_fs, zeros, zeros, tuple(waits), tuple(signals))
