"""The part of a row-stationary op that PEs work through from their registers.

A register tile is some filters, some channels, the taps of a kernel row and some pixels of an output
row: inside it a PE takes its filter rows along a piece of an input row, psums in place. Its sizes, of
those that cut a dim into pieces as even as can be, are the ones that move the fewest bits between the
array and its memories (ties: the largest tile), psums that find no room in a memory only where no tile
spares them. A matmul is a conv of one tap.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from accelsim.hardware.machine import Machine
from accelsim.hardware.sram import packed_bits
from accelsim.mapping.count import tiling
from accelsim.mapping.halo import halo_pairs, largest_halo
from accelsim.mapping.nest import Loop
from accelsim.mapping.problem import OPERANDS, OperandName, Problem
from accelsim.mapping.registers import memory_room_bits, value_bits

Sizes = dict[str, int]
"""Array-sized pieces that a tile has along each dim, that is, indices in one PE; 1 where none is given."""
Depths = dict[OperandName, int]


def with_register_tile(
    problem: Problem, order: Sequence[str], widths: dict[str, int], machine: Machine
) -> tuple[Loop, ...]:
    """The loops of `order` (outermost first, each in steps of its width) with the best register tile inside."""
    best: tuple[tuple[float, ...], tuple[Loop, ...]] | None = None
    for sizes in _tiles(problem, order, widths, machine):
        loops, depths = _nest(problem, order, widths, sizes)
        spills = _psums_spill(problem, loops, depths, machine)
        cost = (spills, _moved_bits(problem, loops, depths), *(-size for size in sizes.values()))
        if best is None or cost < best[0]:
            best = cost, loops
    return tuple(Loop(dim, widths.get(dim, 1)) for dim in order) if best is None else best[1]


def _tiles(problem: Problem, order: Sequence[str], widths: dict[str, int], machine: Machine) -> Iterator[Sizes]:
    """Tiles that fit the registers and the memories next to them.

    Of those with as many filters, pixels and taps only the one with most channels: more of these save psums and
    cost nothing.
    """
    column, channel, row = problem.column, problem.reduction[-1], problem.row
    cuts = {dim: _even_cuts(-(-extent // widths.get(dim, 1))) for dim, extent in problem.extents}
    taps = problem.reduction[-2:-1]
    for slide in itertools.product(*(cuts[dim] for dim in (row, *taps))):
        sizes = dict(zip((row, *taps), slide, strict=True))
        if not _fits(problem, sizes, widths, machine):
            continue
        most = 0
        for channels in cuts[channel]:
            sizes[channel] = channels
            for columns in cuts[column]:
                if columns <= most:
                    break
                sizes[column] = columns
                if not _fits(problem, sizes, widths, machine):
                    continue
                if _memories_have_room(problem, *_nest(problem, order, widths, sizes), machine):
                    most = columns
                    yield dict(sizes)
                    break


def _even_cuts(trips: int) -> list[int]:
    """The sizes that cut `trips` into 1, 2, 3, ... pieces of equal size but the last, largest first."""
    sizes, size = [], trips
    while size:
        sizes.append(size)
        pieces = -(-trips // size) + 1
        smaller = -(-trips // pieces)
        size = smaller if smaller < size else size - 1
    return sizes


def _fits(problem: Problem, sizes: Sizes, widths: dict[str, int], machine: Machine) -> bool:
    for file in machine.registers:
        room = 0
        for operand in file.holds:
            values = _in_pe(problem, operand, sizes, widths)
            room += file.room_bits(values, value_bits(problem, operand, machine))
        if room > file.capacity_bits:
            return False
    return True


def _in_pe(problem: Problem, operand: OperandName, sizes: Sizes, widths: dict[str, int]) -> int:
    """Values of the operand in one PE."""
    pairs = halo_pairs(problem) if operand == "ifmap" else ()
    paired = [dim for pair in pairs for dim in pair]
    values = 1
    for dim in problem.relevant(operand):
        values *= 1 if dim in paired else sizes.get(dim, 1)
    for pair in pairs:
        row, red = (widths.get(dim, 1) for dim in pair)
        loops = [Loop(dim, widths.get(dim, 1) * sizes.get(dim, 1)) for dim in pair]
        values *= largest_halo(problem, pair, loops, (row, red))
    return values


def _nest(
    problem: Problem, order: Sequence[str], widths: dict[str, int], sizes: Sizes
) -> tuple[tuple[Loop, ...], Depths]:
    """Loops over tiles of these sizes, then those inside one, and how many stand above each operand's registers.

    Weights stay while a tile moves along a row. Psums stay for all channels where the tile is a whole row.
    """
    outer = [Loop(dim, widths.get(dim, 1) * sizes.get(dim, 1)) for dim in order]
    outer = [loop for loop in outer if loop.step < problem.extent(loop.dim)]
    inner = [Loop(dim, widths.get(dim, 1)) for dim in order if sizes.get(dim, 1) > 1]
    depths: Depths = {
        operand: max((at + 1 for at, loop in enumerate(outer) if loop.dim in problem.relevant(operand)), default=0)
        for operand in OPERANDS
    }
    return (*outer, *inner), depths


def _memories_have_room(problem: Problem, loops: tuple[Loop, ...], depths: Depths, machine: Machine) -> bool:
    """Whether the memories next to the array hold what the registers get from them."""
    taken = {memory.name: 0 for memory in machine.memories}
    for operand in OPERANDS:
        if machine.register_file(operand) is not None:
            memory = machine.chain(operand)[-1]
            largest = tiling(problem, operand, loops[: depths[operand]]).largest
            taken[memory.name] += memory_room_bits(problem, memory, operand, largest)
    return all(taken[memory.name] <= memory.capacity_bits for memory in machine.memories)


def _psums_spill(problem: Problem, loops: tuple[Loop, ...], depths: Depths, machine: Machine) -> bool:
    """Whether psums come back to the array from where no memory holds them until they are finished."""
    if tiling(problem, "output", loops[: depths["output"]]).most_visits == 1:
        return False
    home = next(at for at, loop in enumerate(loops) if loop.dim in problem.reduction)
    largest = tiling(problem, "output", loops[:home]).largest
    return all(
        memory_room_bits(problem, memory, "output", largest) > memory.capacity_bits
        for memory in machine.chain("output")
    )


def _moved_bits(problem: Problem, loops: tuple[Loop, ...], depths: Depths) -> int:
    """Bits between the array and its memories, each multicast once."""
    ifmap, weight, output = (tiling(problem, operand, loops[: depths[operand]]) for operand in OPERANDS)
    inputs = ifmap.total() * problem.ifmap_bits + packed_bits(weight.total(), problem.stored_weight_bits)
    return inputs + 2 * output.again() * problem.psum.bits + output.once() * problem.ofmap_bits
