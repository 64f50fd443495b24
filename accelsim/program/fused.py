"""A fused group as tile instructions: its array parts, the units between them, one timeline.

Queues and what passes between them, for attention (credits in brackets are slots):

    load_q --q_full--> array_qk --q_free[2]--> load_q           likewise load_k
    array_qk --kept_full--> units --result_full--> move --kept_free[slots]--> array_qk
    move --moved_full--> array_pv --moved_free[slots]--> move
    load_v --v_full--> array_pv --v_free[2]--> load_v
    array_pv --output_full--> store --output_free[slots]--> array_pv

A chain has no second matmul: the store takes the units' result and gives the kept slot back. Further
operands of vector ops come by `load_extra`, two slots. Both array queues hold the one array, so what
is ready first runs first; `units` holds the vector and LUT units, `move` the way from the psum buffer
to the ifmap buffer. Loads and stores share the DRAM. A units instruction does all vector ops of one
kept tile, one after the other, each as slow as its lanes, look-ups or buffer ports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accelsim.hardware.machine import Machine
from accelsim.mapping.fused import FusedPlan, MacStage, VectorStage
from accelsim.mapping.problem import OperandName
from accelsim.program.dma import PortTime, dma_queue, read_port, write_port
from accelsim.program.duration import ArrayWork
from accelsim.program.mac import ArraySteps, array_steps
from accelsim.program.program import Channel, Ints, Program, Queue, Resource, TokenUse
from accelsim.program.tiles import Tiles


@dataclass(frozen=True)
class FusedProgram:
    """The instructions of a group; `works` of its array parts, `unit_cycles` by vector op and what it
    kept busy, `busy_cycles` that each member needs of the array or the units."""

    program: Program
    works: tuple[ArrayWork, ...]
    unit_cycles: tuple[dict[str, int], ...]
    busy_cycles: tuple[int, ...]


def fused_program(plan: FusedPlan, machine: Machine, outer_trips: int | None = None) -> FusedProgram:
    """Instructions of a group, or of its first `outer_trips` - 1 and its last outermost trip.

    Raises TooManySteps, and OverflowError for instructions of hours.
    """
    parts = [array_steps(stage.problem, stage.mapping, machine, outer_trips) for stage in plan.stages]
    kept = parts[0].tiles["output"]
    sizes, where = np.unique(kept.values, return_inverse=True)
    each = [[vector_cycles(vector, int(size), machine) for size in sizes] for vector in plan.vectors]
    slowest = np.array([[max(kind.values()) for kind in kinds] for kinds in each], np.int64)
    times = np.bincount(where, minlength=sizes.size)
    unit_cycles = tuple(_summed(kinds, times) for kinds in each)
    busy_units = [int((row * times).sum()) for row in slowest]
    busy_array = [int(part.work.cycles.sum()) for part in parts]
    if max(*busy_array, *busy_units) * machine.period_fs >= 2**62:
        raise OverflowError("the group lasts longer than int64 femtoseconds can count")
    queues = _queues(plan, parts, slowest.sum(axis=0)[where] * machine.period_fs, machine)
    names = ["dram", "array", "units", *(["move"] if plan.second is not None else [])]
    program = Program(queues, tuple(Resource(name) for name in names), _channels(plan, parts))
    busy = (busy_array[0], *busy_units, *busy_array[1:])
    return FusedProgram(program, tuple(part.work for part in parts), unit_cycles, busy)


def vector_cycles(vector: VectorStage, tile: int, machine: Machine) -> dict[str, int]:
    """Cycles each unit and port needs for a vector op on one kept tile of `tile` values."""
    lanes, lookups = vector.operations(tile)
    ins, kept = machine.ifmap_buffer, machine.psum_buffer
    words = sum(ins.accesses(extra.values(tile), extra.bits) for extra in vector.extras)
    return {
        f"{ins.name} read": ins.read_cycles(words),
        f"{kept.name} read": kept.read_cycles(kept.accesses(tile, vector.in_bits)),
        f"{kept.name} write": kept.write_cycles(kept.accesses(tile, vector.out_bits)),
        machine.vector_unit.name: machine.vector_unit.cycles(lanes),
        machine.lut_unit.name: machine.lut_unit.cycles(lookups),
    }


def move_cycles(stage: MacStage, tile: int, machine: Machine) -> int:
    """Cycles to take a kept tile of `tile` values to the ifmap buffer: the slower of the two ports."""
    source, target, bits = machine.psum_buffer, machine.ifmap_buffer, stage.problem.ifmap_bits
    return max(source.read_cycles(source.accesses(tile, bits)), target.write_cycles(target.accesses(tile, bits)))


def _summed(kinds: Sequence[dict[str, int]], times: Ints) -> dict[str, int]:
    return {name: sum(kind[name] * int(count) for kind, count in zip(kinds, times, strict=True)) for name in kinds[0]}


def _names(plan: FusedPlan, number: int) -> dict[OperandName, str]:
    if plan.second is None:
        return {"ifmap": "ifmap", "weight": "weight"}
    return {"ifmap": "q", "weight": "k"} if number == 0 else {"weight": "v"}


def _array_name(plan: FusedPlan, number: int) -> str:
    return "array" if plan.second is None else ("array_qk", "array_pv")[number]


def _queues(plan: FusedPlan, parts: list[ArraySteps], units_fs: Ints, machine: Machine) -> tuple[Queue, ...]:
    kept = parts[0].tiles["output"]
    one = np.ones(kept.values.size, np.int64)
    loads = [
        _load(stage, part.tiles[operand], operand, name, machine)
        for number, (stage, part) in enumerate(zip(plan.stages, parts, strict=True))
        for operand, name in _names(plan, number).items()
    ]
    extra = _extra_tiles(plan, kept)
    if extra.size:
        port = write_port(machine.ifmap_buffer, machine.period_fs)
        loads.append(_transfer("load_extra", extra, "extra_free", "extra_full", one, machine, port))
    takes, gives = ["kept_full"], ["result_full"]
    if extra.size:
        takes, gives = [*takes, "extra_full"], [*gives, "extra_free"]
    zero = np.zeros(one.size, np.int64)
    units = Queue("units", ("units",), units_fs, zero, zero, _uses(takes, one), _uses(gives, one))
    arrays = [_array_queue(plan, number, part, machine) for number, part in enumerate(parts)]
    port = read_port(machine.psum_buffer, machine.period_fs)
    if plan.second is None:
        bits = kept.values * plan.vectors[-1].out_bits
        store = _transfer("store", bits, "result_full", "kept_free", one, machine, port)
        return (*loads, *arrays, units, store)
    second, output = plan.second, parts[1].tiles["output"]
    sizes, where = np.unique(kept.values, return_inverse=True)
    moves_fs = np.array([move_cycles(second, int(size), machine) for size in sizes], np.int64)[where]
    waits, signals = _uses(["result_full", "moved_free"], one), _uses(["kept_free", "moved_full"], one)
    move = Queue("move", ("move",), moves_fs * machine.period_fs, zero, zero, waits, signals)
    bits, all_outputs = output.values * second.problem.ofmap_bits, np.ones(output.values.size, np.int64)
    store = _transfer("store", bits, "output_full", "output_free", all_outputs, machine, port)
    return (*loads, *reversed(arrays), units, move, store)


def _array_queue(plan: FusedPlan, number: int, part: ArraySteps, machine: Machine) -> Queue:
    names = _names(plan, number)
    kept = {"output": "kept"} if number == 0 else {"ifmap": "moved", "output": "output"}
    waits, signals = [], []
    for operand, name in (*names.items(), *kept.items()):
        tiles = part.tiles[operand]  # type: ignore[index]
        taken, given = ("free", "full") if operand == "output" else ("full", "free")
        waits.append(TokenUse(f"{name}_{taken}", tiles.begins.astype(np.int64)))
        signals.append(TokenUse(f"{name}_{given}", tiles.ends.astype(np.int64)))
    busy_fs = part.work.cycles * machine.period_fs
    zero = np.zeros(busy_fs.size, np.int64)
    return Queue(_array_name(plan, number), ("array",), busy_fs, zero, zero, tuple(waits), tuple(signals))


def _load(stage: MacStage, tiles: Tiles, operand: OperandName, name: str, machine: Machine) -> Queue:
    problem = stage.problem
    width = problem.ifmap_bits if operand == "ifmap" else problem.stored_weight_bits
    bits = -(-tiles.values * width.numerator // width.denominator)
    if operand == "weight":
        bits[0] += problem.bias_values * problem.bias_bits  # a bias comes in with the first tile
    port = write_port(machine.ifmap_buffer if operand == "ifmap" else machine.weight_buffer, machine.period_fs)
    one = np.ones(bits.size, np.int64)
    return _transfer(f"load_{name}", bits, f"{name}_free", f"{name}_full", one, machine, port)


def _transfer(queue: str, bits: Ints, waits: str, signals: str, one: Ints, machine: Machine, port: PortTime) -> Queue:
    return dma_queue(queue, bits, machine.dram, port, (TokenUse(waits, one),), (TokenUse(signals, one),))


def _uses(names: Sequence[str], count: Ints) -> tuple[TokenUse, ...]:
    return tuple(TokenUse(name, count) for name in names)


def _extra_tiles(plan: FusedPlan, kept: Tiles) -> Ints:
    """Bits of further operands that come with every kept tile; empty where there are none."""
    extras = [extra for vector in plan.vectors for extra in vector.extras]
    if not extras:
        return np.zeros(0, np.int64)
    bits = [
        (kept.values if extra.row is None else np.full_like(kept.values, extra.row)) * extra.bits for extra in extras
    ]
    total: Ints = np.sum(bits, axis=0, dtype=np.int64)
    return total


def _channels(plan: FusedPlan, parts: list[ArraySteps]) -> tuple[Channel, ...]:
    channels = []
    for number, part in enumerate(parts):
        for operand, name in _names(plan, number).items():
            load, array = f"load_{name}", _array_name(plan, number)
            channels.append(Channel(f"{name}_full", load, array))
            channels.append(Channel(f"{name}_free", array, load, part.tiles[operand].slots))
    first, drain = _array_name(plan, 0), "store" if plan.second is None else "move"
    channels.append(Channel("kept_full", first, "units"))
    channels.append(Channel("result_full", "units", drain))
    channels.append(Channel("kept_free", drain, first, plan.kept_slots))
    if any(vector.extras for vector in plan.vectors):
        channels += [Channel("extra_full", "load_extra", "units"), Channel("extra_free", "units", "load_extra", 2)]
    if plan.second is not None:
        second = _array_name(plan, 1)
        channels += [Channel("moved_full", "move", second), Channel("moved_free", second, "move", plan.moved_slots)]
        channels.append(Channel("output_full", second, "store"))
        channels.append(Channel("output_free", "store", second, parts[1].tiles["output"].slots))
    return tuple(channels)
