"""Every mapping of a small nested conv on an adder tree, and the best of them.

Batch dims stand outermost, one index a trip. Every other dim has up to three loops, the last over
array-sized pieces, those before over tiles of any size, and all stand in any order; every operand is
stored outside all loops or right below any loop that it depends on. All are walked (`nest_walk`) and
priced (`every_mapping`), without any code of `accelsim.mapping`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import no_type_check

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.hardware.machine import Machine
from accelsim.mapping.problem import Problem
from tests.reference.every_mapping import BEST, OBJECTIVES, numbers, price, store_everywhere
from tests.reference.nest_walk import COUNTS, MAX_LOOPS, walk

Ints = NDArray[np.int64]
Nest = tuple[tuple[int, int], ...]
MAX_SPLITS = 3


@dataclass(frozen=True)
class BestNest:
    """The least of the objective over `mappings`, those that fit of `nests` loop nests."""

    score: float
    mappings: int
    nests: int


def best_of_all_nests(problem: Problem, machine: Machine, objective: str) -> BestNest | None:
    """The best of all mappings, None if none fits."""
    extents, widths, form, prices = numbers(problem, machine)
    nests = list(nests_of(problem, extents, widths))
    dims, steps, sizes = _rows(nests)
    best, scratch = np.zeros(1, BEST), np.zeros(1, COUNTS)
    best["score"] = np.inf
    _every(
        extents, dims, steps, sizes, OBJECTIVES.index(objective), form[0], prices[0], relevant(problem),
        windows(problem), scratch[0], best[0],
    )  # fmt: skip
    if not np.isfinite(best["score"][0]):
        return None
    return BestNest(float(best["score"][0]), int(best["mappings"][0]), len(nests))


def cost_of_nest(
    problem: Problem, machine: Machine, nest: Nest, positions: tuple[int, int, int], two_slots: bool
) -> tuple[float, float]:
    """Energy in pJ and time in fs of one nest with storage below so many loops."""
    extents, _, form, prices = numbers(problem, machine)
    dims, steps, _ = _rows([nest])
    counts = np.zeros(1, COUNTS)
    walk(extents, dims[0], steps[0], len(nest), form[0], relevant(problem), windows(problem), counts[0])
    energy, time = price(counts[0], len(nest), *positions, two_slots, form[0], prices[0])
    return float(energy), float(time)


def nests_of(problem: Problem, extents: Ints, widths: Ints) -> Iterator[Nest]:
    """All nests, each a (dim, step) per loop."""
    batch = [(d, int(widths[d])) for d, dim in enumerate(problem.dims) if dim in problem.batch and extents[d] > 1]
    free = [d for d, dim in enumerate(problem.dims) if dim not in problem.batch]
    for chains in itertools.product(*(list(_chains(int(extents[d]), int(widths[d]))) for d in free)):
        for order in _interleaved(dict(zip(free, chains, strict=True))):
            yield (*batch, *order)


def _chains(extent: int, width: int) -> Iterator[tuple[int, ...]]:
    """Steps of one dim's loops, outermost first."""
    if extent <= width:
        yield ()
        return
    for tiles in range(MAX_SPLITS):
        for chosen in itertools.combinations(range(extent - 1, width, -1), tiles):
            yield (*chosen, width)


def _interleaved(chains: dict[int, tuple[int, ...]]) -> Iterator[Nest]:
    if not any(chains.values()):
        yield ()
    for d, (first, *rest) in [(d, chain) for d, chain in chains.items() if chain]:
        for order in _interleaved({**chains, d: tuple(rest)}):
            yield ((d, first), *order)


def _rows(nests: list[Nest]) -> tuple[Ints, Ints, Ints]:
    dims, steps = np.zeros((len(nests), MAX_LOOPS), np.int64), np.zeros((len(nests), MAX_LOOPS), np.int64)
    for row, nest in enumerate(nests):
        for p, (d, step) in enumerate(nest):
            dims[row, p], steps[row, p] = d, step
    return dims, steps, np.array([len(nest) for nest in nests], np.int64)


def relevant(problem: Problem) -> NDArray[np.bool_]:
    """Which dims select an element of the input, the weight and the output of a nested conv."""
    selects = ({"groups", "n", "p", "q", "r", "s", "c"}, {"groups", "r", "s", "c", "k"}, {"groups", "n", "p", "q", "k"})
    return np.array([[dim in dims for dim in problem.dims] for dims in selects], np.bool_)


def windows(problem: Problem) -> Ints:
    """Output dim, tap dim, stride, dilation, padding and input size of both axes."""
    conv = problem.conv
    assert conv is not None
    at = problem.dims.index
    return np.array(
        [
            (at("p"), at("r"), conv.stride[0], conv.dilation[0], conv.padding[0], conv.h),
            (at("q"), at("s"), conv.stride[1], conv.dilation[1], conv.padding[1], conv.w),
        ],
        np.int64,
    )


@no_type_check
@numba.njit(cache=True)
def _every(extents, dims, steps, sizes, objective, form, prices, selects, seen, counts, best):
    for row in range(sizes.size):
        walk(extents, dims[row], steps[row], sizes[row], form, selects, seen, counts)
        store_everywhere(counts, dims[row], steps[row], sizes[row], 0, objective, form, prices, selects, best)
