"""Exact access counts of an operand at one storage node, ragged edges included.

Stationarity: a tile is fetched again only when a loop relevant to it, or one outside such a loop,
advances. For the tile on one path of relevant chunks, let `cut` be the innermost relevant loop that
really splits that path. The tile is then visited once per trip of every irrelevant loop outside
`cut`. Dims are independent, so tiles fall into few classes (extent, cut) per dim and the count is a
product over classes: exact, and as cheap for a million tiles as for ten.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from accelsim.mapping.halo import halo_classes, halo_pairs
from accelsim.mapping.nest import ChunkClass, Loop, chunk_classes, chunk_count
from accelsim.mapping.problem import OperandName, Problem


@dataclass(frozen=True)
class TileClass:
    """`tiles` tiles of `values` elements, each held `visits` times by its storage node."""

    values: int
    tiles: int
    visits: int


@dataclass(frozen=True)
class Tiling:
    """All tiles of one operand below some loops."""

    classes: tuple[TileClass, ...]

    def total(self, per_tile: Callable[[int], int] = int) -> int:
        """Sum of per_tile(values) over every visit of every tile."""
        return sum(per_tile(tile.values) * tile.tiles * tile.visits for tile in self.classes)

    def once(self, per_tile: Callable[[int], int] = int) -> int:
        """Sum of per_tile(values) over the tiles, each counted once."""
        return sum(per_tile(tile.values) * tile.tiles for tile in self.classes)

    def again(self, per_tile: Callable[[int], int] = int) -> int:
        """Sum of per_tile(values) over all visits but each tile's last (equally, its first)."""
        return self.total(per_tile) - self.once(per_tile)

    @property
    def largest(self) -> int:
        return max(tile.values for tile in self.classes)

    @property
    def tiles(self) -> int:
        return sum(tile.tiles for tile in self.classes)

    @property
    def most_visits(self) -> int:
        return max(tile.visits for tile in self.classes)


def tiling(problem: Problem, operand: OperandName, loops: Sequence[Loop]) -> Tiling:
    """The operand's tiles below `loops` (outermost first), with how often each is visited."""
    per_dim: list[Sequence[ChunkClass]] = []
    pairs = halo_pairs(problem) if operand == "ifmap" else ()
    for pair in pairs:
        per_dim.append(halo_classes(problem, pair, loops))
    for dim in problem.relevant(operand):
        if not any(dim in pair for pair in pairs):
            per_dim.append(chunk_classes(problem.extent(dim), dim, loops))
    merged: dict[tuple[int, int], int] = {}
    for combination in itertools.product(*per_dim):
        values = math.prod(chunk.extent for chunk in combination)
        cut = max(chunk.cut for chunk in combination)
        merged[values, cut] = merged.get((values, cut), 0) + math.prod(chunk.count for chunk in combination)
    irrelevant = problem.irrelevant(operand)
    visits = {cut: _trips(problem, irrelevant, loops[: cut + 1]) for _, cut in merged}
    return Tiling(tuple(TileClass(values, tiles, visits[cut]) for (values, cut), tiles in sorted(merged.items())))


def _trips(problem: Problem, dims: Sequence[str], loops: Sequence[Loop]) -> int:
    return math.prod(chunk_count(problem.extent(dim), dim, loops) for dim in dims)
