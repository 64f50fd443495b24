"""Mappings: a loop nest, with a storage node for each operand and level.

A mapping is a list of nodes read from the outside in. `Loop(dim, step)` walks the extent that the
loops above left of `dim` in chunks of `step`; the last chunk may be ragged. `Store(operand, level)`
says that `level` holds the tile of `operand` that the loops above select: a memory, each PE's
`registers`, or `array`, what the PEs work on in one cycle. `Spatial(dim, width)`
unrolls up to `width` indices over the array. A loop of one trip does not exist. Fused operations
will branch; an unfused one is this single path.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.mapping.problem import OperandName, Problem

REGISTERS = "registers"
"""The level of the register files inside the PEs."""


@dataclass(frozen=True)
class Loop:
    """A temporal loop over `dim` in chunks of `step` indices."""

    dim: str
    step: int


@dataclass(frozen=True)
class Store:
    """`level` holds the operand's tile here; double buffered means it demands two tiles."""

    operand: OperandName
    level: str
    double_buffered: bool = False


@dataclass(frozen=True)
class Spatial:
    """Up to `width` indices of `dim` run at once."""

    dim: str
    width: int


Node = Loop | Store | Spatial


@dataclass(frozen=True)
class Mapping:
    """A loop nest with storage, outermost node first."""

    nodes: tuple[Node, ...]

    @property
    def loops(self) -> tuple[Loop, ...]:
        return tuple(node for node in self.nodes if isinstance(node, Loop))

    def store(self, operand: OperandName, level: str) -> Store | None:
        for node in self.nodes:
            if isinstance(node, Store) and node.operand == operand and node.level == level:
                return node
        return None

    def loops_above(self, operand: OperandName, level: str) -> tuple[Loop, ...]:
        """The loops outside the operand's storage node at `level`; KeyError if it has none."""
        above: list[Loop] = []
        for node in self.nodes:
            if isinstance(node, Loop):
                above.append(node)
            elif isinstance(node, Store) and node.operand == operand and node.level == level:
                return tuple(above)
        raise KeyError(f"{operand} has no storage at {level}")

    def array_loops(self, operand: OperandName) -> tuple[Loop, ...]:
        """The loops outside what the array holds of an operand: in its PEs' registers, else what it works on."""
        return self.loops_above(operand, "array" if self.store(operand, REGISTERS) is None else REGISTERS)

    def __str__(self) -> str:
        lines, depth = [], 0
        for node in self.nodes:
            pad = "  " * depth
            if isinstance(node, Loop):
                lines.append(f"{pad}for {node.dim} in chunks of {node.step}:")
                depth += 1
            elif isinstance(node, Store):
                slots = " x2" if node.double_buffered else ""
                lines.append(f"{pad}[{node.level} holds {node.operand}{slots}]")
            else:
                lines.append(f"{pad}parallel {node.dim} x {node.width}")
        return "\n".join(lines)


@dataclass(frozen=True)
class ChunkClass:
    """`count` chunks of one dim with equal extent and equal cut.

    `cut` is the position (0 = outermost loop of the nest) of the innermost loop that really split
    the path to this chunk, -1 if none did: a loop whose only trip is ragged does not exist there.
    """

    extent: int
    cut: int
    count: int


def chunk_classes(extent: int, dim: str, loops: Iterable[Loop]) -> tuple[ChunkClass, ...]:
    """The chunks of `dim` below `loops`, grouped; counts sum to the number of chunks."""
    classes: dict[tuple[int, int], int] = {(extent, -1): 1}
    for position, loop in enumerate(loops):
        if loop.dim != dim:
            continue
        split: dict[tuple[int, int], int] = {}
        for (size, cut), count in classes.items():
            full, rest = divmod(size, loop.step)
            here = position if full + (rest > 0) > 1 else cut
            for piece, pieces in ((loop.step, full), (rest, 1)):
                if piece and pieces:
                    split[piece, here] = split.get((piece, here), 0) + count * pieces
        classes = split
    return tuple(ChunkClass(size, cut, count) for (size, cut), count in classes.items())


def chunk_count(extent: int, dim: str, loops: Iterable[Loop]) -> int:
    """How many chunks `loops` make of `dim`."""
    return sum(chunk.count for chunk in chunk_classes(extent, dim, loops))


@dataclass(frozen=True)
class Chunks:
    """Every chunk of one dim in walking order: start, extent and cut (see ChunkClass)."""

    start: NDArray[np.int64]
    extent: NDArray[np.int64]
    cut: NDArray[np.int64]


MAX_CHUNKS = 2**22


class TooManyChunks(Exception):
    """A dim has more chunks than can be listed; `chunks` says how many."""

    def __init__(self, chunks: int) -> None:
        super().__init__(f"{chunks} chunks")
        self.chunks = chunks


def chunks_within_reach(extent: int, dim: str, loops: Sequence[Loop]) -> None:
    """Raises TooManyChunks if `loops` make more chunks of `dim` than can be listed."""
    listed = chunk_count(extent, dim, loops)
    if listed > MAX_CHUNKS:
        raise TooManyChunks(listed)


def chunks(extent: int, dim: str, loops: Sequence[Loop]) -> Chunks:
    """The chunks of `dim` below `loops`, one by one. Raises TooManyChunks above MAX_CHUNKS."""
    chunks_within_reach(extent, dim, loops)
    start, size, cut = (np.array([value], dtype=np.int64) for value in (0, extent, -1))
    for position, loop in enumerate(loops):
        if loop.dim != dim:
            continue
        trips = -(-size // loop.step)
        parent = np.repeat(np.arange(size.size), trips)
        index = np.arange(parent.size) - np.repeat(np.cumsum(trips) - trips, trips)
        cut = np.where(trips[parent] > 1, position, cut[parent])
        size = np.minimum(loop.step, size[parent] - index * loop.step)
        start = start[parent] + index * loop.step
    return Chunks(start, size, cut)


def without_single_trips(nodes: Iterable[Node], problem: Problem) -> tuple[Node, ...]:
    """The same nest with loops of one trip (everywhere) left out."""
    left = dict(problem.extents)
    kept: list[Node] = []
    for node in nodes:
        if isinstance(node, Loop):
            if node.step >= left[node.dim]:
                continue
            left[node.dim] = node.step
        kept.append(node)
    return tuple(kept)
