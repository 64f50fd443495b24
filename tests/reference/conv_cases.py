"""Convs of a few pixels, taps and channels, and adder trees whose buffers cut them into tiles."""

from __future__ import annotations

import math
import random

from accelsim.hardware.machine import Machine
from accelsim.mapping.problem import Problem, conv_problem
from accelsim.schemes import PsumScheme
from accelsim.workload.trace import ConvDims
from tests.reference.nest_walk import MAX_LOOPS
from tests.reference.search_cases import machine_of

MOST_NESTS = 20_000


def conv_case(seed: int, smallest_bytes: int = 16) -> tuple[Problem, Machine]:
    """A nested conv (strided, dilated, padded, grouped, depthwise, 1x1 among them) and a machine."""
    rng = random.Random(seed)
    while True:
        problem, widths = _problem(rng), [rng.randint(1, 3) for _ in range(3)]
        if _nests(problem, widths) <= MOST_NESTS:
            return problem, machine_of(rng, widths, "search", smallest_bytes)


def _problem(rng: random.Random) -> Problem:
    taps = rng.choice([(1, 1), (2, 1), (1, 3), (2, 2), (3, 1), (3, 3)])
    stride, dilation, padding = ((rng.choice(few), rng.choice(few)) for few in ([1, 1, 2], [1, 1, 1, 2], [0, 0, 1]))
    groups = rng.choice([1, 1, 1, 2])
    c, k = (1, 1) if groups > 1 and rng.random() < 0.5 else (rng.randint(1, 5), rng.randint(1, 5))
    least = [(tap - 1) * apart + 1 for tap, apart in zip(taps, dilation, strict=True)]
    h, w = (side + rng.randint(0, 4) for side in least)
    dims = ConvDims(rng.choice([1, 1, 1, 2]), groups, c, k, h, w, *taps, stride, padding, dilation)
    psum = PsumScheme(rng.choice([16, 32])) if rng.random() < 0.6 else PsumScheme(8, rng.randint(1, 2))
    return conv_problem(dims, rng.choice([4, 8, 16]), 8, rng.choice([8, 16]), psum, "nested")


def _nests(problem: Problem, widths: list[int]) -> float:
    """How many loop nests the problem has; infinite where one has more loops than are walked."""
    unrolled = dict(zip((problem.row, problem.reduction[-1], problem.column), widths, strict=True))
    ways: dict[int, int] = {0: 1}  # by number of loops
    for dim, extent in problem.extents:
        width, more = unrolled.get(dim, 1), {}
        if extent <= width:
            continue
        for loops, count in ways.items():
            if dim in problem.batch:
                more[loops] = count
                continue
            for tiles in range(min(3, extent - width)):
                total = loops + tiles + 1
                more[total] = more.get(total, 0) + count * math.comb(extent - width - 1, tiles) * math.comb(
                    total, tiles + 1
                )
        ways = more
    deepest = max(ways) + sum(problem.extent(dim) > 1 for dim in problem.batch)
    return math.inf if deepest > MAX_LOOPS else sum(ways.values())
