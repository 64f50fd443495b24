"""Attention as one group, by row tiles of queries: every way of it that fits the buffers.

    for b, g:                              a batch element or KV head; the query heads that share it
      for m in row tiles:                  [ifmap buffer: Q tile]  [psum buffer: scores tile, output tile]
        first nest: the array's loop order over the tile's m, k, n       [weight buffer: K]
        softmax and what stands beside it, in the scores tile's place
        the probabilities move to the ifmap buffer
        second nest: the same order over the tile's m, k, n              [weight buffer: V]

K and V share the weight buffer, each held where the two together move the least from DRAM (of equals:
in several tiles, then by long transfers, then the largest): whole below b, so that all rows of the
head's group find it there, or in tiles that come again with every row tile, right below it by columns
or where the order has a loop for it. Q, K and V take two slots where there are several tiles. Scores
and outputs take two where all of that fits, else one. A scores tile holds whole rows, for the softmax
needs them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from accelsim.hardware.machine import Machine
from accelsim.hardware.sram import packed_bits
from accelsim.mapping.count import Tiling, tiling
from accelsim.mapping.dataflow import loop_order, spatial_widths
from accelsim.mapping.fused import FusedPlan, MacStage, VectorStage, extra_bits, output_bits
from accelsim.mapping.lower import MacWork
from accelsim.mapping.nest import Loop, Mapping, Node, Spatial, Store, without_single_trips
from accelsim.mapping.placement import Infeasible, tile_bits, transfer_bits
from accelsim.mapping.problem import OPERANDS, OperandName, Problem

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
    """The loops of one member, the first `outer` of them the group's, with its weight operand held after
    `position` loops: bits of the weight's slots, and DRAM bits that its transfers move over the whole op."""

    work: MacWork
    loops: tuple[Loop, ...]
    outer: int
    position: int
    double_buffered: bool
    demand: int
    moved: int
    transfer: int
    """Bits of the weight's largest tile, no more than makes a long transfer."""

    def tiles(self, operand: OperandName) -> Tiling:
        """The operand's tiles below the group's loops."""
        return tiling(self.work.problem, operand, self.loops[: self.outer])


def _plan(
    first: MacWork, vectors: tuple[VectorStage, ...], second: MacWork, machine: Machine, height: int
) -> FusedPlan | Infeasible:
    nests = _nests(first, second, machine, height)
    if isinstance(nests, Infeasible):
        return nests
    slots = _psum_slots(nests, vectors, machine)
    if isinstance(slots, Infeasible):
        return slots
    moved = _moved_slots(nests, vectors, machine)
    if isinstance(moved, Infeasible):
        return moved
    scores, values = (
        MacStage(nest.work.problem, _mapping(nest, machine, count), nest.work.weight_name)
        for nest, count in zip(nests, slots, strict=True)
    )
    return FusedPlan(scores, vectors, values, nests[0].loops[: nests[0].outer], slots[0], moved)


def _nests(first: MacWork, second: MacWork, machine: Machine, height: int) -> tuple[_Nest, ...] | Infeasible:
    """The nests that move the least of K and V from DRAM, of those whose tiles fit together."""
    capacity = machine.weight_buffer.capacity_bits
    pairs = list(itertools.product(*(list(_held(work, machine, height)) for work in (first, second))))
    fitting = [pair for pair in pairs if sum(nest.demand for nest in pair) <= capacity]
    if fitting:
        return min(fitting, key=_least_moved)
    demand = min(sum(nest.demand for nest in pair) for pair in pairs)
    lever = "raise buffers.weight.capacity_kib or narrow the array"
    return Infeasible(machine.weight_buffer.name, demand, capacity, "bits for tiles of K and V", lever)


def _least_moved(pair: tuple[_Nest, ...]) -> tuple[int, ...]:
    """Least from DRAM; of equals, tiles that can overlap with the array, then such as come by long transfers,
    then the largest, then the first loops."""
    return (
        sum(nest.moved for nest in pair),
        sum(not nest.double_buffered for nest in pair),
        -min(nest.transfer for nest in pair),
        -sum(nest.demand for nest in pair),
        *(nest.position for nest in pair),
        *(len(nest.loops) for nest in pair),
    )


def _held(work: MacWork, machine: Machine, height: int) -> Iterator[_Nest]:
    """The ways to hold a member's weight: after each loop, or in column tiles right below the row tile."""
    problem, widths = work.problem, spatial_widths(work.problem, machine.array)
    above = [*(Loop(dim, 1) for dim in (*problem.batch, *problem.shared)), Loop(problem.row, height)]
    orders = ("weight_stationary", "input_stationary", "output_stationary")
    for order in orders if machine.array.dataflow == "search" else (machine.array.dataflow,):
        inner = [Loop(dim, widths.get(dim, 1)) for dim in loop_order(problem, order)]
        yield from _held_in_order(work, machine, above, inner)


def _held_in_order(work: MacWork, machine: Machine, above: Sequence[Loop], inner: Sequence[Loop]) -> Iterator[_Nest]:
    problem, widths = work.problem, spatial_widths(work.problem, machine.array)
    outer = len(_loops(above, problem))
    loops = _loops([*above, *inner], problem)
    for position in range(len(loops) + 1):
        yield _nest(work, machine, loops, outer, position)
    for position, loop in enumerate(loops[outer:], start=outer):
        if loop.dim in problem.relevant("weight"):
            for step in _doubled(loop.step, problem.extent(loop.dim)):
                wide = _loops([*loops[:position], Loop(loop.dim, step), *loops[position:]], problem)
                yield _nest(work, machine, wide, outer, position + 1)
    width, columns = widths.get(problem.column, 1), problem.extent(problem.column)
    for step in (width, *_doubled(width, columns)) if width < columns else ():
        tiled = _loops([*above, Loop(problem.column, step), *inner], problem)
        yield _nest(work, machine, tiled, outer, outer + 1)


def _doubled(step: int, extent: int) -> Iterator[int]:
    """Steps of twice the loop's, and so on, while they cut the extent."""
    while 2 * step < extent:
        step *= 2
        yield step


def _nest(work: MacWork, machine: Machine, loops: tuple[Loop, ...], outer: int, position: int) -> _Nest:
    problem, buffer, dram = work.problem, machine.weight_buffer, machine.dram
    tiles = tiling(problem, "weight", loops[:position])
    double = tiles.tiles > 1
    demand = (2 if double else 1) * tile_bits(problem, buffer, "weight", tiles.largest, 0)
    moved = tiles.total(lambda values: dram.moved_bits(packed_bits(values, problem.stored_weight_bits)))
    transfer = min(packed_bits(tiles.largest, problem.stored_weight_bits), transfer_bits(machine))
    return _Nest(work, loops, outer, position, double, demand, moved, transfer)


def _loops(nodes: Sequence[Node], problem: Problem) -> tuple[Loop, ...]:
    return tuple(node for node in without_single_trips(nodes, problem) if isinstance(node, Loop))


def _psum_slots(
    nests: tuple[_Nest, ...], vectors: tuple[VectorStage, ...], machine: Machine
) -> tuple[int, int] | Infeasible:
    """Slots for scores and outputs in the psum buffer."""
    capacity, demand = machine.psum_buffer.capacity_bits, 0
    widest = (max(vector.out_bits for vector in vectors), 0)
    for slots in SLOTS if nests[0].tiles("output").tiles > 1 else SLOTS[-1:]:
        demand = sum(
            output_bits(nest.work.problem, nest.loops, nest.outer, machine, count, bits)
            for nest, count, bits in zip(nests, slots, widest, strict=True)
        )
        if demand <= capacity:
            return slots
    lever = "raise buffers.psum_ofmap.capacity_kib, narrow the scores, or shorten the context"
    return Infeasible(machine.psum_buffer.name, demand, capacity, "bits for a tile of scores and outputs", lever)


def _moved_slots(nests: tuple[_Nest, ...], vectors: tuple[VectorStage, ...], machine: Machine) -> int | Infeasible:
    """Slots for probabilities in the ifmap buffer, beside Q and what the vector ops read."""
    buffer, (scores, values) = machine.ifmap_buffer, nests
    queries, probabilities = scores.tiles("ifmap"), values.tiles("ifmap")
    several = queries.tiles > 1
    fixed = extra_bits(vectors, probabilities.largest, machine)
    fixed += (2 if several else 1) * tile_bits(scores.work.problem, buffer, "ifmap", queries.largest, 0)
    each = tile_bits(values.work.problem, buffer, "ifmap", probabilities.largest, 0)
    for slots in (2, 1) if several else (1,):
        if fixed + slots * each <= buffer.capacity_bits:
            return slots
    lever = "raise buffers.ifmap.capacity_kib, or shorten the context"
    what = "bits for a tile of queries and probabilities"
    return Infeasible(buffer.name, fixed + each, buffer.capacity_bits, what, lever)


def _mapping(nest: _Nest, machine: Machine, output_slots: int) -> Mapping:
    """The nest with its storage: ifmap and output below the group's loops, the weight at its place."""
    problem = nest.work.problem
    weight = Store("weight", machine.weight_buffer.name, nest.double_buffered)
    tiles = [
        Store("ifmap", machine.ifmap_buffer.name, nest.tiles("ifmap").tiles > 1),
        Store("output", machine.psum_buffer.name, output_slots > 1),
    ]
    nodes: list[Node] = [Store(operand, "dram") for operand in OPERANDS]
    for position, loop in enumerate((None, *nest.loops)):
        nodes += [loop] if loop is not None else []
        nodes += [weight] if position == nest.position else []
        nodes += tiles if position == nest.outer else []
    spatial = (Spatial(dim, width) for dim, width in spatial_widths(problem, machine.array).items() if width > 1)
    return Mapping(
        without_single_trips([*nodes, *(Store(operand, "array") for operand in OPERANDS), *spatial], problem)
    )
