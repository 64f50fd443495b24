"""The tile steps of a nest: every iteration of the loops above its innermost buffer node."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from accelsim.mapping.nest import Loop
from accelsim.mapping.problem import Problem
from accelsim.program.program import Ints

MAX_STEPS = 2_000_000


class TooManySteps(Exception):
    """The nest has more tile steps than a timeline is worth; `steps` says how many."""

    def __init__(self, steps: int) -> None:
        super().__init__(f"{steps} tile steps")
        self.steps = steps


@dataclass(frozen=True)
class Steps:
    """Start and extent of every dim at every step, below all `loops` (arrays of shape (steps,))."""

    problem: Problem
    loops: tuple[Loop, ...]
    index: tuple[Ints, ...]
    count: int
    _ranges: dict[tuple[str, int], tuple[Ints, Ints]] = field(default_factory=dict, compare=False, repr=False)

    def ranges(self, dim: str, depth: int) -> tuple[Ints, Ints]:
        """Start and extent of `dim` below the first `depth` loops: read-only, worked out once for each loop."""
        level = max((i for i, loop in enumerate(self.loops[:depth]) if loop.dim == dim), default=-1)
        found = self._ranges.get((dim, level))
        if found is None:
            if level < 0:
                found = np.zeros(self.count, np.int64), np.full(self.count, self.problem.extent(dim), np.int64)
            else:
                start, extent = self.ranges(dim, level)
                offset = self.index[level] * self.loops[level].step
                found = start + offset, np.minimum(self.loops[level].step, extent - offset)
            for part in found:
                part.flags.writeable = False
            self._ranges[dim, level] = found
        return found

    def changes(self, dims: Sequence[str], depth: int) -> np.ndarray:
        """Where a tile selected by `dims` below `depth` loops is not the previous step's; shape (steps,)."""
        changed = np.zeros(self.count, bool)
        changed[0] = True
        for dim in dims:
            start, _ = self.ranges(dim, depth)
            changed[1:] |= start[1:] != start[:-1]
        return changed


def trips_of(problem: Problem, loops: tuple[Loop, ...]) -> list[int]:
    """Trips of each loop inside full chunks of the loops above it."""
    trips, left = [], dict(problem.extents)
    for loop in loops:
        trips.append(-(-left[loop.dim] // loop.step))
        left[loop.dim] = min(loop.step, left[loop.dim])
    return trips


def walk(problem: Problem, loops: tuple[Loop, ...], outer_trips: int | None = None) -> Steps:
    """The steps of `loops`, outermost slowest: all, or only the first `outer_trips` - 1 and the last trip
    of the outermost loop. Raises TooManySteps above MAX_STEPS."""
    trips = trips_of(problem, loops)
    last = trips[0] - 1 if trips else 0
    if outer_trips is not None and trips:
        trips[0] = min(trips[0], outer_trips)
    total = math.prod(trips)
    if total > MAX_STEPS:
        raise TooManySteps(total)
    index = [part.ravel() for part in np.indices(trips, dtype=np.int64)] if trips else []
    if index:
        index[0] = np.where(index[0] == trips[0] - 1, last, index[0])
    valid = np.ones(total, bool)
    left_now = {dim: np.full(total, extent, np.int64) for dim, extent in problem.extents}
    for loop, part in zip(loops, index, strict=True):
        remaining = left_now[loop.dim] - part * loop.step
        valid &= remaining > 0  # a ragged outer chunk has fewer inner trips
        left_now[loop.dim] = np.minimum(loop.step, remaining)
    kept = tuple(part[valid] for part in index)
    return Steps(problem, loops, kept, int(valid.sum()))
