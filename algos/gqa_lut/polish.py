"""One set of lines for several scales: breakpoints chosen for each, lines moved while the mean error falls."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numba import njit

from algos.gqa_lut.segments import Floats, Ints, assigned, best_line

K_REACH = 2
B_REACH = 3
MAX_ROUNDS = 100
LEAST_GAIN = 1e-12
"""Relative; below it a move is rounding noise."""


def settled(
    x: Floats, y: Floats, weight: Floats, offsets: Ints, fills: Ints, k: Ints, b: Ints, bounds: Floats
) -> tuple[float, Ints, Ints, list[Ints]]:
    """From start lines to a local optimum: (mean error, k codes, b codes, per scale where each line starts).

    Scale i has the points offsets[i]..offsets[i+1]-1, all of one weight. A line that starts where the
    points end is not used there.
    """
    k, b = k.copy(), b.copy()
    error = _settle(x, y, weight, offsets, fills, k, b, bounds)
    _, lines = _all_assigned(x, y, weight, offsets, fills, k * bounds[0], b * bounds[1])
    scales = [lines[start:stop] for start, stop in pairwise(offsets)]
    return float(error), k, b, [np.searchsorted(scale, np.arange(k.size)) for scale in scales]


@njit(cache=True)
def _settle(
    x: Floats, y: Floats, weight: Floats, offsets: Ints, fills: Ints, k: Ints, b: Ints, bounds: Floats
) -> float:
    best = np.inf
    for _ in range(MAX_ROUNDS):
        error, lines = _all_assigned(x, y, weight, offsets, fills, k * bounds[0], b * bounds[1])
        _refit(x, y, weight, lines, k, b, bounds)
        error, _ = _all_assigned(x, y, weight, offsets, fills, k * bounds[0], b * bounds[1])
        error = _move(x, y, weight, offsets, fills, k, b, bounds, error)
        if error >= best * (1 - LEAST_GAIN):
            return error
        best = error
    return best


@njit(cache=True)
def _refit(x: Floats, y: Floats, weight: Floats, lines: Ints, k: Ints, b: Ints, bounds: Floats) -> None:
    """Every line the best one of its points."""
    for line in range(k.size):
        total = np.zeros(6)
        for point in range(x.size):
            if lines[point] == line:
                w, at, value = weight[point], x[point], y[point]
                total += np.array([w, w * at, w * at * at, w * value, w * at * value, w * value * value])
        if total[0] > 0:
            _, k[line], b[line] = best_line(total, bounds)


@njit(cache=True)
def _move(
    x: Floats, y: Floats, weight: Floats, offsets: Ints, fills: Ints, k: Ints, b: Ints, bounds: Floats, error: float
) -> float:
    """Each line to its best neighbour in the lattice, all scales' breakpoints chosen anew for every try."""
    k_step, b_step, k_low, k_high, b_low, b_high = bounds
    for line in range(k.size):
        old_k, old_b = k[line], b[line]
        best_k, best_b = old_k, old_b
        for dk in range(-K_REACH, K_REACH + 1):
            for db in range(-B_REACH, B_REACH + 1):
                k[line], b[line] = old_k + dk, old_b + db
                if not (k_low <= k[line] <= k_high and b_low <= b[line] <= b_high):
                    continue
                tried, _ = _all_assigned(x, y, weight, offsets, fills, k * k_step, b * b_step)
                if tried < error * (1 - LEAST_GAIN):
                    error, best_k, best_b = tried, k[line], b[line]
        k[line], b[line] = best_k, best_b
    return error


@njit(cache=True)
def _all_assigned(
    x: Floats, y: Floats, weight: Floats, offsets: Ints, fills: Ints, k: Floats, b: Floats
) -> tuple[float, Ints]:
    lines = np.zeros(x.size, np.int64)
    total = 0.0
    for scale in range(offsets.size - 1):
        start, stop = offsets[scale], offsets[scale + 1]
        error, lines[start:stop] = assigned(x[start:stop], y[start:stop], k, b, fills[scale])
        total += error * weight[start]
    return total, lines
