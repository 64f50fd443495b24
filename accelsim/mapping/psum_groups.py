"""How often stored partial sums cross the boundary above a memory, groups of them included.

The n-th visit of an output (n = 0..T-1) stores a psum in bank n mod gs; the next step that is a multiple
of gs, or the last, adds up and takes all that are stored (APSQ, arXiv 2505.03748, section III; plain psums
are gs = 1). A psum crosses only if its output's tile left the memory meanwhile. With `start` visits before a
stay of the tile and n visits during it,

    leave   after an unfinished stay: min((start + n - 1) mod gs + 1, n) psums, those stored in it
    return  in a stay that has a taking step: (start - 1) mod gs + 1 psums, those stored before it

What a stay sends or takes is one transfer. Outputs of one tile may differ in n: a ragged chunk that no
inner loop splits stays in the accumulator where the others leave it.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from accelsim.mapping.count import Tiling, tiling
from accelsim.mapping.nest import Loop, chunk_classes, chunk_count
from accelsim.mapping.problem import Problem

PerTile = Callable[[int], int]
Sizes = tuple[tuple[str, int], ...]
"""Extents by dim."""
Numbers = tuple[int, ...]


@dataclass(frozen=True)
class PsumMoves:
    """Transfers of psums up from a memory and back down into it, by the values of one transfer."""

    leaving: Counter[int]
    returning: Counter[int]

    def leaves(self, per_tile: PerTile = int) -> int:
        """Sum of per_tile(values) over the transfers up."""
        return sum(per_tile(values) * times for values, times in self.leaving.items())

    def returns(self, per_tile: PerTile = int) -> int:
        """Sum of per_tile(values) over the transfers down; of the values themselves it is that of those up."""
        return sum(per_tile(values) * times for values, times in self.returning.items())


@dataclass(frozen=True)
class Progress:
    """`values` outputs of a tile that visit the array once per trip of the reduction loops among `loops`."""

    values: int
    loops: tuple[Loop, ...]

    def visits(self, reductions: Sizes) -> int:
        """Visits of the array while a stay covers so much of each reduction dim."""
        return math.prod(chunk_count(size, dim, self.loops) for dim, size in reductions)


def single_moves(tiles: Tiling) -> PsumMoves:
    """One psum an output at every visit but the last, and back: that of the array, or of plain psums."""
    each: Counter[int] = Counter()
    for tile in tiles.classes:
        each[tile.values] += tile.tiles * (tile.visits - 1)
    return PsumMoves(each, each)


def psum_moves(problem: Problem, loops: tuple[Loop, ...], above: int) -> PsumMoves:
    """Psums between the node below the first `above` loops and the level above it.

    `loops` are those outside the array's tile of outputs (in registers or not): a trip of theirs is a visit.
    """
    tiles = tiling(problem, "output", loops[:above])
    if problem.psum.group_size == 1 or tiles.most_visits == 1:
        return single_moves(tiles)
    found = PsumMoves(Counter(), Counter())
    relevant = problem.relevant("output")
    per_dim = (chunk_classes(problem.extent(dim), dim, loops[:above]) for dim in relevant)
    alike: Counter[tuple[int, tuple[Progress, ...]]] = Counter()
    for chunks in itertools.product(*per_dim):
        sizes = tuple(zip(relevant, (chunk.extent for chunk in chunks), strict=True))
        cut = max(chunk.cut for chunk in chunks)
        if all(chunk_count(problem.extent(dim), dim, loops[: cut + 1]) == 1 for dim in problem.irrelevant("output")):
            continue  # finished in one stay
        alike[cut, progress_of(sizes, loops, cut)] += math.prod(chunk.count for chunk in chunks)
    for (cut, parts), tiles_alike in alike.items():
        stays = _Stays(problem, loops[: cut + 1], parts)
        for moves, total in zip(stays.moves(), (found.leaving, found.returning), strict=True):
            for values, times in moves.items():
                total[values] += times * tiles_alike if values else 0
    return found


def progress_of(tile: Sizes, loops: Sequence[Loop], outer_cut: int = -1) -> tuple[Progress, ...]:
    """The outputs of a tile of these extents (of the relevant dims), grouped by what lets them leave the array.

    `outer_cut` is the innermost loop that split the path to the tile.
    """
    outputs: Counter[int] = Counter()
    for chunks in itertools.product(*(chunk_classes(size, dim, loops) for dim, size in tile)):
        cut = max(outer_cut, *(chunk.cut for chunk in chunks))
        outputs[cut] += math.prod(chunk.extent * chunk.count for chunk in chunks)
    return tuple(Progress(values, tuple(loops[: cut + 1])) for cut, values in sorted(outputs.items()))


class _Stays:
    """The stays of one tile below `loops`, of which `parts` make up the outputs."""

    def __init__(self, problem: Problem, loops: Sequence[Loop], parts: tuple[Progress, ...]) -> None:
        self.group, self.parts = problem.psum.group_size, parts
        reduced = problem.irrelevant("output")
        self.whole: Sizes = tuple((dim, problem.extent(dim)) for dim in reduced)
        self.loops = [loop for loop in loops if loop.dim in reduced]
        self._below = cache(self._count)

    def moves(self) -> tuple[Counter[int], Counter[int]]:
        """Transfers up and down, by their values."""
        first = self._visits(self._edge(lambda size, step: min(size, step)))
        last = self._visits(self._edge(lambda size, step: (size - 1) % step + 1))
        zeros = (0,) * len(self.parts)
        before_last = self._after(self._visits(self.whole), last, -1)
        stays = Counter(self._below(0, self.whole, zeros))
        stays[zeros, first] -= 1
        stays[before_last, last] -= 1
        leaving = Counter({self._leaving(zeros, first): 1})
        returning = Counter({self._returning(before_last, last, True): 1})
        for (starts, visits), times in stays.items():
            leaving[self._leaving(starts, visits)] += times
            returning[self._returning(starts, visits, False)] += times
        return leaving, returning

    def _count(self, position: int, sizes: Sizes, starts: Numbers) -> Counter[tuple[Numbers, Numbers]]:
        """Stays inside `sizes` by (visits before it mod group size, visits during it), each a number per part."""
        if position == len(self.loops):
            return Counter({(starts, self._visits(sizes)): 1})
        found: Counter[tuple[Numbers, Numbers]] = Counter()
        loop = self.loops[position]
        full, rest = divmod(dict(sizes)[loop.dim], loop.step)
        for piece, pieces in ((loop.step, full), (rest, 1)):
            if not piece:
                continue
            inside = tuple((dim, piece if dim == loop.dim else size) for dim, size in sizes)
            visits = self._visits(inside)
            for trip in range(min(pieces, self.group)):  # after `group` trips the phases are the same again
                times = len(range(trip, pieces, self.group))
                for stay, count in self._below(position + 1, inside, self._after(starts, visits, trip)).items():
                    found[stay] += count * times
            starts = self._after(starts, visits, pieces)
        return found

    def _leaving(self, starts: Numbers, visits: Numbers) -> int:
        """Psums that go up after an unfinished stay: what it stored and did not take."""
        live = ((start + own - 1) % self.group + 1 for start, own in zip(starts, visits, strict=True))
        return sum(
            part.values * min(*both) for part, both in zip(self.parts, zip(live, visits, strict=True), strict=True)
        )

    def _returning(self, starts: Numbers, visits: Numbers, last: bool) -> int:
        """Psums that come down in a stay that is not the first: those of outputs with a step that takes them."""
        return sum(
            part.values * ((start - 1) % self.group + 1)
            for part, start, own in zip(self.parts, starts, visits, strict=True)
            if last or -start % self.group < own
        )

    def _visits(self, sizes: Sizes) -> Numbers:
        return tuple(part.visits(sizes) for part in self.parts)

    def _after(self, starts: Numbers, visits: Numbers, times: int) -> Numbers:
        return tuple((start + times * own) % self.group for start, own in zip(starts, visits, strict=True))

    def _edge(self, piece: Callable[[int, int], int]) -> Sizes:
        sizes = dict(self.whole)
        for loop in self.loops:
            sizes[loop.dim] = piece(sizes[loop.dim], loop.step)
        return tuple(sizes.items())
