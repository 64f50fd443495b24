"""What an op's mapping leaves of the memory that weights first come to, and what a first tile takes there."""

from __future__ import annotations

from accelsim.hardware.machine import Machine
from accelsim.hardware.sram import Sram, packed_bits
from accelsim.mapping.count import tiling
from accelsim.mapping.fit import demands
from accelsim.mapping.nest import Mapping
from accelsim.mapping.placement import tile_bits
from accelsim.mapping.problem import Problem
from accelsim.mapping.traffic import stored_chain


def entry_memory(mapping: Mapping, machine: Machine) -> Sram | None:
    """The outermost memory that the mapping stores weights in; None where they go from DRAM into the array."""
    return next(iter(stored_chain(mapping, machine, "weight")), None)


def demand_bits(problem: Problem, mapping: Mapping, machine: Machine, memory: Sram) -> int:
    """Bits of a memory, in whole port words, that the op's slots take up, whatever they hold, and its bias."""
    has_bias = memory in stored_chain(mapping, machine, "weight")
    return demands(problem, mapping, machine)[memory.name] + (_bias(problem, memory) if has_bias else 0)


def first_tile_bits(problem: Problem, mapping: Mapping, memory: Sram) -> tuple[int, int]:
    """The first weight tile in a memory with the bias that comes with it: bits to transfer, and bits of its words."""
    # Ragged tiles come last, so the first tile is of the largest.
    values = tiling(problem, "weight", mapping.loops_above("weight", memory.name)).largest
    transfer = packed_bits(values, problem.stored_weight_bits) + problem.bias_values * problem.bias_bits
    return transfer, tile_bits(problem, memory, "weight", values, 0) + _bias(problem, memory)


def _bias(problem: Problem, memory: Sram) -> int:
    return memory.accesses(problem.bias_values, problem.bias_bits) * memory.word_bits
