"""An operand's tiles at its storage levels, over the tile steps of a nest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accelsim.hardware.machine import Machine
from accelsim.hardware.sram import Sram
from accelsim.mapping.arrays import distinct_rows
from accelsim.mapping.halo import halo_pairs, halo_values
from accelsim.mapping.nest import REGISTERS, Loop, Mapping, Store
from accelsim.mapping.problem import OperandName, Problem
from accelsim.mapping.traffic import stored_chain
from accelsim.program.program import Ints
from accelsim.program.psum_groups import crossing_psums
from accelsim.program.steps import Steps


@dataclass(frozen=True)
class Tiles:
    """An operand's tiles over the steps: where one begins and ends (steps,), its values (n,) and starts (dims, n)."""

    begins: np.ndarray
    ends: np.ndarray
    values: Ints
    key: Ints
    slots: int


@dataclass(frozen=True)
class Level:
    """A memory's tiles, below `depth` loops; without a memory, those that cross between DRAM and the array."""

    memory: Sram | None
    tiles: Tiles
    depth: int


@dataclass(frozen=True)
class Returns:
    """Per output tile: does it come back from above, leave unfinished, and after which leavings; its psums each way."""

    returns: np.ndarray
    unfinished: np.ndarray
    stores_needed: Ints
    coming: Ints
    leaving: Ints


def nodes_of(mapping: Mapping, machine: Machine, operand: OperandName) -> list[tuple[Sram | None, Store]]:
    """The operand's memories with their storage nodes, outermost first.

    Without any, the node whose tiles cross straight between DRAM and the array: that of DRAM for an
    output, else the array's (its registers', where they hold it). ValueError if the mapping has neither.
    """
    stores = [(memory, mapping.store(operand, memory.name)) for memory in stored_chain(mapping, machine, operand)]
    found: list[tuple[Sram | None, Store]] = [(memory, node) for memory, node in stores if node is not None]
    if found:
        return found
    straight = mapping.store(operand, "dram") if operand == "output" else None
    node = straight or mapping.store(operand, REGISTERS) or mapping.store(operand, "array")
    if node is None:
        raise ValueError(f"the mapping stores {operand} nowhere")
    return [(None, node)]


def levels_of(problem: Problem, mapping: Mapping, machine: Machine, steps: Steps, operand: OperandName) -> list[Level]:
    """The operand's levels between DRAM and the array, outermost first."""
    levels = []
    for memory, node in nodes_of(mapping, machine, operand):
        depth = len(mapping.loops_above(operand, node.level))
        levels.append(Level(memory, _tiles(problem, steps, depth, node), depth))
    return levels


def _tiles(problem: Problem, steps: Steps, depth: int, node: Store) -> Tiles:
    operand = node.operand
    begins = steps.changes(problem.relevant(operand), depth)
    key = np.stack([steps.ranges(dim, depth)[0][begins] for dim in problem.relevant(operand)])
    values = _values(problem, steps, depth, operand)[begins]
    return Tiles(begins, np.append(begins[1:], True), values, key, 2 if node.double_buffered else 1)


def _values(problem: Problem, steps: Steps, depth: int, operand: OperandName) -> Ints:
    """Elements of the operand's tile at every step."""
    pairs = halo_pairs(problem) if operand == "ifmap" else ()
    values = np.ones(steps.count, np.int64)
    for dim in problem.relevant(operand):
        if not any(dim in pair for pair in pairs):
            values = values * steps.ranges(dim, depth)[1]
    for pair in pairs:
        row, red = (steps.ranges(dim, depth)[0] for dim in pair)
        values = values * halo_values(problem, pair, steps.loops[:depth], row, red)
    return values


def returns_of(problem: Problem, steps: Steps, loops: Sequence[Loop], level: Level) -> Returns:
    """Which output tiles come back: those that left before the reduction ended. `loops`: see `crossing_psums`."""
    output = level.tiles
    returns = np.zeros(steps.count, bool)
    unfinished = np.zeros(steps.count, bool)
    for dim in problem.irrelevant("output"):
        start, extent = steps.ranges(dim, len(steps.loops))
        returns |= start > 0
        unfinished |= start + extent < problem.extent(dim)
    comes, leaves = returns[output.begins], unfinished[output.ends]
    zeros = np.zeros(comes.size, np.int64)
    if not comes.any():
        return Returns(comes, leaves, zeros, zeros, np.where(leaves, output.values, 0))
    # A tile that comes back needs the store of its own last visit: the nth unfinished store so far.
    _, tile = distinct_rows(list(output.key))
    order = np.argsort(tile, kind="stable")
    nth = np.cumsum(leaves)
    before = np.zeros(tile.size, np.int64)
    before[order[1:]] = nth[order[:-1]]
    needed = np.maximum.accumulate(np.where(comes, before, 0))
    if problem.psum.group_size == 1:
        coming, leaving = (np.where(some, output.values, 0) for some in (comes, leaves))
    else:
        coming, leaving = crossing_psums(problem, steps, loops, level.depth, output.begins, tile)
    return Returns(comes, leaves, np.diff(needed, prepend=0), coming, leaving)
