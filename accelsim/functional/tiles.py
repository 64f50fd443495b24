"""Which values of an operand a part of the loop nest touches.

A `Visit` is what a storage node is asked for: index ranges, and, below the innermost loop, the
pieces that this loop cuts them into. The pieces are worked on together but are transfers of their own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import EllipsisType

import numpy as np

from accelsim.functional.accesses import Sizes
from accelsim.functional.arrangement import Ints, digits, primitive_extents
from accelsim.mapping.problem import Problem

Range = tuple[int, int]
Ranges = dict[str, Range]
Key = tuple[Range, ...]
Index = tuple[slice, ...] | Ints | EllipsisType


@dataclass(frozen=True)
class Visit:
    """Index ranges by dim, walked along `dim` in pieces of `step` (None: one piece)."""

    ranges: Ranges
    dim: str | None = None
    step: int = 1

    def pieces(self, dims: Sequence[str]) -> int:
        """How many tiles of an operand with these relevant dims the visit has."""
        if self.dim is None or self.dim not in dims:
            return 1
        low, high = self.ranges[self.dim]
        return -(-(high - low) // self.step)


class Box:
    """An operand with one axis for each relevant dim: a tile is a box of it."""

    def __init__(self, problem: Problem, dims: Sequence[str]) -> None:
        self.dims = tuple(dims)
        self.shape = tuple(problem.extent(dim) for dim in self.dims)

    def index(self, ranges: Ranges) -> Index:
        """Selects the values that the ranges touch."""
        return tuple(slice(*ranges[dim]) for dim in self.dims)

    def sizes(self, visit: Visit) -> Sizes:
        """Values of each piece."""
        extents = {dim: high - low for dim, (low, high) in visit.ranges.items() if dim in self.dims}
        if visit.dim not in extents:
            return [(math.prod(extents.values()), 1)]
        whole = extents.pop(visit.dim)
        full, rest = divmod(whole, visit.step)
        others = math.prod(extents.values())
        return [(others * size, times) for size, times in ((visit.step, full), (rest, 1)) if size and times]


class ConvInputs:
    """The ifmap of a conv, flat (n, groups, c, h, w): overlapping windows, with nothing in the padding."""

    def __init__(self, problem: Problem) -> None:
        if problem.conv is None:
            raise ValueError("only the ifmap of a conv has windows")
        self.conv = problem.conv
        self.dims = problem.relevant("ifmap")
        self.shape = (self.conv.n * self.conv.groups * self.conv.c * self.conv.h * self.conv.w,)
        self._batch, self._row = problem.batch, (*problem.shared, problem.row)
        self._reduction = problem.reduction
        extents = primitive_extents(problem)
        self._digits = {dim: _split(problem.extent(dim), digits([dim]), extents) for dim in self.dims}
        self._distinct: dict[Key, int] = {}
        self._last: tuple[Key, Ints] | None = None

    def key(self, ranges: Ranges) -> Key:
        return tuple(ranges[dim] for dim in self.dims)

    def index(self, ranges: Ranges) -> Ints:
        """Selects the values that the ranges touch, some more than once."""
        positions = self.positions(ranges)
        inside: Ints = positions[positions >= 0]
        return inside

    def sizes(self, visit: Visit) -> Sizes:
        """Distinct values of each piece."""
        if visit.dim is None or visit.pieces(self.dims) == 1:
            return [(self._values(visit.ranges), 1)]
        low, high = visit.ranges[visit.dim]
        starts = range(low, high, visit.step)
        pieces = ({**visit.ranges, visit.dim: (start, min(start + visit.step, high))} for start in starts)
        return sorted(Counter(self._values(piece) for piece in pieces).items())

    def positions(self, ranges: Ranges) -> Ints:
        """Flat positions (groups, pixels, taps); -1 in the padding."""
        key = self.key(ranges)
        if self._last is None or self._last[0] != key:
            self._last = (key, self._computed(ranges))
        return self._last[1]

    def _computed(self, ranges: Ranges) -> Ints:
        conv = self.conv
        pixel, tap = self._indices(self._row, ranges), self._indices(self._reduction, ranges)
        y = _meet(pixel["p"] * conv.stride[0] - conv.padding[0], tap["r"] * conv.dilation[0])
        x = _meet(pixel["q"] * conv.stride[1] - conv.padding[1], tap["s"] * conv.dilation[1])
        image = conv.h * conv.w
        at = _meet(pixel["n"] * (conv.groups * conv.c * image), tap["c"] * image) + y * conv.w + x
        group = self._indices(self._batch, ranges)["groups"] * (conv.c * image)
        inside = (y >= 0) & (y < conv.h) & (x >= 0) & (x < conv.w)
        return np.where(inside, at + group[:, None, None], -1)

    def _indices(self, dims: Sequence[str], ranges: Ranges) -> dict[str, Ints]:
        """Primitive indices of every combination of the dims' indices, first dim slowest."""
        total = math.prod(ranges[dim][1] - ranges[dim][0] for dim in dims)
        found: dict[str, Ints] = {}
        inner = total
        for dim in dims:
            low, high = ranges[dim]
            inner //= high - low
            for digit, values in self._digits[dim].items():
                found[digit] = np.tile(np.repeat(values[low:high], inner), total // (inner * (high - low)))
        return found

    def _values(self, ranges: Ranges) -> int:
        key = self.key(ranges)
        if key not in self._distinct:
            self._distinct[key] = int(np.unique(self.index(ranges)).size)
        return self._distinct[key]


def _meet(pixels: Ints, taps: Ints) -> Ints:
    return pixels[:, None] + taps[None, :]


def _split(extent: int, names: Sequence[str], extents: dict[str, int]) -> dict[str, Ints]:
    """The primitive indices of every index of one dim."""
    if len(names) == 1:
        return {names[0]: np.arange(extent)}
    shape = [extents[name] for name in names]
    return dict(zip(names, np.unravel_index(np.arange(extent), shape), strict=True))


Layout = Box | ConvInputs
