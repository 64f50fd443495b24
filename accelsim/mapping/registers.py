"""What the PEs' register files take and give, and whether their share of a tile fits.

    ifmap, weight   write  every PE that works on an element takes a copy, each time its tile comes
                    read   every MAC that has one (padding is no element); a weight, every MAC that is not gated
    psum            write  every MAC, and every psum or bias that comes in, into one of the PEs
                    read   as often: a PE's first MAC of an output has no sum to read unless one came in,
                           and every PE's sum is read once more when the tile leaves

One access moves one value. A PE's copies are those of `accelsim.mapping.copies`; psums have the
accumulators' width, whatever is stored of them further out.
"""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.hardware.machine import Machine
from accelsim.hardware.registers import RegisterFile
from accelsim.hardware.sram import Sram
from accelsim.mapping.array_actions import gated_macs, macs_with_inputs
from accelsim.mapping.copies import largest_in_pe, pe_values
from accelsim.mapping.count import tiling
from accelsim.mapping.nest import REGISTERS, Mapping
from accelsim.mapping.problem import OPERANDS, OperandName, Problem


@dataclass(frozen=True)
class RegisterUse:
    """`values` values of `bits` bits that an operand's registers read or write in all PEs together."""

    file: RegisterFile
    operand: OperandName
    action: str
    values: int
    bits: int


def register_uses(problem: Problem, mapping: Mapping, machine: Machine) -> tuple[RegisterUse, ...]:
    """All accesses of the operands that the mapping stores in registers. ValueError as `pe_values`."""
    uses = []
    for operand, file in _stored(mapping, machine):
        loops = mapping.array_loops(operand)
        bits = value_bits(problem, operand, machine)
        if operand == "output":
            tiles = tiling(problem, operand, loops)
            came = tiles.again() + (tiles.once() if problem.bias_values else 0)
            moved = {"write": problem.macs + came, "read": problem.macs + came}
        else:
            weights = problem.macs - gated_macs(problem, machine.array)
            reads = weights if operand == "weight" else macs_with_inputs(problem)
            moved = {"write": pe_values(problem, operand, mapping.loops, len(loops)), "read": reads}
        uses += [RegisterUse(file, operand, action, values, bits) for action, values in moved.items()]
    return tuple(uses)


def register_demands(problem: Problem, mapping: Mapping, machine: Machine) -> dict[str, int]:
    """Bits that the mapping needs of each register file in the PE that holds the most. ValueError as `pe_values`."""
    needed = {file.name: 0 for file in machine.registers}
    for operand, file in _stored(mapping, machine):
        store = mapping.store(operand, REGISTERS)
        values = largest_in_pe(problem, operand, mapping.loops, len(mapping.array_loops(operand)))
        slots = 2 if store is not None and store.double_buffered else 1
        needed[file.name] += slots * file.room_bits(values, value_bits(problem, operand, machine))
    return needed


def value_bits(problem: Problem, operand: OperandName, machine: Machine) -> int:
    """Width of an operand's values in registers."""
    if operand == "output":
        return machine.array.accumulator_bits
    return problem.ifmap_bits if operand == "ifmap" else problem.weight_bits


def memory_room_bits(problem: Problem, memory: Sram, operand: OperandName, values: int) -> int:
    """At most so many bits of a memory hold `values` values that registers get from it, in one slot."""
    if operand == "output":
        psums = memory.accesses(values * problem.psum.group_size, problem.psum.bits)
        return max(psums, memory.accesses(values, problem.ofmap_bits)) * memory.word_bits
    bits = problem.ifmap_bits if operand == "ifmap" else problem.stored_weight_bits
    return memory.accesses(values, bits) * memory.word_bits


def _stored(mapping: Mapping, machine: Machine) -> list[tuple[OperandName, RegisterFile]]:
    """The operands that the mapping stores in registers; ValueError for one that the machine has none for."""
    found: list[tuple[OperandName, RegisterFile]] = []
    for operand in OPERANDS:
        if mapping.store(operand, REGISTERS) is None:
            continue
        file = machine.register_file(operand)
        if file is None:
            raise ValueError(f"{machine.name} has no registers for {operand}")
        found.append((operand, file))
    return found
