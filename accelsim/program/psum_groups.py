"""The partial sums that each stay of an output tile brings in and sends away, groups of them included.

The rule is that of `accelsim.mapping.psum_groups`, stay by stay.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from accelsim.mapping.arrays import distinct_rows
from accelsim.mapping.nest import Loop
from accelsim.mapping.problem import Problem
from accelsim.mapping.psum_groups import Progress, progress_of
from accelsim.program.program import Ints
from accelsim.program.steps import Steps


def crossing_psums(
    problem: Problem, steps: Steps, loops: Sequence[Loop], depth: int, begins: np.ndarray, tile: Ints
) -> tuple[Ints, Ints]:
    """Psums coming and leaving at each stay (stays,) of the tiles below `depth` of `loops`: those above the array's.

    `begins` (steps,) marks where a stay begins, `tile` (stays,) says of which tile. A tile's stays are all
    there, or whole groups of them are left out.
    """
    first, last = np.flatnonzero(begins), np.flatnonzero(np.append(begins[1:], True))
    relevant, reduced = problem.relevant("output"), problem.irrelevant("output")
    extents = [steps.ranges(dim, depth)[1][first] for dim in relevant]
    covered = []
    starts, finished = np.ones(first.size, bool), np.ones(first.size, bool)
    for dim in reduced:
        start, extent = steps.ranges(dim, len(steps.loops))
        end = start[last] + extent[last]
        covered.append(end - start[first])
        starts &= start[first] == 0
        finished &= end == problem.extent(dim)
    coming, leaving = np.zeros(first.size, np.int64), np.zeros(first.size, np.int64)
    kinds, kind_of = distinct_rows(extents)
    for kind, stay in enumerate(kinds):
        shape = tuple((dim, int(extent[stay])) for dim, extent in zip(relevant, extents, strict=True))
        alike = np.flatnonzero(kind_of == kind)
        alike = alike[np.argsort(tile[alike], kind="stable")]
        for part in progress_of(shape, loops):
            visits = _visits(part, reduced, [size[alike] for size in covered])
            before = np.cumsum(visits) - visits
            before -= np.maximum.accumulate(np.where(starts[alike], before, 0))
            came, left = _crossing(before, visits, starts[alike], finished[alike], problem.psum.group_size)
            coming[alike] += part.values * came
            leaving[alike] += part.values * left
    return coming, leaving


def _visits(part: Progress, dims: Sequence[str], covered: list[Ints]) -> Ints:
    """Visits of the array in each stay that covers so much of every reduction dim."""
    firsts, where = distinct_rows(covered)
    each = [part.visits(tuple((dim, int(size[at])) for dim, size in zip(dims, covered, strict=True))) for at in firsts]
    return np.array(each, np.int64)[where]


def _crossing(before: Ints, visits: Ints, first: np.ndarray, last: np.ndarray, group: int) -> tuple[Ints, Ints]:
    """Psums per output that come and leave in a stay of so many visits, with so many before it."""
    takes = last | (-before % group < visits)
    waiting, live = (before - 1) % group + 1, (before + visits - 1) % group + 1
    return np.where(~first & takes, waiting, 0), np.where(last, 0, np.minimum(live, visits))
