"""Which points nobody beats in two things at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby


def on_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether no other point is as good in both coordinates and better in one; less is better in both.

    Equal points share their verdict. A point with a coordinate that is not finite is never on the front.
    """
    best, front = math.inf, set()
    finite = sorted({point for point in points if all(map(math.isfinite, point))})
    for _, group in groupby(finite, key=lambda point: point[0]):
        point = next(group)
        if point[1] < best:
            best = point[1]
            front.add(point)
    return [point in front for point in points]
