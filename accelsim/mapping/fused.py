"""Several ops run as one, tile by tile: what stays on chip, and every word the group moves.

    first matmul or conv --write--> psum buffer: the kept tile
    each vector op       psum buffer --read--> units --write--> psum buffer, in the kept tile's place
    a second matmul      psum buffer --read--> ifmap buffer, then it reads its ifmap there as ever
    without a second     psum buffer --read--> DRAM

The array's own accesses are those of `accelsim.mapping.traffic` for the members' nests; only the
transfers of what stays on chip are left out. A vector op's further operands come tile by tile from
DRAM through the ifmap buffer. The kept tile leaves the chip nowhere, so its op has no spilled psums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from accelsim.hardware.machine import Machine
from accelsim.mapping.count import Tiling, tiling
from accelsim.mapping.nest import Loop, Mapping
from accelsim.mapping.placement import psum_stores, tile_bits
from accelsim.mapping.problem import Problem
from accelsim.mapping.traffic import Flow, dram_flow, mac_flows, sram_flow
from accelsim.mapping.vector import VectorProblem, VectorWork


@dataclass(frozen=True)
class MacStage:
    """A matmul or conv of a group, with its nest; `weight_name` is the operand's name in reports."""

    problem: Problem
    mapping: Mapping
    weight_name: str


@dataclass(frozen=True)
class Extra:
    """A vector op's further operand: `row` values for every kept tile, or None for as many as the tile has."""

    name: str
    bits: int
    row: int | None = None

    def values(self, tile: int) -> int:
        """Values that come with a kept tile of `tile` values."""
        return tile if self.row is None else self.row


@dataclass(frozen=True)
class VectorStage:
    """An op without MACs on the kept tile, which it reads and writes in these widths (bits)."""

    problem: VectorProblem
    work: VectorWork
    in_bits: int
    out_bits: int
    extras: tuple[Extra, ...]

    def operations(self, values: int) -> tuple[int, int]:
        """Lane operations and look-ups for a kept tile of `values` elements, whole rows of them."""
        return replace(self.problem, rows=values // self.problem.cols).operations(self.work)


@dataclass(frozen=True)
class FusedPlan:
    """How a group runs: the members' nests, the loops above the kept tile, and slots in the buffers.

    `kept_slots` are of the kept tile in the psum buffer; `moved_slots` of its copy in the ifmap buffer,
    0 without a second matmul.
    """

    first: MacStage
    vectors: tuple[VectorStage, ...]
    second: MacStage | None
    kept_loops: tuple[Loop, ...]
    kept_slots: int
    moved_slots: int

    @property
    def kept(self) -> Tiling:
        """The kept tiles, each of them there once."""
        return tiling(self.first.problem, "output", self.kept_loops)

    @property
    def stages(self) -> tuple[MacStage, ...]:
        return (self.first,) if self.second is None else (self.first, self.second)


def output_bits(problem: Problem, loops: tuple[Loop, ...], outer: int, machine: Machine, slots: int, bits: int) -> int:
    """Psum-buffer bits for the output tiles below the first `outer` of the nest's `loops`.

    `bits` is the widest that finished values of the tile ever are. Either psums and finished values of
    an output share a slot, or the outputs that accumulate at once (those below the loops outside the
    first reduction loop) have psums of their own beside the finished tiles: whichever is smaller.
    """
    buffer, stores = machine.psum_buffer, psum_stores(problem, loops)
    tile = tiling(problem, "output", loops[:outer]).largest
    finished = buffer.accesses(tile, max(bits, problem.ofmap_bits)) * buffer.word_bits
    together = slots * max(tile_bits(problem, buffer, "output", tile, stores), finished)
    reduces = next((i for i, loop in enumerate(loops) if loop.dim in problem.reduction), len(loops))
    live = tiling(problem, "output", loops[: max(outer, reduces)]).largest * problem.psum.live_per_output(stores)
    apart = slots * finished + buffer.accesses(live, problem.psum.bits) * buffer.word_bits
    return min(together, apart)


def extra_bits(vectors: tuple[VectorStage, ...], tile: int, machine: Machine) -> int:
    """Ifmap-buffer bits of the further operands of one kept tile, two slots each."""
    buffer = machine.ifmap_buffer
    words = sum(buffer.accesses(e.values(tile), e.bits) for vector in vectors for e in vector.extras)
    return 2 * words * buffer.word_bits


def group_flows(plan: FusedPlan, machine: Machine) -> tuple[tuple[Flow, ...], ...]:
    """The flows of every member, in the group's order."""
    members = [_first_flows(plan.first, machine)]
    for number, vector in enumerate(plan.vectors):
        leaves = plan.second is None and number == len(plan.vectors) - 1
        members.append(_vector_flows(vector, plan.kept, leaves, machine))
    if plan.second is not None:
        members.append(_second_flows(plan, plan.second, machine))
    return tuple(tuple(flow for flow in flows if flow.count) for flows in members)


def _first_flows(stage: MacStage, machine: Machine) -> list[Flow]:
    stays = {(machine.psum_buffer.name, "ofmap", "read"), (machine.dram.name, "ofmap", "write")}
    flows = mac_flows(stage.problem, stage.mapping, machine, stage.weight_name)
    return [flow for flow in flows if (flow.block, flow.operand, flow.action) not in stays]


def _second_flows(plan: FusedPlan, stage: MacStage, machine: Machine) -> list[Flow]:
    buffer, bits = machine.psum_buffer, stage.problem.ifmap_bits
    flows = mac_flows(stage.problem, stage.mapping, machine, stage.weight_name)
    fetched = (machine.dram.name, "ifmap", "read")
    moves = sram_flow(buffer, "ifmap", "read", plan.kept.once(), plan.kept.once(_words(buffer.accesses, bits)), bits)
    return [moves, *(flow for flow in flows if (flow.block, flow.operand, flow.action) != fetched)]


def _vector_flows(stage: VectorStage, kept: Tiling, leaves: bool, machine: Machine) -> list[Flow]:
    dram, ins, buffer = machine.dram, machine.ifmap_buffer, machine.psum_buffer
    reads = kept.once(_words(buffer.accesses, stage.in_bits))
    writes = kept.once(_words(buffer.accesses, stage.out_bits))
    flows = [sram_flow(buffer, "ifmap", "read", kept.once(), reads, stage.in_bits)]
    for extra in stage.extras:
        values = kept.once(extra.values)
        words = kept.once(lambda tile, e=extra: ins.accesses(e.values(tile), e.bits))  # type: ignore[misc]
        moved = kept.once(lambda tile, e=extra: dram.moved_bits(e.values(tile) * e.bits))  # type: ignore[misc]
        flows.append(dram_flow(dram, extra.name, "read", values, extra.bits, moved))
        flows += [sram_flow(ins, extra.name, action, values, words, extra.bits) for action in ("write", "read")]
    lanes, lookups = stage.problem.operations(stage.work)
    flows.append(Flow(machine.vector_unit.name, "", "operation", lanes, lanes, 0, 0))
    flows.append(Flow(machine.lut_unit.name, "lut", "lookup", lookups, lookups, 0, 0))
    flows.append(sram_flow(buffer, "ofmap", "write", kept.once(), writes, stage.out_bits))
    if leaves:
        moved = kept.once(lambda tile: dram.moved_bits(tile * stage.out_bits))
        flows.append(sram_flow(buffer, "ofmap", "read", kept.once(), writes, stage.out_bits))
        flows.append(dram_flow(dram, "ofmap", "write", kept.once(), stage.out_bits, moved))
    return flows


def _words(accesses: Callable[[int, int], int], bits: int) -> Callable[[int], int]:
    return lambda values: accesses(values, bits)
