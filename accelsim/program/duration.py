"""How long one array instruction lasts: its block's own cycles, or the slowest memory port.

An instruction runs the loops below the innermost memory node on the extents of one tile step, and
exchanges each operand with the innermost memory that the mapping gives it: a tile of the PEs' registers,
which may last for several steps, or what the array works on. Steps alike take equal
time, so each kind of step is worked out once. An output crosses the psum ports only where it enters or
leaves the accumulators: at the last visit as an ofmap value, before as a psum; those of a group, which
are read together, are spread over its visits. A step that only brings
more of the stream to the fold a systolic array is in adds its length and no second skew. A flattened
conv's pixels each read their own inputs here, an upper bound; those of a nested conv share them.
Padding is not skipped.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping as Dict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accelsim.hardware.adder_tree import AdderTree
from accelsim.hardware.machine import Array, Machine
from accelsim.hardware.pe_grid import PeGrid
from accelsim.hardware.sram import Sram, Width
from accelsim.hardware.systolic import Systolic
from accelsim.mapping.array_actions import issued_share, kept_reads
from accelsim.mapping.arrays import distinct_rows
from accelsim.mapping.count import tiling
from accelsim.mapping.dataflow import spatial_widths
from accelsim.mapping.halo import NESTED_PAIRS
from accelsim.mapping.nest import Loop, Mapping, chunk_classes, chunk_count
from accelsim.mapping.problem import OPERANDS, OperandName, Problem
from accelsim.mapping.traffic import stored_chain, words
from accelsim.program.program import Ints
from accelsim.program.steps import Steps
from accelsim.workload.trace import ConvDims

_STATIONARY: dict[str, OperandName] = {
    "weight_stationary": "weight",
    "input_stationary": "ifmap",
    "output_stationary": "output",
}
STAYS, LEAVES_PSUM, LEAVES_OFMAP = 0, 1, 2


@dataclass(frozen=True)
class ArrayWork:
    """Cycles of each array instruction (n,), what the array itself needs of them, and totals.

    `port_cycles` is the time each port (and the psum engine) was needed; `macs` the multiply-
    accumulates of the steps, `lane_macs` those the lanes had room for, edges included.
    """

    cycles: Ints
    compute_cycles: int
    port_cycles: tuple[tuple[str, int], ...]
    macs: int
    lane_macs: int


@dataclass(frozen=True)
class _Step:
    """One kind of step: its extents, and what its outputs do before and after it.

    `tiles` is for each operand the part of the problem that the array exchanges a tile, or several, of.
    """

    problem: Problem
    tiles: dict[OperandName, Problem]
    enters: bool
    leaves: int
    same_fold: bool
    keeps_ifmap: bool = False
    keeps_weight: bool = False


def array_work(problem: Problem, mapping: Mapping, steps: Steps, visits: int, machine: Machine) -> ArrayWork:
    """Array cycles of every step; `visits` is T, how often an output leaves the accumulator."""
    inner = mapping.loops[len(steps.loops) :]
    exchanged = {operand: len(mapping.array_loops(operand)) for operand in OPERANDS}
    early = {operand: depth for operand, depth in exchanged.items() if depth < len(steps.loops)}
    columns = [steps.ranges(dim, len(steps.loops))[1] for dim in problem.dims]
    columns += [*_output_moves(problem, mapping, steps), _same_fold(problem, steps, machine)]
    columns += [_keeps(problem, mapping, steps, operand).astype(np.int64) for operand in ("ifmap", "weight")]
    columns += [steps.ranges(dim, depth)[1] for depth in early.values() for dim in problem.dims]
    firsts, where = distinct_rows(columns)
    rows = [[int(column[first]) for column in columns] for first in firsts]
    times = np.bincount(where, minlength=len(rows))
    cycles, compute, macs, lanes = [], 0, 0, 0
    ports: dict[str, int] = {}
    memories = _next_to_array(mapping, machine)
    below = {operand: mapping.loops[len(steps.loops) : depth] for operand, depth in exchanged.items()}
    dims = len(problem.dims)
    for row, count in zip(rows, times.tolist(), strict=True):
        sized = _part(problem, row[:dims])
        enters, leaves, same_fold, ifmap, weight, *rest = row[dims:]
        tiles = dict.fromkeys(OPERANDS, sized)
        tiles |= {operand: _part(problem, rest[at * dims : (at + 1) * dims]) for at, operand in enumerate(early)}
        step = _Step(sized, tiles, bool(enters), leaves, bool(same_fold), bool(ifmap), bool(weight))
        need, load = _compute(step, inner, machine.array)
        port = _port_cycles(step, below, machine, visits, memories)
        cycles.append(_lasts(need, load, port, machine, memories))
        compute += count * need
        macs += count * sized.macs
        lanes += count * machine.array.macs_per_cycle * _pieces(sized, inner)
        for name, busy in port.items():
            ports[name] = ports.get(name, 0) + count * busy
    each = np.array(cycles, np.int64)[where]
    first = _cold_load(machine.array)
    each[0] += first
    return ArrayWork(each, compute + first, tuple(ports.items()), macs, lanes)


@dataclass(frozen=True)
class WholeWork:
    """A whole op as one instruction: what its array and ports need together, and by themselves."""

    cycles_needed: int
    compute_cycles: int
    port_cycles: tuple[tuple[str, int], ...]
    macs: int
    lane_macs: int


def whole_work(problem: Problem, mapping: Mapping, machine: Machine) -> WholeWork:
    """The op as a single instruction, whose steps need not be listed."""
    below = {operand: mapping.array_loops(operand) for operand in OPERANDS}
    visits = tiling(problem, "output", below["output"]).most_visits
    whole = problem if problem.nested else dataclasses.replace(problem, conv=None)
    step = _Step(whole, dict.fromkeys(OPERANDS, whole), False, LEAVES_OFMAP, False)
    need, load = _compute(step, mapping.loops, machine.array)
    memories = _next_to_array(mapping, machine)
    port = _port_cycles(step, below, machine, visits, memories)
    lanes = machine.array.macs_per_cycle * _pieces(problem, mapping.loops)
    return WholeWork(_lasts(need, load, port, machine, memories), need, tuple(port.items()), problem.macs, lanes)


def _part(problem: Problem, sizes: Sequence[int]) -> Problem:
    """A step's share of the problem, as if it lay away from the padding."""
    extents = tuple(zip(problem.dims, sizes, strict=True))
    conv = problem.conv
    if conv is None or not problem.nested:
        return dataclasses.replace(problem, extents=extents, conv=None)
    size = dict(extents)
    h, w = (
        (size[outputs] - 1) * conv.stride[axis] + (size[taps] - 1) * conv.dilation[axis] + 1
        for axis, (outputs, taps) in enumerate(NESTED_PAIRS)
    )
    n, groups, c, k, r, s = (size[name] for name in ("n", "groups", "c", "k", "r", "s"))
    part = ConvDims(n, groups, c, k, h, w, r, s, conv.stride, (0, 0), conv.dilation)
    return dataclasses.replace(problem, extents=extents, conv=part)


def _output_moves(problem: Problem, mapping: Mapping, steps: Steps) -> tuple[Ints, Ints]:
    """Per step: whether psums come in at its start, and what leaves at its end."""
    depth = len(steps.loops)
    stays = np.append(_keeps(problem, mapping, steps, "output")[1:], False)
    started, finished = np.zeros(steps.count, bool), np.ones(steps.count, bool)
    for dim in problem.irrelevant("output"):
        start, extent = steps.ranges(dim, depth)
        started |= start > 0
        finished &= start + extent == problem.extent(dim)
    enters = started & ~np.append(False, stays[:-1])
    leaves = np.where(stays, STAYS, np.where(finished, LEAVES_OFMAP, LEAVES_PSUM))
    return enters.astype(np.int64), leaves.astype(np.int64)


def _keeps(problem: Problem, mapping: Mapping, steps: Steps, operand: OperandName) -> np.ndarray:
    """Whether a step goes on with the array tile of the step before, and with no other."""
    loops = mapping.array_loops(operand)
    depth = min(len(steps.loops), len(loops))
    keeps = ~steps.changes(problem.relevant(operand), depth)
    for dim in problem.relevant(operand):
        finest = min((loop.step for loop in loops[depth:] if loop.dim == dim), default=problem.extent(dim))
        keeps &= steps.ranges(dim, depth)[1] <= finest
    return keeps


def _same_fold(problem: Problem, steps: Steps, machine: Machine) -> Ints:
    """Whether a step differs from the one before in streamed dims only."""
    fixed = [dim for dim in problem.dims if dim not in stream_dims(problem, machine.array)]
    return (~steps.changes(fixed, len(steps.loops))).astype(np.int64)


def stream_dims(problem: Problem, array: Array) -> tuple[str, ...]:
    """The dims that stream through a systolic fold: those the stationary operand does not depend on."""
    if not isinstance(array, Systolic):
        return ()
    if array.dataflow == "weight_stationary":
        return problem.irrelevant("weight")
    return problem.irrelevant("ifmap" if array.dataflow == "input_stationary" else "output")


def _pieces(step: Problem, inner: Sequence[Loop]) -> int:
    """Array-sized pieces of a step."""
    return math.prod(chunk_count(extent, dim, inner) for dim, extent in step.extents)


def _widest(step: Problem, dim: str, inner: Sequence[Loop]) -> int:
    """Most indices of `dim` in one piece of a step."""
    return min([step.extent(dim), *(loop.step for loop in inner if loop.dim == dim)])


def _compute(step: _Step, inner: Sequence[Loop], array: Array) -> tuple[int, int]:
    """Cycles of the array alone, and how many of them load the stationary operand."""
    if isinstance(array, AdderTree):
        issued = issued_share(step.problem, array)
        pieces = -(-_pieces(step.problem, inner) * issued.numerator // issued.denominator)
        outputs = array.output_cycles * _finished_blocks(step, inner) if array.output_cycles else 0
        return array.cycles(pieces, _fills(step.problem, inner, array)) + outputs, 0
    if isinstance(array, PeGrid):
        summed = math.prod(_widest(step.problem, dim, inner) for dim in step.problem.reduction)
        return array.cycles(_pieces(step.problem, inner), summed), 0
    row, column = spatial_widths(step.problem, array)
    streams = stream_dims(step.problem, array)
    size = step.problem.extent
    length = math.prod(size(dim) for dim in streams)
    repeats = math.prod(size(dim) for dim in step.problem.dims if dim not in (row, column, *streams))
    folds, total, load = 0, 0, 0
    for rows in chunk_classes(size(row), row, inner):
        for cols in chunk_classes(size(column), column, inner):
            count = repeats * rows.count * cols.count
            folds += count
            total += count * array.fold_cycles(length, rows.extent, cols.extent)
            load += 0 if array.overlapped_load else count * array.load_cycles(rows.extent, cols.extent)
    again = _returns(step, inner, array)
    if again:  # a nest of another order than the dataflow's brings a stationary tile back: skew and load again
        total += again * (array.fold_cycles(1, array.rows, array.cols) - 1)
        load += 0 if array.overlapped_load else again * array.load_cycles(array.rows, array.cols)
    return (length, 0) if step.same_fold and folds == 1 and not again else (total, load)


def _fills(step: Problem, inner: Sequence[Loop], array: AdderTree) -> int:
    """How often the pipeline fills in a step: once, or in every trip of the loops that the sequencer walks."""
    if not array.sequencer_loops:
        return 1
    left = dict(step.extents)
    trips = []
    for loop in inner:
        trips.append(-(-left[loop.dim] // loop.step))
        left[loop.dim] = min(loop.step, left[loop.dim])
    return math.prod([count for count in trips if count > 1][: array.sequencer_loops])


def _finished_blocks(step: _Step, inner: Sequence[Loop]) -> int:
    """Array-sized blocks of outputs that a step finishes."""
    if step.leaves != LEAVES_OFMAP:
        return 0
    extent = step.problem.extent
    return math.prod(chunk_count(extent(dim), dim, inner) for dim in step.problem.relevant("output"))


def _returns(step: _Step, inner: Sequence[Loop], array: Systolic) -> int:
    """How often stationary tiles come back to the array within a step, each one's first time left out."""
    tiles = tiling(step.problem, _STATIONARY[array.dataflow], inner)
    return tiles.again(lambda values: 1)


def _cold_load(array: Array) -> int:
    """An overlapped load has no fold to hide behind the first time."""
    if isinstance(array, Systolic) and array.overlapped_load:
        return array.load_cycles(array.rows, array.cols)
    return 0


Memories = dict[OperandName, Sram | None]


def _next_to_array(mapping: Mapping, machine: Machine) -> Memories:
    """The memory that the array exchanges each operand with; None if the mapping stores it in none."""
    chains = {operand: stored_chain(mapping, machine, operand) for operand in OPERANDS}
    return {operand: chain[-1] if chain else None for operand, chain in chains.items()}


def _lasts(need: int, load: int, ports: dict[str, int], machine: Machine, memories: Memories) -> int:
    """Array and ports work side by side, but a serial load waits for its own port."""
    stationary: dict[str, OperandName] = {"weight_stationary": "weight", "input_stationary": "ifmap"}
    operand = stationary.get(machine.array.dataflow)
    memory = memories[operand] if operand else None
    if load and memory is not None:
        port = f"{memory.name} read"
        return max(need - load + max(load, ports[port]), *(busy for name, busy in ports.items() if name != port), 0)
    return max([need, *ports.values()])


def _port_cycles(
    step: _Step, below: Dict[OperandName, Sequence[Loop]], machine: Machine, visits: int, memories: Memories
) -> dict[str, int]:
    """Cycles each memory port (and the psum engine) needs for one step; operands that share one add up.

    `below` are the step's own loops outside what the array holds of each operand.
    """
    problem = step.problem
    moved: list[tuple[Sram, str, int]] = []
    kept: dict[OperandName, bool] = {"ifmap": step.keeps_ifmap, "weight": step.keeps_weight}
    widths: dict[OperandName, Width] = {"ifmap": problem.ifmap_bits, "weight": problem.stored_weight_bits}
    for operand, bits in widths.items():
        memory = memories[operand]
        if memory is not None:
            tiles = tiling(step.tiles[operand], operand, below[operand])
            reads = 0 if kept[operand] else tiles.total(words(memory, bits))
            moved.append((memory, "read", kept_reads(reads, problem) if operand == "weight" else reads))
    outputs, psum = tiling(step.tiles["output"], "output", below["output"]), memories["output"]
    if psum is not None:
        again = outputs.again(words(psum, problem.psum.bits))
        last_bits = problem.ofmap_bits if step.leaves == LEAVES_OFMAP else problem.psum.bits
        enters = outputs.once(words(psum, problem.psum.bits)) if step.enters else 0
        leaves = outputs.once(words(psum, last_bits)) if step.leaves != STAYS else 0
        moved += [(psum, "read", again + enters), (psum, "write", again + leaves)]
    accesses: dict[tuple[str, str], int] = {}
    cycles = {}
    for memory, action, count in moved:
        accesses[memory.name, action] = accesses.get((memory.name, action), 0) + count
        time = memory.read_cycles if action == "read" else memory.write_cycles
        cycles[f"{memory.name} {action}"] = time(accesses[memory.name, action])
    engine = machine.psum_engine
    if engine is not None and problem.psum.is_apsq and visits > 1:
        cycles[engine.name] = engine.cycles(outputs.again() + (outputs.once() if step.leaves != STAYS else 0))
    if machine.codebook_decoder is not None and problem.codebook_entries:
        values = 0 if step.keeps_weight else tiling(step.tiles["weight"], "weight", below["weight"]).total()
        cycles[machine.codebook_decoder.name] = machine.codebook_decoder.cycles(kept_reads(values, problem))
    return cycles
