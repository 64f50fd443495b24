"""Where each operand's tile is stored in a loop nest, given the memories.

From the outside in, each operand's storage node goes to the position in the nest that moves the fewest
values from the level above among those that fit; ties prefer several tiles over one (so that loading
overlaps with compute), then the outermost. A tile so small that its DRAM transfer is shorter than
`LATENCIES_PER_TRANSFER` DRAM latencies grows along the loop above it while two of it fit. Input tiles
demand two slots unless the whole operand is one tile, or it is a tile of registers (which hold what is
worked on) of which two do not fit; psums demand one. A psum position that revisits
a tile has spilled: its home is the level above.

An operand passes by an outer memory that has no room for the tile that the next memory inwards would
hold by itself. A shared memory takes outputs first (a psum moves twice), then ifmap, then weight, and
leaves free what those to come need at least; ties there prefer the smallest tile. What the PEs' registers hold
is placed first (`accelsim.mapping.register_place`); memories then stand no further in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from accelsim.hardware.machine import Machine
from accelsim.hardware.sram import Sram
from accelsim.mapping.count import Tiling, tiling
from accelsim.mapping.halo import halo_dims
from accelsim.mapping.nest import REGISTERS, Loop, Node, Store, chunks_within_reach
from accelsim.mapping.problem import OPERANDS, OperandName, Problem
from accelsim.mapping.register_place import SHARING_ORDER, register_positions

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

    @property
    def found(self) -> str:
        return f"{self.demand:,} {self.unit} needed, {self.bound:,} there (short of {self.gap:,})"


def buffer_of(machine: Machine, operand: OperandName) -> Sram:
    """The memory next to the array that holds an operand."""
    return machine.chain(operand)[-1]


def tile_bits(problem: Problem, buffer: Sram, operand: OperandName, values: int, psum_stores: int) -> int:
    """Buffer bits of a tile of `values` elements, in whole port words.

    An output's slot holds its live partial sums, min(group size, stores) of them (APSQ, DAC
    2025), and later its ofmap value.
    """
    if operand == "ifmap":
        return buffer.accesses(values, problem.ifmap_bits) * buffer.word_bits
    if operand == "weight":
        return buffer.accesses(values, problem.stored_weight_bits) * buffer.word_bits
    psums = buffer.accesses(values * problem.psum.live_per_output(psum_stores), problem.psum.bits)
    return max(psums, buffer.accesses(values, problem.ofmap_bits)) * buffer.word_bits


def transfer_bits(machine: Machine) -> int:
    """Size of a DRAM transfer long enough to hide its latency behind others; one burst at least."""
    bits = int(LATENCIES_PER_TRANSFER * machine.dram.latency_fs / machine.dram.fs_per_byte * 8)
    return max(bits, machine.dram.burst_bytes * 8)


def psum_stores(problem: Problem, loops: tuple[Loop, ...]) -> int:
    """T - 1: how often an output leaves the array, below `loops`, unfinished."""
    return tiling(problem, "output", loops).most_visits - 1


def place_storage(
    problem: Problem, loops: tuple[Loop, ...], machine: Machine, spill: Spill
) -> tuple[Node, ...] | Infeasible:
    """The loops with storage nodes among them, or the first operand that fits nowhere."""
    registers = register_positions(problem, loops, machine)
    placer = _Placer(problem, loops, machine, registers)
    places = placer.places()
    if isinstance(places, Infeasible) and registers:
        registers = {}  # shared memories may have no room for what they have to hold of every operand then
        placer = _Placer(problem, loops, machine, registers)
        places = placer.places()
    if isinstance(places, Infeasible):
        return places
    home = next(place for place in places if place.operand == "output")
    visits = placer.tiling("output", home.position).most_visits
    if visits > 1 and spill == "bypass":
        # A psum that bypasses its memories is exchanged with DRAM where the outermost would have held it.
        home = replace(home, level="dram")
        if visits <= placer.psum_stores:  # without a buffer every visit of the array goes to DRAM
            last = placer.last["output"]
            home = replace(home, position=last, step=loops[last - 1].step, double_buffered=True)
        places = [*(place for place in places if place.operand != "output"), home]
    return _assemble(loops, placer.nested(places), registers)


@dataclass(frozen=True)
class _Place:
    """Storage after `position` loops, the last of them widened to `step` indices.

    `level` is the memory's name, or dram for a psum that bypasses it; `room_bits` what it may take.
    """

    operand: OperandName
    memory: Sram
    level: str
    room_bits: int
    position: int
    step: int
    double_buffered: bool


class _Placer:
    """Chooses storage positions for one problem and loop order."""

    def __init__(
        self, problem: Problem, loops: tuple[Loop, ...], machine: Machine, registers: dict[OperandName, int]
    ) -> None:
        self.problem = problem
        self.loops = loops
        for dim in halo_dims(problem):
            chunks_within_reach(problem.extent(dim), dim, loops)
        self.machine = machine
        self.registers = registers
        self.last = {operand: registers.get(operand, len(loops)) for operand in OPERANDS}
        self.psum_stores = psum_stores(problem, loops[: self.last["output"]])
        self.transfer_bits = transfer_bits(machine)
        self._tilings: dict[tuple[OperandName, int, int | None], Tiling] = {}

    def tiling(self, operand: OperandName, position: int, step: int | None = None) -> Tiling:
        key = operand, position, step
        if key not in self._tilings:
            loops = list(self.loops[:position])
            if step is not None:
                loops[-1] = Loop(loops[-1].dim, step)
            self._tilings[key] = tiling(self.problem, operand, loops)
        return self._tilings[key]

    def tile_bits(self, memory: Sram, operand: OperandName, tiles: Tiling) -> int:
        return tile_bits(self.problem, memory, operand, tiles.largest, self.psum_stores)

    def demand(self, memory: Sram, operand: OperandName, position: int, step: int | None = None) -> int:
        tiles = self.tiling(operand, position, step)
        bits = self.tile_bits(memory, operand, tiles)
        if operand == "output" or tiles.tiles == 1:
            return bits
        waits = position == self.registers.get(operand) and 2 * bits > memory.capacity_bits
        return bits if waits else 2 * bits

    def places(self) -> list[_Place] | Infeasible:
        """Places in all memories, outermost first."""
        placed: list[_Place] = []
        for memory in self.machine.memories:
            sharers = [operand for operand in SHARING_ORDER if operand in memory.holds]
            left = memory.capacity_bits
            for number, operand in enumerate(sharers):
                above = [place for place in placed if place.operand == operand]
                place = self._place(memory, operand, above, left, sharers[number + 1 :])
                if isinstance(place, _Place):
                    placed.append(place)
                    left -= place.room_bits
                elif not self._may_pass_by(memory, operand, above):
                    return place
        return placed

    def _may_pass_by(self, memory: Sram, operand: OperandName, above: Sequence[_Place]) -> bool:
        """Whether another memory holds the operand: one further in, or one above if others share this one."""
        is_innermost = memory is self.machine.chain(operand)[-1]
        return not is_innermost or (bool(above) and len(memory.holds) > 1)

    def _place(
        self, memory: Sram, operand: OperandName, above: Sequence[_Place], left: int, later: Sequence[OperandName]
    ) -> _Place | Infeasible:
        """The operand's place in the `left` bits of a memory, or what it lacks."""
        least = max((place.position for place in above), default=0)
        positions = range(least, max(least, self._innermost(memory, operand)) + 1)
        minima = {other: self.demand(memory, other, self._innermost(memory, other)) for other in later}
        must = sum(bits for other, bits in minima.items() if memory is self.machine.chain(other)[-1])
        for room in (left - sum(minima.values()), left - must):
            position = self._best(memory, operand, positions, room, len(memory.holds) > 1)
            if position is not None:
                return self._grown(memory, operand, position, room, bool(above))
        need = memory.capacity_bits - left + must + self.demand(memory, operand, positions[-1])
        lever = "raise the buffer's capacity_kib, narrow the array, or search smaller tiles (mapping.tiles=searched)"
        return Infeasible(memory.name, need, memory.capacity_bits, "bits", lever)

    def _innermost(self, memory: Sram, operand: OperandName) -> int:
        """The innermost position of use in a memory: that of the smallest tile that the next one inwards would hold."""
        chain = self.machine.chain(operand)
        if memory is chain[-1]:
            return self.last[operand]
        below = chain[chain.index(memory) + 1]
        best = self._best(below, operand, range(self.last[operand] + 1), below.capacity_bits, True)
        return self.last[operand] if best is None else best

    def _best(
        self, memory: Sram, operand: OperandName, positions: Iterable[int], room: int, smallest: bool
    ) -> int | None:
        """The position that moves the fewest values from above among those that fit in `room` bits."""
        best: tuple[tuple[int, bool, int, int], int] | None = None
        for position in positions:
            demand = self.demand(memory, operand, position)
            if demand <= room:
                tiles = self.tiling(operand, position)
                cost = (tiles.total(), tiles.tiles == 1, demand if smallest else 0, position)
                if best is None or cost < best[0]:
                    best = (cost, position)
        return None if best is None else best[1]

    def _grown(self, memory: Sram, operand: OperandName, position: int, room: int, is_inner: bool) -> _Place:
        """The place at a position, its tile as large as its transfers from DRAM ask for."""
        place = _Place(operand, memory, memory.name, room, position, 0, False)
        if position:
            loop = self.loops[position - 1]
            place = replace(place, step=loop.step)
            if not is_inner and loop.dim in self.problem.relevant(operand):
                limit = -(-self._enclosing(position) // loop.step)
                trips = _last_true(1, limit, lambda trips: self._worth(place, loop.step * trips))
                place = replace(place, step=loop.step * trips)
            place = replace(place, double_buffered=self._double(place))
        if len(memory.holds) == 1:
            return place
        slots = 2 if place.double_buffered or place.step > self._step(position) else 1
        grown = slots * self.tile_bits(memory, operand, self.tiling(operand, position, place.step or None))
        return replace(place, room_bits=max(grown, self.demand(memory, operand, position)))

    def _step(self, position: int) -> int:
        return self.loops[position - 1].step if position else 0

    def _double(self, place: _Place) -> bool:
        """Two slots when there are two tiles and the room is there, as it is for all inputs but tiles of registers."""
        several = self.tiling(place.operand, place.position, place.step).tiles > 1
        return several and self._fits_twice(place, place.step)

    def nested(self, placed: Sequence[_Place]) -> list[_Place]:
        """The places with steps of one loop made multiples of each other.

        Chunks of the inner step then start where they would on their own, so a conv's tiles hold
        what was checked to fit.
        """
        result = list(placed)
        for position in {place.position for place in placed} - {0}:
            here = [index for index, place in enumerate(placed) if place.position == position]
            here.sort(key=lambda index: -placed[index].step)
            outer = placed[here[0]].step
            for index in here[1:]:
                outer = self._divisor(placed[index], outer)
                place = replace(placed[index], step=outer)
                result[index] = replace(place, double_buffered=self._double(place))
        return result

    def _divisor(self, place: _Place, outer: int) -> int:
        base = self._step(place.position)
        for trips in range(place.step // base, 1, -1):
            if outer // base % trips == 0 and self._fits_twice(place, base * trips):
                return base * trips
        return base

    def _worth(self, place: _Place, step: int) -> bool:
        """Whether a tile of `step` fits twice and the one just smaller is a short transfer."""
        smaller = self.tiling(place.operand, place.position, step - self._step(place.position))
        if self.tile_bits(place.memory, place.operand, smaller) >= self.transfer_bits:
            return False
        return self._fits_twice(place, step)

    def _fits_twice(self, place: _Place, step: int) -> bool:
        tiles = self.tiling(place.operand, place.position, step)
        return 2 * self.tile_bits(place.memory, place.operand, tiles) <= place.room_bits

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


def _assemble(loops: tuple[Loop, ...], placed: Sequence[_Place], registers: dict[OperandName, int]) -> tuple[Node, ...]:
    nodes: list[Node] = []
    for operand in OPERANDS:
        if not any(place.operand == operand and place.level == "dram" for place in placed):
            nodes.append(Store(operand, "dram"))

    def stores(position: int, step: int) -> list[Node]:
        return [
            Store(place.operand, place.level, place.double_buffered)
            for place in placed
            if place.position == position and (position == 0 or place.step == step)
        ]

    def in_registers(position: int) -> list[Node]:
        return [Store(operand, REGISTERS) for operand in OPERANDS if registers.get(operand) == position]

    nodes += [*stores(0, 0), *in_registers(0)]
    for position, loop in enumerate(loops, start=1):
        steps = {place.step for place in placed if place.position == position} | {loop.step}
        for step in sorted(steps, reverse=True):
            nodes += [Loop(loop.dim, step), *stores(position, step)]
        nodes += in_registers(position)
    return (*nodes, *(Store(operand, "array") for operand in OPERANDS))
