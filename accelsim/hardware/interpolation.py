"""Interpolation over short tables of points sorted by x; outside, the end segment goes on."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

Point = tuple[float, float]


def bracket(xs: Sequence[float], x: float) -> int:
    """Index of the segment [xs[i], xs[i + 1]] that holds `x`, or of the end segment nearest to it."""
    return min(max(bisect_right(xs, x) - 1, 0), len(xs) - 2)


def linear(points: Sequence[Point], x: float) -> float:
    """y at `x` on the straight line through the two points around it."""
    i = bracket([point[0] for point in points], x)
    (x0, y0), (x1, y1) = points[i], points[i + 1]
    t = (x - x0) / (x1 - x0)
    return (1 - t) * y0 + t * y1


def log_log(points: Sequence[Point], x: float) -> float:
    """y at `x` on the power law through the two points around it; a point's own y exactly."""
    for point_x, y in points:
        if point_x == x:
            return y
    return math.exp(linear([(math.log(px), math.log(py)) for px, py in points], math.log(x)))
