"""What an op's mapping asks of the weight buffer: all its slots, and its first tile by itself."""

from __future__ import annotations

from accelsim.hardware.machine import Machine
from accelsim.mapping.count import tiling
from accelsim.mapping.nest import Mapping
from accelsim.mapping.placement import tile_bits
from accelsim.mapping.problem import Problem


def demand_bits(problem: Problem, mapping: Mapping, machine: Machine) -> int:
    """Bits of the weight buffer, in whole port words, that the op's slots and its bias take up."""
    node = mapping.store("weight", machine.weight_buffer.name)
    slots = 2 if node is not None and node.double_buffered else 1
    return slots * _tile(problem, mapping, machine) + _bias(problem, machine)


def first_tile_bits(problem: Problem, mapping: Mapping, machine: Machine) -> tuple[int, int]:
    """The first weight tile with the bias that comes with it: bits to transfer, and bits of buffer words."""
    values = _values(problem, mapping, machine)
    transfer = values * problem.weight_bits + problem.bias_values * problem.bias_bits
    return transfer, _tile(problem, mapping, machine) + _bias(problem, machine)


def _values(problem: Problem, mapping: Mapping, machine: Machine) -> int:
    # Ragged tiles come last, so the first tile is of the largest.
    return tiling(problem, "weight", mapping.loops_above("weight", machine.weight_buffer.name)).largest


def _tile(problem: Problem, mapping: Mapping, machine: Machine) -> int:
    return tile_bits(problem, machine.weight_buffer, "weight", _values(problem, mapping, machine), 0)


def _bias(problem: Problem, machine: Machine) -> int:
    buffer = machine.weight_buffer
    return buffer.accesses(problem.bias_values, problem.bias_bits) * buffer.word_bits
