"""The input tiles of a conv for every number of loops of its pixels and taps, as a record for the kernels."""

from __future__ import annotations

import numpy as np

from accelsim.mapping.halo import chunk_pairs, halo_pairs
from accelsim.mapping.nest import TooManyChunks
from accelsim.mapping.problem import Problem
from accelsim.mapping.search.space import HALO, MAX_PER_DIM, MAX_TILES, Record


def overlaps(problem: Problem) -> bool:
    """Whether input tiles share elements or lie in the padding: not in a conv of one tap without padding."""
    conv = problem.conv
    return conv is not None and not (conv.r == conv.s == 1 and conv.padding == (0, 0))


def no_halo() -> Record:
    """For a problem whose tiles do not overlap."""
    halo = np.zeros(1, HALO)
    halo["row"] = halo["red"] = -1
    return halo


def halo_record(
    problem: Problem, dims: tuple[str, ...], row_steps: tuple[int, ...], red_steps: tuple[int, ...]
) -> Record:
    """The tiles below the first 0, 1, ... of the loops with these steps; TooManyChunks if there is no room."""
    (pair,) = halo_pairs(problem)
    halo = np.zeros(1, HALO)
    halo["row"], halo["red"] = (dims.index(dim) if dim in dims else -1 for dim in pair)
    used = 0
    for a in range(MAX_PER_DIM):
        for b in range(MAX_PER_DIM):
            halo["first"][0, a * MAX_PER_DIM + b] = used
            if a > len(row_steps) or b > len(red_steps):
                continue
            kinds = chunk_pairs(problem, pair, row_steps[:a], red_steps[:b])
            if used + len(kinds) > MAX_TILES:
                raise TooManyChunks(used + len(kinds))
            rows = np.array(kinds, np.int64)
            for column, name in enumerate(("values", "row_cut", "red_cut", "count")):
                halo[name][0, used : used + len(kinds)] = rows[:, column]
            used += len(kinds)
    halo["first"][0, MAX_PER_DIM * MAX_PER_DIM] = used
    return halo
