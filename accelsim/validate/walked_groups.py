"""Partial sums that crossed the boundary above a memory in a walk, output by output and step by step.

The psum that an output's step stores is taken at the next step that is a multiple of the group size, or
at the last one. Whenever that is in a later stay of the memory's tile, the psum has left with its own
stay and come back in that one; what a stay sends is one transfer, and what it takes another.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable

from accelsim.validate.walk import NodeWalk

PerTile = Callable[[int], int]


class PsumCrossings:
    """Transfers up from a node of the output and down into it, given the log of the array."""

    def __init__(self, log: NodeWalk, array: NodeWalk, group_size: int) -> None:
        steps: dict[tuple[int, ...], list[int]] = {}
        for stay in array.stays:
            for output in itertools.product(*(range(*bounds) for bounds in stay.key)):
                steps.setdefault(output, []).append(stay.begin)
        begins = [stay.begin for stay in log.stays]
        self._up: Counter[int] = Counter()
        self._down: Counter[int] = Counter()
        for times in steps.values():
            stays = [bisect_right(begins, time) for time in times]
            for step in range(len(times) - 1):
                taken = min((step // group_size + 1) * group_size, len(times) - 1)
                if stays[step] != stays[taken]:
                    self._up[stays[step]] += 1
                    self._down[stays[taken]] += 1

    def writes(self, per_tile: PerTile = int) -> int:
        return sum(map(per_tile, self._up.values()))

    def reads(self, per_tile: PerTile = int) -> int:
        return sum(map(per_tile, self._down.values()))
