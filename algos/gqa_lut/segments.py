"""Best lines with quantised coefficients over runs of points, and the best cuts between runs.

Points are sorted by x and weighted; k = k_code x k_step and b = b_code x b_step, the codes in
[k_low, k_high] and [b_low, b_high]: `limits` holds k_step, b_step and these four.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from accelsim.schemes import FixedPoint

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SLACK = 1e-15
"""What a bound on a weighted squared error may be off by: sums of some hundred terms of order 1."""


def limits(slope: FixedPoint, intercept: FixedPoint) -> Floats:
    """The two formats as the kernels take them."""
    codes = (slope.lowest, slope.highest, intercept.lowest, intercept.highest)
    return np.array([slope.step, intercept.step, *codes], np.float64)


def moments(x: Floats, y: Floats, weight: Floats) -> Floats:
    """Running sums of w, wx, wxx, wy, wxy, wyy before each point and after the last: shape (points + 1, 6)."""
    terms = np.stack([weight, weight * x, weight * x * x, weight * y, weight * x * y, weight * y * y], axis=1)
    return np.concatenate([np.zeros((1, 6)), np.cumsum(terms, axis=0)])


@njit(cache=True)
def line_error(total: Floats, k: float, b: float) -> float:
    """Weighted squared error of a line from the moments of its points."""
    w, x, xx, y, xy, yy = total
    error: float = yy + k * k * xx + b * b * w + 2.0 * (k * b * x - k * xy - b * y)
    return error


@njit(cache=True)
def _relaxed_error(total: Floats, limits: Floats, k: float) -> float:
    """Error with slope k and the best real intercept that the format has room for."""
    b = min(max((total[3] - k * total[1]) / total[0], limits[4] * limits[1]), limits[5] * limits[1])
    return line_error(total, k, b)


@njit(cache=True)
def _relaxed_slope(total: Floats, limits: Floats) -> float:
    """The slope in the format's range of least relaxed error, which is convex and smooth in the slope.

    Its pieces are three parabolas: with a free intercept, and with each of the two limits of b.
    """
    w, x, xx, y, xy, _ = total
    k_step, b_step, k_low, k_high, b_low, b_high = limits
    curve = xx - x * x / w
    free = (xy - x * y / w) / curve if curve > 1e-12 * xx else 0.0
    best, slope = np.inf, 0.0
    for k in (free, (xy - b_low * b_step * x) / max(xx, 1e-300), (xy - b_high * b_step * x) / max(xx, 1e-300)):
        inside = min(max(k, k_low * k_step), k_high * k_step)
        error = _relaxed_error(total, limits, inside)
        if error < best:
            best, slope = error, inside
    return slope


@njit(cache=True)
def best_line(total: Floats, limits: Floats) -> tuple[float, int, int]:
    """The line of least weighted squared error in the lattice: (error, k code, b code).

    For a fixed k the best b is the rounded mean rest, clipped; its error is at least the relaxed one. That
    is convex in k, so k codes are tried outward from its minimum until it exceeds the best error found.
    """
    w, x, _, y, _, _ = total
    k_step, b_step, k_low, k_high, b_low, b_high = limits
    up = min(max(math.floor(_relaxed_slope(total, limits) / k_step), k_low), k_high)
    down = up - 1.0
    best, best_k, best_b = np.inf, 0, 0
    up_bound = _relaxed_error(total, limits, up * k_step)
    down_bound = _relaxed_error(total, limits, down * k_step) if down >= k_low else np.inf
    while min(up_bound, down_bound) <= best + SLACK and min(up_bound, down_bound) < np.inf:
        if up_bound <= down_bound:
            code = up
            up += 1.0
            up_bound = _relaxed_error(total, limits, up * k_step) if up <= k_high else np.inf
        else:
            code = down
            down -= 1.0
            down_bound = _relaxed_error(total, limits, down * k_step) if down >= k_low else np.inf
        k = code * k_step
        b_code = min(max(math.floor((y - k * x) / w / b_step + 0.5), b_low), b_high)
        error = line_error(total, k, b_code * b_step)
        if error < best:
            best, best_k, best_b = error, int(code), int(b_code)
    return best, best_k, best_b


@njit(cache=True)
def run_errors(sums: Floats, cuts: Ints, limits: Floats) -> Floats:
    """Error of the best line of every run cuts[i]..cuts[j]-1 of points, i < j; infinite elsewhere."""
    count = cuts.size
    errors = np.full((count, count), np.inf)
    for i in range(count - 1):
        for j in range(i + 1, count):
            errors[i, j] = max(best_line(sums[cuts[j]] - sums[cuts[i]], limits)[0], 0.0)
    return errors


@njit(cache=True)
def best_cuts(errors: Floats, entries: int) -> tuple[float, Ints]:
    """Least sum of run errors with at most `entries` runs, and the index where each run starts."""
    count = errors.shape[0]
    least = np.full((entries + 1, count), np.inf)
    came = np.zeros((entries + 1, count), np.int64)
    least[0, 0] = 0.0
    for used in range(1, entries + 1):
        for end in range(1, count):
            for start in range(end):
                total = least[used - 1, start] + errors[start, end]
                if total < least[used, end]:
                    least[used, end], came[used, end] = total, start
    used = int(np.argmin(least[:, count - 1]))
    starts = np.zeros(used, np.int64)
    end = count - 1
    for run in range(used, 0, -1):
        end = came[run, end]
        starts[run - 1] = end
    return least[:, count - 1].min(), starts


@njit(cache=True)
def assigned(x: Floats, y: Floats, k: Floats, b: Floats, fills: bool) -> tuple[float, Ints]:
    """Least sum of squared errors when points take lines in ascending order, and each point's line.

    Lines may be skipped; `fills` keeps the last point on the line of the one before it.
    """
    entries, points = k.size, x.size
    least = np.zeros((points, entries))
    best = np.zeros((points, entries), np.int64)
    for point in range(points):
        here = 0
        stays = fills and point == points - 1
        for line in range(entries):
            if point and (stays or least[point - 1, line] < least[point - 1, here]):
                here = line
            error = k[line] * x[point] + b[line] - y[point]
            least[point, line] = error * error + (least[point - 1, here] if point else 0.0)
            best[point, line] = here
    line = int(np.argmin(least[points - 1]))
    total = least[points - 1, line]
    lines = np.zeros(points, np.int64)
    for point in range(points - 1, -1, -1):
        lines[point] = line
        line = best[point, line]
    return total, lines
