"""A mapped matmul or conv as tile instructions.

Queues, in arbitration order, and what passes between them (credits = slots: two where the mapping
says double buffered, else one):

    load_ifmap  --ifmap_full-->  array  --ifmap_free-->  load_ifmap
    load_weight --weight_full--> array  --weight_free--> load_weight
    array --output_full--> store --output_free--> array
    with spilled psums:  store --output_free--> load_psum --psum_full--> array
                         store --psum_stored--> load_psum   (the psum is in DRAM again)

One array instruction covers the loops below the innermost buffer node. It lasts as long as the
array needs, or as the slowest buffer port that feeds it, whichever is longer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accelsim.hardware.dram import Dram
from accelsim.hardware.machine import Machine
from accelsim.mapping.halo import halo_dims, halo_values
from accelsim.mapping.nest import Loop, Mapping, Store
from accelsim.mapping.placement import buffer_of, psum_stores
from accelsim.mapping.problem import OPERANDS, OperandName, Problem
from accelsim.program.dma import PortTime, dma_queue, no_port, read_port, write_port
from accelsim.program.duration import ArrayWork, array_work
from accelsim.program.program import Channel, Ints, Program, Queue, Resource, TokenUse
from accelsim.program.steps import Steps, walk


@dataclass(frozen=True)
class Tiles:
    """An operand's tiles over the steps: where one begins and ends (steps,), its values (n,) and starts (dims, n)."""

    begins: np.ndarray
    ends: np.ndarray
    values: Ints
    key: Ints
    slots: int


@dataclass(frozen=True)
class ArraySteps:
    """The array's part of one op: its steps, their work, and each operand's tiles over them."""

    steps: Steps
    work: ArrayWork
    tiles: dict[OperandName, Tiles]


@dataclass(frozen=True)
class MacProgram:
    """The instructions of one op, and the array's own cycles by what set them."""

    program: Program
    work: ArrayWork


def step_loops(mapping: Mapping, machine: Machine) -> tuple[Loop, ...]:
    """The loops above the innermost buffer node: one trip of all of them is one array instruction."""
    return mapping.loops[: max(len(mapping.loops_above(node.operand, node.level)) for node in _nodes(mapping, machine))]


def mac_program(problem: Problem, mapping: Mapping, machine: Machine, outer_trips: int | None = None) -> MacProgram:
    """Instructions of one matmul or conv, or of its first `outer_trips` - 1 and its last outermost trip.

    Raises TooManySteps, and OverflowError for instructions of hours.
    """
    part = array_steps(problem, mapping, machine, outer_trips)
    steps, work, tiles = part.steps, part.work, part.tiles
    bias_bits = problem.bias_values * problem.bias_bits
    loads = (
        _load("ifmap", tiles["ifmap"], problem.ifmap_bits, 0, machine),
        _load("weight", tiles["weight"], problem.weight_bits, bias_bits, machine),
    )
    spill = _spill(problem, steps, tiles["output"])
    buffered = mapping.store("output", machine.psum_buffer.name) is not None
    ports = _psum_ports(machine) if buffered else (no_port, no_port)
    reload = (_reload(problem, tiles["output"], spill, machine.dram, ports[0]),) if spill.returns.any() else ()
    if int(work.cycles.max()) * machine.period_fs >= 2**62:
        raise OverflowError("an instruction lasts longer than int64 femtoseconds can count")
    busy_fs = work.cycles * machine.period_fs
    array_queue = _array_queue(busy_fs, tiles, "psum_full" if reload else "output_free")
    queues = (*loads, *reload, array_queue, _store(problem, tiles["output"], spill, machine.dram, ports[1]))
    return MacProgram(Program(queues, (Resource("dram"), Resource("array")), _channels(tiles, bool(reload))), work)


def array_steps(problem: Problem, mapping: Mapping, machine: Machine, outer_trips: int | None = None) -> ArraySteps:
    """The steps of one matmul or conv, or of some of its outermost trips (see `mac_program`)."""
    nodes = {node.operand: node for node in _nodes(mapping, machine)}
    steps = walk(problem, step_loops(mapping, machine), outer_trips)
    work = array_work(problem, mapping, steps, psum_stores(problem, mapping.loops) + 1, machine)
    depths = {operand: len(mapping.loops_above(operand, node.level)) for operand, node in nodes.items()}
    tiles = {operand: _tiles(problem, steps, depths[operand], nodes[operand]) for operand in OPERANDS}
    return ArraySteps(steps, work, tiles)


def _channels(tiles: dict[OperandName, Tiles], reloads: bool) -> tuple[Channel, ...]:
    channels = [Channel("output_full", "array", "store")]
    for name in ("ifmap", "weight"):
        channels.append(Channel(f"{name}_full", f"load_{name}", "array"))
        channels.append(Channel(f"{name}_free", "array", f"load_{name}", tiles[name].slots))
    user = "load_psum" if reloads else "array"
    channels.append(Channel("output_free", "store", user, tiles["output"].slots))
    if reloads:
        channels += [Channel("psum_full", "load_psum", "array"), Channel("psum_stored", "store", "load_psum")]
    return tuple(channels)


def _nodes(mapping: Mapping, machine: Machine) -> list[Store]:
    """Per operand the node that exchanges tiles with DRAM: its buffer, or DRAM itself for a bypass."""
    nodes = []
    for operand in OPERANDS:
        node = mapping.store(operand, buffer_of(machine, operand).name) or mapping.store(operand, "dram")
        if node is None:
            raise ValueError(f"the mapping stores {operand} nowhere")
        nodes.append(node)
    return nodes


def _psum_ports(machine: Machine) -> tuple[PortTime, PortTime]:
    """The psum buffer's port for tiles that come back, and for tiles that leave."""
    return write_port(machine.psum_buffer, machine.period_fs), read_port(machine.psum_buffer, machine.period_fs)


def _tiles(problem: Problem, steps: Steps, depth: int, node: Store) -> Tiles:
    operand = node.operand
    begins = steps.changes(problem.relevant(operand), depth)
    key = np.stack([steps.ranges(dim, depth)[0][begins] for dim in problem.relevant(operand)])
    values = _values(problem, steps, depth, operand)[begins]
    return Tiles(begins, np.append(begins[1:], True), values, key, 2 if node.double_buffered else 1)


def _values(problem: Problem, steps: Steps, depth: int, operand: OperandName) -> Ints:
    """Elements of the operand's tile at every step."""
    joint = halo_dims(problem) if operand == "ifmap" else None
    values = np.ones(steps.count, np.int64)
    for dim in problem.relevant(operand):
        if joint is None or dim not in joint:
            values = values * steps.ranges(dim, depth)[1]
    if joint:
        row, red = (steps.ranges(dim, depth)[0] for dim in joint)
        values = values * halo_values(problem, steps.loops[:depth], row, red)
    return values


@dataclass(frozen=True)
class _Spill:
    """Per output tile: does it come back from DRAM, leave unfinished, and after which stores."""

    returns: np.ndarray
    unfinished: np.ndarray
    stores_needed: Ints


def _spill(problem: Problem, steps: Steps, output: Tiles) -> _Spill:
    returns = np.zeros(steps.count, bool)
    unfinished = np.zeros(steps.count, bool)
    for dim in problem.irrelevant("output"):
        start, extent = steps.ranges(dim, len(steps.loops))
        returns |= start > 0
        unfinished |= start + extent < problem.extent(dim)
    comes, leaves = returns[output.begins], unfinished[output.ends]
    # A tile that comes back needs the store of its own last visit: the nth unfinished store so far.
    _, tile = np.unique(output.key, axis=1, return_inverse=True)
    order = np.argsort(tile, kind="stable")
    nth = np.cumsum(leaves)
    before = np.zeros(tile.size, np.int64)
    before[order[1:]] = nth[order[:-1]]
    needed = np.maximum.accumulate(np.where(comes, before, 0))
    return _Spill(comes, leaves, np.diff(needed, prepend=0))


def _load(name: str, tiles: Tiles, bits: int, extra_bits: int, machine: Machine) -> Queue:
    one = np.ones(tiles.values.size, np.int64)
    transfers = tiles.values * bits
    transfers[0] += extra_bits  # a bias comes in with the first tile
    waits, signals = (TokenUse(f"{name}_free", one),), (TokenUse(f"{name}_full", one),)
    port = write_port(machine.ifmap_buffer if name == "ifmap" else machine.weight_buffer, machine.period_fs)
    return dma_queue(f"load_{name}", transfers, machine.dram, port, waits, signals)


def _reload(problem: Problem, output: Tiles, spill: _Spill, dram: Dram, port: PortTime) -> Queue:
    """Takes a slot for every output tile and fetches the psums of those that come back."""
    one = np.ones(output.values.size, np.int64)
    bits = np.where(spill.returns, problem.psum.bits * output.values, 0)
    waits = (TokenUse("output_free", one), TokenUse("psum_stored", spill.stores_needed))
    return dma_queue("load_psum", bits, dram, port, waits, (TokenUse("psum_full", one),))


def _store(problem: Problem, output: Tiles, spill: _Spill, dram: Dram, port: PortTime) -> Queue:
    one = np.ones(output.values.size, np.int64)
    bits = np.where(spill.unfinished, problem.psum.bits, problem.ofmap_bits) * output.values
    signals = [TokenUse("output_free", one)]
    if spill.returns.any():
        signals.append(TokenUse("psum_stored", spill.unfinished.astype(np.int64)))
    return dma_queue("store", bits, dram, port, (TokenUse("output_full", one),), tuple(signals))


def _array_queue(busy_fs: Ints, tiles: dict[OperandName, Tiles], output_ready: str) -> Queue:
    begins = {"ifmap": "ifmap_full", "weight": "weight_full", "output": output_ready}
    ends = {"ifmap": "ifmap_free", "weight": "weight_free", "output": "output_full"}
    zeros = np.zeros(busy_fs.size, np.int64)
    return Queue(
        "array",
        ("array",),
        busy_fs,
        zeros,
        zeros,
        tuple(TokenUse(begins[operand], tiles[operand].begins.astype(np.int64)) for operand in OPERANDS),
        tuple(TokenUse(ends[operand], tiles[operand].ends.astype(np.int64)) for operand in OPERANDS),
    )
