"""Which operands a loop nest keeps in the PEs' registers, and where in it.

An operand's node goes to the position that moves the fewest values between the array and its memory
among those whose share of a tile fits into every PE, and the tile into that memory; for an output those
with the fewest passes from PE to PE come next. An operand that gains nothing passes its registers by.
Those that share a file come outputs first (a psum moves twice), then ifmap, then weight.
"""

from __future__ import annotations

from collections.abc import Sequence

from accelsim.hardware.machine import Machine
from accelsim.mapping.copies import largest_in_pe, pe_values
from accelsim.mapping.count import tiling
from accelsim.mapping.nest import Loop
from accelsim.mapping.problem import OperandName, Problem
from accelsim.mapping.registers import memory_room_bits, value_bits

SHARING_ORDER: tuple[OperandName, ...] = ("output", "ifmap", "weight")


def register_positions(problem: Problem, loops: Sequence[Loop], machine: Machine) -> dict[OperandName, int]:
    """How many of the loops stand above each operand's registers; an operand that is not kept there is left out.

    ValueError where the loops deal a conv's window out unevenly (see `pe_values`).
    """
    left = {file.name: file.capacity_bits for file in machine.registers}
    positions: dict[OperandName, int] = {}
    for operand in SHARING_ORDER:
        file = machine.register_file(operand)
        if file is None:
            continue
        memory = machine.chain(operand)[-1]
        bits = value_bits(problem, operand, machine)
        best = (*_cost(problem, operand, loops, len(loops)), 0)
        for position in range(len(loops) - 1, -1, -1):
            room = file.room_bits(largest_in_pe(problem, operand, loops, position), bits)
            tile = tiling(problem, operand, loops[:position]).largest
            if room > left[file.name] or memory_room_bits(problem, memory, operand, tile) > memory.capacity_bits:
                break  # further out a tile is no smaller
            cost = (*_cost(problem, operand, loops, position), room)
            if cost[:2] < best[:2]:
                best, positions[operand] = cost, position
        left[file.name] -= best[2]
    return positions


def _cost(problem: Problem, operand: OperandName, loops: Sequence[Loop], position: int) -> tuple[int, int]:
    """Values that cross between the array and its memory, and the copies of outputs that then meet."""
    moved = tiling(problem, operand, loops[:position]).total()
    return moved, pe_values(problem, operand, loops, position) if operand == "output" else 0
