"""What the array computes: sums of products of the tiles it holds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from accelsim.functional.arrangement import Ints
from accelsim.functional.nodes import Nodes
from accelsim.functional.tiles import Box, ConvInputs, Ranges, Visit
from accelsim.mapping.problem import Problem


class Multiplier:
    """Multiplies the array's ifmap and weight tiles into its accumulators, by numpy's exact int64 product."""

    def __init__(self, problem: Problem, nodes: Nodes, padding: int) -> None:
        self._rows = (*problem.shared, problem.row)
        self._problem = problem
        self._nodes = nodes
        self._padding = padding
        self._weights = Box(problem, problem.relevant("weight"))
        self._outputs = Box(problem, problem.relevant("output"))

    def __call__(self, visit: Visit) -> None:
        problem, nodes, ranges = self._problem, self._nodes, visit.ranges
        for node in nodes.registers:
            node.use(visit)
        batch, reductions = _extent(problem.batch, ranges), _extent(problem.reduction, ranges)
        ifmap = self._ifmap(ranges).reshape(batch, _extent(self._rows, ranges), reductions)
        weight = nodes.weight.bank.read(self._weights.index(ranges)).reshape(batch, reductions, -1)
        nodes.accumulator.add(self._outputs.index(ranges), np.matmul(ifmap, weight), reductions, self._lanes(visit))

    def _lanes(self, visit: Visit) -> tuple[int, ...]:
        """Products of an output that one piece has, by reduction dim."""
        extents = {dim: visit.ranges[dim][1] - visit.ranges[dim][0] for dim in self._problem.reduction}
        return tuple(min(visit.step, extents[dim]) if dim == visit.dim else extents[dim] for dim in extents)

    def _ifmap(self, ranges: Ranges) -> Ints:
        bank, layout = self._nodes.ifmap.bank, self._nodes.ifmap.layout
        if not isinstance(layout, ConvInputs):
            return bank.read(layout.index(ranges))
        positions = layout.positions(ranges)
        bank.read(positions[positions >= 0])
        return np.where(positions >= 0, bank.values[positions], self._padding)


def _extent(dims: Sequence[str], ranges: Ranges) -> int:
    return math.prod(ranges[dim][1] - ranges[dim][0] for dim in dims)
