"""Where each operand's tile is stored in a loop nest, given the buffers.

Each operand has its own buffer and its storage node goes to the position in the nest that moves the
fewest values from DRAM among those that fit; ties prefer several tiles over one (so that loading
overlaps with compute), then the outermost. A tile so small that its DRAM transfer is shorter than
`LATENCIES_PER_TRANSFER` DRAM latencies grows along the loop above it while two of it fit. Input tiles
demand two slots unless the whole operand is one tile; psums demand one. A psum position that revisits
a tile has spilled: its home is DRAM.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from accelsim.hardware.machine import Machine
from accelsim.hardware.sram import Sram
from accelsim.mapping.count import Tiling, tiling
from accelsim.mapping.halo import halo_dims
from accelsim.mapping.nest import Loop, Node, Store, chunks_within_reach
from accelsim.mapping.problem import OPERANDS, OperandName, Problem

LATENCIES_PER_TRANSFER = 8

Spill = Literal["through", "bypass"]


@dataclass(frozen=True)
class Infeasible:
    """Why an op cannot run here: a result, not an error. `demand` and `bound` are in `unit`."""

    resource: str
    demand: int
    bound: int
    unit: str
    lever: str

    @property
    def gap(self) -> int:
        return self.demand - self.bound


def buffer_of(machine: Machine, operand: OperandName) -> Sram:
    """The buffer that holds an operand."""
    if operand == "ifmap":
        return machine.ifmap_buffer
    return machine.weight_buffer if operand == "weight" else machine.psum_buffer


def tile_bits(problem: Problem, buffer: Sram, operand: OperandName, values: int, psum_stores: int) -> int:
    """Buffer bits of a tile of `values` elements, in whole port words.

    An output's slot holds its live partial sums, min(group size, stores) of them (APSQ, DAC
    2025), and later its ofmap value.
    """
    if operand == "ifmap":
        return buffer.accesses(values, problem.ifmap_bits) * buffer.word_bits
    if operand == "weight":
        return buffer.accesses(values, problem.weight_bits) * buffer.word_bits
    psums = buffer.accesses(values * problem.psum.live_per_output(psum_stores), problem.psum.bits)
    return max(psums, buffer.accesses(values, problem.ofmap_bits)) * buffer.word_bits


def transfer_bits(machine: Machine) -> int:
    """Size of a DRAM transfer long enough to hide its latency behind others; one burst at least."""
    bits = int(LATENCIES_PER_TRANSFER * machine.dram.latency_fs / machine.dram.fs_per_byte * 8)
    return max(bits, machine.dram.burst_bytes * 8)


def psum_stores(problem: Problem, loops: tuple[Loop, ...]) -> int:
    """T - 1: how often an output leaves the accumulator unfinished."""
    return tiling(problem, "output", loops).most_visits - 1


def place_storage(
    problem: Problem, loops: tuple[Loop, ...], machine: Machine, spill: Spill
) -> tuple[Node, ...] | Infeasible:
    """The loops with storage nodes among them, or the first operand that fits nowhere."""
    placer = _Placer(problem, loops, machine)
    placed: dict[OperandName, _Place] = {}
    for operand in OPERANDS:
        place = placer.place(operand)
        if isinstance(place, Infeasible):
            return place
        placed[operand] = place
    visits = placer.tiling("output", placed["output"].position).most_visits
    bypass = visits > 1 and spill == "bypass"
    if bypass and visits <= placer.psum_stores:  # without a buffer every visit of the array goes to DRAM
        placed["output"] = _Place(len(loops), loops[-1].step, True)
    return _assemble(loops, placer.nested(placed), placer, bypass)


@dataclass(frozen=True)
class _Place:
    """Storage after `position` loops, the last of them widened to `step` indices."""

    position: int
    step: int
    double_buffered: bool


class _Placer:
    """Chooses storage positions for one problem and loop order."""

    def __init__(self, problem: Problem, loops: tuple[Loop, ...], machine: Machine) -> None:
        self.problem = problem
        self.loops = loops
        for dim in halo_dims(problem):
            chunks_within_reach(problem.extent(dim), dim, loops)
        self.buffers = {operand: buffer_of(machine, operand) for operand in OPERANDS}
        self.psum_stores = psum_stores(problem, loops)
        self.transfer_bits = transfer_bits(machine)

    def tiling(self, operand: OperandName, position: int, step: int | None = None) -> Tiling:
        loops = list(self.loops[:position])
        if step is not None:
            loops[-1] = Loop(loops[-1].dim, step)
        return tiling(self.problem, operand, loops)

    def tile_bits(self, operand: OperandName, values: int) -> int:
        return tile_bits(self.problem, self.buffers[operand], operand, values, self.psum_stores)

    def demand(self, operand: OperandName, tiles: Tiling) -> int:
        slots = 2 if operand != "output" and tiles.tiles > 1 else 1
        return slots * self.tile_bits(operand, tiles.largest)

    def place(self, operand: OperandName) -> _Place | Infeasible:
        capacity = self.buffers[operand].capacity_bits
        best: tuple[tuple[int, bool, int], int] | None = None
        for position in range(len(self.loops) + 1):
            tiles = self.tiling(operand, position)
            if self.demand(operand, tiles) <= capacity:
                cost = (tiles.total(), tiles.tiles == 1, position)
                if best is None or cost < best[0]:
                    best = (cost, position)
        if best is None:
            return Infeasible(
                self.buffers[operand].name,
                self.demand(operand, self.tiling(operand, len(self.loops))),
                capacity,
                "bits",
                "raise the buffer's capacity_kib or narrow the array",
            )
        return self._grow(operand, best[1])

    def _grow(self, operand: OperandName, position: int) -> _Place:
        if position == 0:
            return _Place(0, 0, False)
        loop = self.loops[position - 1]
        step = loop.step
        if loop.dim in self.problem.relevant(operand):
            limit = -(-self._enclosing(position) // loop.step)
            step *= _last_true(1, limit, lambda trips: self._worth(operand, position, loop.step * trips))
        return _Place(position, step, self._double(operand, position, step))

    def _double(self, operand: OperandName, position: int, step: int) -> bool:
        """Inputs always have two slots when there are two tiles; outputs when the room is there."""
        several = self.tiling(operand, position, step).tiles > 1
        return several and (operand != "output" or self._fits_twice(operand, position, step))

    def nested(self, placed: dict[OperandName, _Place]) -> dict[OperandName, _Place]:
        """The places with steps of one loop made multiples of each other.

        Chunks of the inner step then start where they would on their own, so a conv's tiles hold
        what was checked to fit.
        """
        result = dict(placed)
        for position in {place.position for place in placed.values()} - {0}:
            here = sorted((operand for operand in OPERANDS if placed[operand].position == position),
                          key=lambda operand: -placed[operand].step)  # fmt: skip
            outer = placed[here[0]].step
            for operand in here[1:]:
                outer = self._divisor(operand, position, placed[operand].step, outer)
                result[operand] = _Place(position, outer, self._double(operand, position, outer))
        return result

    def _divisor(self, operand: OperandName, position: int, step: int, outer: int) -> int:
        base = self.loops[position - 1].step
        for trips in range(step // base, 1, -1):
            if outer // base % trips == 0 and self._fits_twice(operand, position, base * trips):
                return base * trips
        return base

    def _worth(self, operand: OperandName, position: int, step: int) -> bool:
        """Whether a tile of `step` fits twice and the one just smaller is a short transfer."""
        smaller = self.tiling(operand, position, step - self.loops[position - 1].step)
        if self.tile_bits(operand, smaller.largest) >= self.transfer_bits:
            return False
        return self._fits_twice(operand, position, step)

    def _fits_twice(self, operand: OperandName, position: int, step: int) -> bool:
        tiles = self.tiling(operand, position, step)
        return 2 * self.tile_bits(operand, tiles.largest) <= self.buffers[operand].capacity_bits

    def _enclosing(self, position: int) -> int:
        """Extent that the loop just above `position` walks."""
        dim = self.loops[position - 1].dim
        outer = [loop.step for loop in self.loops[: position - 1] if loop.dim == dim]
        return min(outer, default=self.problem.extent(dim))


def _last_true(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """Largest count in low..high-1 up to which `holds` (true, then false) stays true; low if none."""
    high = max(low, high - 1)
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _assemble(
    loops: tuple[Loop, ...], placed: dict[OperandName, _Place], placer: _Placer, bypass: bool
) -> tuple[Node, ...]:
    # A psum that bypasses its buffer is exchanged with DRAM where its buffer node would have been.
    levels = {operand: buffer.name for operand, buffer in placer.buffers.items()}
    if bypass:
        levels["output"] = "dram"
    nodes: list[Node] = [Store(operand, "dram") for operand in OPERANDS if levels[operand] != "dram"]

    def stores(position: int, step: int) -> list[Node]:
        return [
            Store(operand, levels[operand], place.double_buffered)
            for operand, place in placed.items()
            if place.position == position and (position == 0 or place.step == step)
        ]

    nodes += stores(0, 0)
    for position, loop in enumerate(loops, start=1):
        steps = {place.step for place in placed.values() if place.position == position} | {loop.step}
        for step in sorted(steps, reverse=True):
            nodes += [Loop(loop.dim, step), *stores(position, step)]
    return (*nodes, *(Store(operand, "array") for operand in OPERANDS))
