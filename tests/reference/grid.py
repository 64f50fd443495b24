"""How many indices of each dim a PE grid takes at once, by trying widths one by one."""

from __future__ import annotations

import math

from accelsim.mapping.problem import Problem
from accelsim.spec.models import PeGridArray


def grid_lanes(problem: Problem, array: PeGridArray) -> dict[str, int]:
    """Rows first: what they take of a dim is not left for the columns. Dims without a width take turns last."""
    sides = array.unroll.conv if problem.conv else array.unroll.matmul
    lanes = dict.fromkeys(problem.dims, 1)
    for side, pes in ((sides.rows, array.rows), (sides.cols, array.cols)):
        used: dict[str, int] = {}
        for unrolled in [*(u for u in side if u.width), *(u for u in side if not u.width)]:
            most = unrolled.width or pes
            while (
                used.get(unrolled.dim, 1) < most
                and used.get(unrolled.dim, 1) * lanes[unrolled.dim] < problem.extent(unrolled.dim)
                and math.prod((used | {unrolled.dim: used.get(unrolled.dim, 1) + 1}).values()) <= pes
            ):
                used[unrolled.dim] = used.get(unrolled.dim, 1) + 1
        lanes = {dim: lanes[dim] * used.get(dim, 1) for dim in lanes}
    return lanes
