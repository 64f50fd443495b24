"""From the kernels' arrays back to a mapping."""

from __future__ import annotations

from accelsim.hardware.machine import Machine
from accelsim.mapping.count import tiling
from accelsim.mapping.nest import Loop, Mapping, Node, Spatial, Store
from accelsim.mapping.placement import psum_stores, tile_bits
from accelsim.mapping.problem import OPERANDS, OperandName, Problem
from accelsim.mapping.search.space import Record
from accelsim.mapping.search.tables import used_dims


def best_mapping(problem: Problem, machine: Machine, widths: dict[str, int], best: Record) -> Mapping:
    """The best mapping as nodes; inputs of several tiles have two slots, outputs where room is left."""
    dims = used_dims(problem)
    size = int(best["loops"][0])
    steps = zip(best["loop_dim"][0, :size].tolist(), best["loop_step"][0, :size].tolist(), strict=True)
    loops = tuple(Loop(dims[d], step) for d, step in steps)
    position = best["position"][0]
    stored: list[tuple[int, OperandName, str]] = []
    for x, operand in enumerate(OPERANDS):
        used = [
            (int(position[x, level]), operand, memory.name)
            for level, memory in enumerate(machine.chain(operand))
            if position[x, level] >= 0
        ]
        stored += [(0, operand, machine.dram.name), *used] if used else [(size, operand, machine.dram.name)]
    doubled = _doubled(problem, machine, loops, stored)
    nodes: list[Node] = []
    for p in range(size + 1):
        if p:
            nodes.append(loops[p - 1])
        nodes += [Store(operand, level, (operand, level) in doubled) for at, operand, level in stored if at == p]
    array = [Store(operand, "array") for operand in OPERANDS]
    spatial = [Spatial(dim, width) for dim, width in widths.items() if width > 1 and problem.extent(dim) > 1]
    return Mapping((*nodes, *array, *spatial))


def _doubled(
    problem: Problem, machine: Machine, loops: tuple[Loop, ...], stored: list[tuple[int, OperandName, str]]
) -> set[tuple[OperandName, str]]:
    """The tiles with two slots."""
    stores = psum_stores(problem, loops)
    memories = {memory.name: memory for memory in machine.memories}
    left = {name: memory.capacity_bits for name, memory in memories.items()}
    doubled: set[tuple[OperandName, str]] = set()
    needs = {}
    for at, operand, level in stored:
        if level in memories:
            tiles = tiling(problem, operand, loops[:at])
            needs[operand, level] = tile_bits(problem, memories[level], operand, tiles.largest, stores)
            if operand != "output" and tiles.tiles > 1:
                doubled.add((operand, level))
            left[level] -= needs[operand, level] * (2 if (operand, level) in doubled else 1)
    for at, operand, level in stored:
        several = level in memories and operand == "output" and tiling(problem, operand, loops[:at]).tiles > 1
        if several and needs[operand, level] <= left[level]:
            doubled.add((operand, level))
            left[level] -= needs[operand, level]
    return doubled
