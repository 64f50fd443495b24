"""Attention as one group, by row tiles of queries: every way of it that fits the buffers.

    for b, g:                              a batch element or KV head; the query heads that share it
      for m in row tiles:                  [ifmap buffer: Q tile]  [psum buffer: scores tile, output tile]
        first nest: the array's loop order over the tile's m, k, n       [weight buffer: K]
        softmax and what stands beside it, in the scores tile's place
        the probabilities move to the ifmap buffer
        second nest: the same order over the tile's m, k, n              [weight buffer: V]

K and V share the weight buffer, each held where the two together move the least from DRAM (of equals:
in several tiles, then the largest): whole below b, so that all rows of the head's group find it there,
or by chunks that come again with every row tile. Q, K and V take two slots where there are several tiles. Scores and output take two where
all of that fits, else one. A scores tile holds whole rows, for the softmax needs them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from accelsim.hardware.machine import Machine
from accelsim.mapping.count import tiling
from accelsim.mapping.dataflow import loop_order, spatial_widths
from accelsim.mapping.fused import FusedPlan, MacStage, VectorStage, extra_bits, output_bits
from accelsim.mapping.lower import MacWork
from accelsim.mapping.nest import Loop, Mapping, Node, Spatial, Store, without_single_trips
from accelsim.mapping.placement import Infeasible, tile_bits, transfer_bits
from accelsim.mapping.problem import OPERANDS, Problem

SLOTS = ((2, 2), (2, 1), (1, 2), (1, 1))
"""Slots for scores and for outputs, best first: two of scores let the array and the units overlap."""


def attention_plans(
    first: MacWork, vectors: tuple[VectorStage, ...], second: MacWork, machine: Machine
) -> tuple[FusedPlan, ...] | Infeasible:
    """Plans for every number of row tiles that fits, tallest tile last; Infeasible when none does.

    Row tiles are multiples of the array's row width (or all rows); of those that cut the rows into
    equally many tiles the lowest one stands for all, since it needs the least and fetches as often.
    """
    rows = first.problem.extent("m")
    width = spatial_widths(first.problem, machine.array).get("m", 1)
    plans: list[FusedPlan] = []
    for height in row_tiles(rows, width):
        plan = _plan(first, vectors, second, machine, height)
        if isinstance(plan, FusedPlan):
            plans.append(plan)
        elif not plans:
            return plan
        else:
            break  # a taller tile needs more of every buffer
    return tuple(plans)


def row_tiles(rows: int, width: int) -> list[int]:
    """Heights of row tiles, ascending: for each number of tiles the lowest multiple of `width`."""
    chunks = -(-rows // width)
    return sorted({min(rows, -(-chunks // tiles) * width) for tiles in range(1, chunks + 1)})


@dataclass(frozen=True)
class _Nest:
    """The loops of one member: the first `outer` of them are the group's."""

    work: MacWork
    loops: tuple[Loop, ...]
    outer: int


@dataclass(frozen=True)
class _Place:
    """The weight operand held after `position` loops, the last of them `step` wide: bits of its slots,
    and DRAM bits over the whole op."""

    position: int
    step: int
    double_buffered: bool
    demand: int
    moved: int


def _plan(
    first: MacWork, vectors: tuple[VectorStage, ...], second: MacWork, machine: Machine, height: int
) -> FusedPlan | Infeasible:
    nests = [_nest(work, machine, height) for work in (first, second)]
    outer = nests[0].loops[: nests[0].outer]
    slots = _psum_slots(nests, vectors, machine)
    if isinstance(slots, Infeasible):
        return slots
    moved = _moved_slots(nests, vectors, machine)
    if isinstance(moved, Infeasible):
        return moved
    places = _weight_places(nests, machine)
    if isinstance(places, Infeasible):
        return places
    stages = [
        MacStage(nest.work.problem, _mapping(nest, place, machine, slots[number]), nest.work.weight_name)
        for number, (nest, place) in enumerate(zip(nests, places, strict=True))
    ]
    return FusedPlan(stages[0], vectors, stages[1], outer, slots[0], moved)


def _nest(work: MacWork, machine: Machine, height: int) -> _Nest:
    problem, widths = work.problem, spatial_widths(work.problem, machine.array)
    outer = [*(Loop(dim, 1) for dim in (*problem.batch, *problem.shared)), Loop(problem.row, height)]
    order = loop_order(problem, machine.array.dataflow)
    inner = [Loop(dim, widths.get(dim, 1)) for dim in order]
    return _Nest(work, _loops([*outer, *inner], problem), len(_loops(outer, problem)))


def _loops(nodes: Sequence[Node], problem: Problem) -> tuple[Loop, ...]:
    return tuple(node for node in without_single_trips(nodes, problem) if isinstance(node, Loop))


def _psum_slots(nests: list[_Nest], vectors: tuple[VectorStage, ...], machine: Machine) -> tuple[int, int] | Infeasible:
    """Slots for scores and outputs in the psum buffer."""
    capacity = machine.psum_buffer.capacity_bits
    several = tiling(nests[0].work.problem, "output", nests[0].loops[: nests[0].outer]).tiles > 1
    widest = (max(vector.out_bits for vector in vectors), 0)
    demand = 0
    for slots in SLOTS if several else SLOTS[-1:]:
        demand = sum(
            output_bits(nest.work.problem, nest.loops, nest.outer, machine, count, bits)
            for nest, count, bits in zip(nests, slots, widest, strict=True)
        )
        if demand <= capacity:
            return slots
    lever = "raise buffers.psum_ofmap.capacity_kib, narrow the scores, or shorten the context"
    return Infeasible(machine.psum_buffer.name, demand, capacity, "bits for a tile of scores and outputs", lever)


def _moved_slots(nests: list[_Nest], vectors: tuple[VectorStage, ...], machine: Machine) -> int | Infeasible:
    """Slots for probabilities in the ifmap buffer, beside Q and what the vector ops read."""
    buffer = machine.ifmap_buffer
    queries, probabilities = (tiling(nest.work.problem, "ifmap", nest.loops[: nest.outer]) for nest in nests)
    several = queries.tiles > 1
    fixed = extra_bits(vectors, probabilities.largest, machine)
    fixed += (2 if several else 1) * tile_bits(nests[0].work.problem, buffer, "ifmap", queries.largest, 0)
    each = tile_bits(nests[1].work.problem, buffer, "ifmap", probabilities.largest, 0)
    for slots in (2, 1) if several else (1,):
        if fixed + slots * each <= buffer.capacity_bits:
            return slots
    lever = "raise buffers.ifmap.capacity_kib, or shorten the context"
    what = "bits for a tile of queries and probabilities"
    return Infeasible(buffer.name, fixed + each, buffer.capacity_bits, what, lever)


def _weight_places(nests: list[_Nest], machine: Machine) -> tuple[_Place, ...] | Infeasible:
    """Where K and V are held: the pair that moves the least from DRAM, of those that fit together."""
    capacity = machine.weight_buffer.capacity_bits
    pairs = list(itertools.product(*(list(_places(nest, machine)) for nest in nests)))
    fitting = [pair for pair in pairs if sum(place.demand for place in pair) <= capacity]
    if fitting:
        return min(fitting, key=lambda pair: (
            sum(place.moved for place in pair), sum(not place.double_buffered for place in pair),
            -sum(place.demand for place in pair), *((place.position, place.step) for place in pair),
        ))  # fmt: skip
    demand = min(sum(place.demand for place in pair) for pair in pairs)
    lever = "raise buffers.weight.capacity_kib or narrow the array"
    return Infeasible(machine.weight_buffer.name, demand, capacity, "bits for tiles of K and V", lever)


def _places(nest: _Nest, machine: Machine) -> Iterator[_Place]:
    """After every loop, its tile as it is and grown into a long DRAM transfer."""
    problem, buffer, dram = nest.work.problem, machine.weight_buffer, machine.dram
    for position in range(len(nest.loops) + 1):
        for step in _steps(nest, position, machine):
            loops = (*nest.loops[: position - 1], Loop(nest.loops[position - 1].dim, step)) if position else ()
            tiles = tiling(problem, "weight", loops)
            double = tiles.tiles > 1
            demand = (2 if double else 1) * tile_bits(problem, buffer, "weight", tiles.largest, 0)
            moved = tiles.total(lambda values: dram.moved_bits(values * problem.weight_bits))
            yield _Place(position, step, double, demand, moved)


def _steps(nest: _Nest, position: int, machine: Machine) -> list[int]:
    problem = nest.work.problem
    if position == 0:
        return [0]
    loop = nest.loops[position - 1]
    if position <= nest.outer or loop.dim not in problem.relevant("weight"):
        return [loop.step]
    walked = min((other.step for other in nest.loops[: position - 1] if other.dim == loop.dim),
                 default=problem.extent(loop.dim))  # fmt: skip
    tile = tiling(problem, "weight", nest.loops[:position]).largest * problem.weight_bits
    trips = min(-(-transfer_bits(machine) // tile), -(-walked // loop.step) - 1)
    return sorted({loop.step, loop.step * max(1, trips)})


def _mapping(nest: _Nest, place: _Place, machine: Machine, output_slots: int) -> Mapping:
    """The nest with its storage: ifmap and output below the group's loops, the weight at its place."""
    problem = nest.work.problem
    several = tiling(problem, "ifmap", nest.loops[: nest.outer]).tiles > 1
    weight = Store("weight", machine.weight_buffer.name, place.double_buffered)
    tiles = [
        Store("ifmap", machine.ifmap_buffer.name, several),
        Store("output", machine.psum_buffer.name, output_slots > 1),
    ]
    nodes: list[Node] = [Store(operand, "dram") for operand in OPERANDS]
    for position, loop in enumerate((None, *nest.loops)):
        here = [loop] if loop is not None else []
        if position == place.position:
            grown = loop is not None and place.step > loop.step
            nodes += [Loop(loop.dim, place.step), weight, loop] if loop is not None and grown else [*here, weight]
        else:
            nodes += here
        nodes += tiles if position == nest.outer else []
    spatial = (Spatial(dim, width) for dim, width in spatial_widths(problem, machine.array).items() if width > 1)
    return Mapping(
        without_single_trips([*nodes, *(Store(operand, "array") for operand in OPERANDS), *spatial], problem)
    )
