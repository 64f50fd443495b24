"""The best mapping of a conv whose rows, columns, taps and channels are loops of their own.

Map space. Batch dims stand outermost, one index a trip. Every other dim has at most three loops, over
tiles of any whole number of indices and over array-sized pieces, all in any order; tiles of rows and
columns are rectangles with their halo, taps whole or split. Each operand is stored, in each memory of
its chain, right below any loop that it depends on, or above all. What is minimised is
`accelsim.mapping.closed_form`.

Seven dims have too many orders to look at all. So the search starts from nests without tile loops, in
the orders that keep one operand still in the array and then in others, spread evenly over all there are,
each also with a few tile loops drawn among them, and makes each nest better loop by loop until no single
change helps (`climb`). The same budget gives
the same mapping. Nothing is proved but by the bound of all mappings (`nested_bound`).
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from typing import get_args

import numpy as np

from accelsim.hardware.machine import Machine
from accelsim.mapping.dataflow import spatial_widths
from accelsim.mapping.placement import Infeasible, Spill
from accelsim.mapping.problem import OPERANDS, Problem
from accelsim.mapping.search.climb import NEST, ROOM, climb
from accelsim.mapping.search.nested_bound import nested_bound
from accelsim.mapping.search.outcome import checked_best, nothing_fits
from accelsim.mapping.search.place import SAME
from accelsim.mapping.search.result import Objective, SearchResult, StopReason
from accelsim.mapping.search.space import Ints, Record, no_best
from accelsim.mapping.search.tables import tables, used_dims
from accelsim.mapping.search.windows import axes_of

SHARE = 0.6180339887498949
"""Of all orders, those between one start and the next: the golden ratio spreads any number of starts evenly."""
EVERY_TRIPS, GROWTH = 8, 1.25
"""Tile sizes of up to so many trips are all tried at every place, of more trips those that grow by this."""
LEAST_STARTS, TILED = 120, 0.5
"""Starts with tile loops, where there are fewer orders than that; which share of the dims has one."""


def search_nested(
    problem: Problem, machine: Machine, objective: Objective, spill: Spill, budget: int, tolerance: float
) -> SearchResult | Infeasible:
    """The mapping of least `objective` that the climbs find; see `accelsim.mapping.search.search.search`."""
    widths = spatial_widths(problem, machine.array)
    record = tables(problem, machine, widths, spill)
    code = get_args(Objective).index(objective)
    bound = nested_bound(problem, record, code)
    best, slack = no_best(), 1 - max(tolerance, SAME)
    stop: StopReason = "orders"
    climbs = _Climbs(problem, record, code)
    for start in climbs.starts():
        going = climbs.run(start, best, budget)
        if bound >= best["score"][0, 0] * slack:
            stop = "proved"
            break
        if not going:
            stop = "budget"
            break
    if stop == "orders" and climbs.room["scratch"]["places"]["left_out"][0]:
        stop = "limits"
    score = float(best["score"][0, 0])
    if not math.isfinite(score):
        return nothing_fits(problem, machine, spill, best, budget)
    mapping, cost = checked_best(problem, machine, widths, best)
    return SearchResult(
        mapping=mapping,
        objective=objective,
        energy_pj=cost.energy_pj,
        latency_fs=cost.latency_fs,
        proved=stop == "proved",
        gap=max(0.0, 1 - bound / score),
        stop_reason=stop,
        counted=int(best["mappings"][0]),
    )


class _Climbs:
    """Climbs of one problem, each from a loop order."""

    def __init__(self, problem: Problem, record: Record, code: int) -> None:
        self.problem, self.record, self.code = problem, record, code
        self.dims = used_dims(problem)
        self.axes = axes_of(problem, self.dims)
        self.lead = [d for d, dim in enumerate(self.dims) if dim in problem.batch]
        self.extents, self.widths = (record[name][0, : len(self.dims)].tolist() for name in ("extents", "widths"))
        sides = list(zip(self.extents, self.widths, strict=True))
        self.sizes, self.numbers = _rows([[] if d in self.lead else _sizes(*side) for d, side in enumerate(sides)])
        self.few, self.fews = _rows([[] if d in self.lead else _few_sizes(*side) for d, side in enumerate(sides)])
        self.now, self.spare, self.room = np.zeros(1, NEST), np.zeros(1, NEST), np.zeros(1, ROOM)
        self.room["steps"] = -1  # no table is known

    def starts(self) -> Iterator[list[tuple[int, int]]]:
        """Nests to climb from, as (dim, step): array pieces in an order, then with some tile loops among them."""
        free = [d for d in range(len(self.dims)) if d not in self.lead and self.widths[d] < self.extents[d]]
        for still in OPERANDS:
            apart = [d for d in free if self.dims[d] in self.problem.irrelevant(still)]
            yield [(d, self.widths[d]) for d in (*(d for d in free if d not in apart), *apart)]
        number = math.factorial(len(free))
        for start in range(max(number, LEAST_STARTS)):
            pieces = [(d, self.widths[d]) for d in _order(free, start)]
            if start < number:
                yield pieces
            yield self._with_tiles(pieces, random.Random(start))

    def _with_tiles(self, pieces: list[tuple[int, int]], rng: random.Random) -> list[tuple[int, int]]:
        loops = list(pieces)
        for d, _ in pieces:
            if self.fews[d] and rng.random() < TILED:
                step = int(self.few[d, rng.randrange(self.fews[d])])
                loops.insert(rng.randrange(len(loops) + 1), (d, step))
        return loops

    def run(self, start: Sequence[tuple[int, int]], best: Record, budget: int) -> bool:
        """Climb from a nest; False when the budget ran out."""
        lead = [(d, self.widths[d]) for d in self.lead if self.widths[d] < self.extents[d]]
        loops = [*lead, *start]
        self.spare["loops"] = len(loops)
        for p, (d, step) in enumerate(loops):
            self.spare["dim"][0, p], self.spare["step"][0, p] = d, step
        found = no_best()
        found["looks"], found["mappings"] = best["looks"], best["mappings"]
        going: bool = climb(
            self.record, self.axes, len(lead), self.sizes, self.numbers, self.few, self.fews, self.code, budget,
            self.now, self.spare, self.room, found,
        )  # fmt: skip
        if found["score"][0, 0] < best["score"][0, 0]:
            best[:] = found
        best["looks"], best["mappings"] = found["looks"], found["mappings"]
        return going


def _order(dims: Sequence[int], start: int) -> list[int]:
    """All orders one after the other, so that any number of them from the first on is spread over all."""
    number = math.factorial(len(dims))
    step = next(step for step in itertools.count(max(1, round(SHARE * number))) if math.gcd(step, number) == 1)
    code, left, order = start * step % number, list(dims), []
    for size in range(len(dims), 0, -1):
        order.append(left.pop(code % size))
        code //= size
    return order


def _sizes(extent: int, width: int) -> list[int]:
    """Every tile size, and every one that fills the array, that is the least of its number of trips."""
    least = {-(-extent // trips) for trips in range(2, extent + 1)}
    filled = {-(-size // width) * width for size in least}
    return sorted(size for size in least | filled if width < size < extent)


def _few_sizes(extent: int, width: int) -> list[int]:
    """Those of few trips, those that divide the extent, and some between."""
    kept: list[int] = []
    for size in reversed(_sizes(extent, width)):
        is_next = not kept or size * GROWTH <= kept[-1]
        if is_next or -(-extent // size) <= EVERY_TRIPS or extent % size == 0:
            kept.append(size)
    return kept[::-1]


def _rows(lines: Sequence[Sequence[int]]) -> tuple[Ints, Ints]:
    """Lines of numbers as one array, and how long each is."""
    longest = max((len(line) for line in lines), default=0)
    rows = np.zeros((len(lines), max(1, longest)), np.int64)
    for line, row in zip(lines, rows, strict=True):
        row[: len(line)] = line
    return rows, np.array([len(line) for line in lines], np.int64)
