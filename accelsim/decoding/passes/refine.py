"""A table of costs that rise in steps, run only where interpolation would be off."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np

from accelsim.decoding.costs import COLUMNS, Floats, at
from accelsim.program.program import Ints

WITHIN = 0.01
"""Latency, energy and DRAM bits between two points may be off by so much, of the exact ones."""
COMPARED = [COLUMNS.index(name) for name in ("latency_fs", "energy_pj", "dram_bits")]
FIRST = 9
"""Points to begin with, evenly among the values."""


def refined(values: Ints, cost: Callable[[int, int], Floats]) -> tuple[Ints, Floats]:
    """Points (P,) among the ascending `values` and their costs (P, 8), such that the others may be interpolated.

    Between two points the middle value is run too, and both halves are looked at where interpolation had missed
    it: so a step between two values is enclosed by them. Halves are let go when it was right twice in a row. `cost` is
    given a value and how many runs are known to follow.
    """
    knots = np.unique(np.linspace(0, len(values) - 1, FIRST).round().astype(int)).tolist()
    rows = {knot: cost(int(values[knot]), len(knots) - 1 - place) for place, knot in enumerate(knots)}
    segments = _with_a_middle((low, high, False) for low, high in pairwise(knots))
    while segments:
        halves = []
        for place, (low, high, was_right) in enumerate(segments):
            middle = (low + high) // 2
            guess = at(values[[low, high]], np.stack([rows[low], rows[high]]), values[middle])
            rows[middle] = cost(int(values[middle]), len(segments) - 1 - place)
            is_right = not (np.abs(guess - rows[middle]) > WITHIN * rows[middle])[COMPARED].any()
            if not (is_right and was_right):
                halves += [(low, middle, is_right), (middle, high, is_right)]
        segments = _with_a_middle(halves)
    found = sorted(rows)
    return values[found], np.stack([rows[each] for each in found])


def _with_a_middle(segments: Iterable[tuple[int, int, bool]]) -> list[tuple[int, int, bool]]:
    return [segment for segment in segments if segment[1] - segment[0] > 1]
