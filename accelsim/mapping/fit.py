"""Whether a mapping's tiles fit the memories that hold them."""

from __future__ import annotations

from collections.abc import Iterator

from accelsim.hardware.machine import Machine
from accelsim.mapping.count import tiling
from accelsim.mapping.nest import Mapping, Store
from accelsim.mapping.placement import Infeasible, psum_stores, tile_bits
from accelsim.mapping.problem import Problem
from accelsim.mapping.registers import register_demands


def demands(problem: Problem, mapping: Mapping, machine: Machine) -> dict[str, int]:
    """Bits that the mapping needs of each memory, every memory named, outermost first.

    A tile takes whole port words, a double-buffered one twice; operands that share a memory add up.
    An output's slot holds its live partial sums and later its ofmap (see `tile_bits`).
    """
    needed = {memory.name: 0 for memory in machine.memories}
    for node, bits in stored_tiles(problem, mapping, machine):
        needed[node.level] += bits
    return needed


def stored_tiles(problem: Problem, mapping: Mapping, machine: Machine) -> Iterator[tuple[Store, int]]:
    """Each tile that the mapping has in a memory, with its bits there: twice where it is double buffered."""
    stores = psum_stores(problem, mapping.array_loops("output"))
    memories = {memory.name: memory for memory in machine.memories}
    for node in mapping.nodes:
        if isinstance(node, Store) and node.level in memories:
            largest = tiling(problem, node.operand, mapping.loops_above(node.operand, node.level)).largest
            bits = tile_bits(problem, memories[node.level], node.operand, largest, stores)
            yield node, 2 * bits if node.double_buffered else bits


def misfit(problem: Problem, mapping: Mapping, machine: Machine) -> Infeasible | None:
    """The outermost memory, or then register file, that the mapping asks too much of; None where everything fits."""
    for name, demand in demands(problem, mapping, machine).items():
        capacity = machine.memory(name).capacity_bits
        if demand > capacity:
            lever = f"raise the capacity_kib of {name}, or hold smaller tiles in it"
            return Infeasible(name, demand, capacity, "bits", lever)
    in_pe = register_demands(problem, mapping, machine)
    for file in machine.registers:
        demand = in_pe[file.name]
        if demand > file.capacity_bits:
            key = f"array.registers.{file.name.removesuffix('_registers')}"
            lever = f"raise the capacity_bits of {key}, or hold smaller tiles in it"
            return Infeasible(file.name, demand, file.capacity_bits, "bits in one PE", lever)
    return None
