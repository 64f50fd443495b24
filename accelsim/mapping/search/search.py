"""The best mapping of a matmul or conv: branch and bound over loop orders, tile sizes and storage.

Map space. Batch dims stand outermost, one array width a trip. Every other dim is split at most once,
into tiles of any whole number of indices; the loops over tiles stand in any order, and inside them the
loops over array-sized pieces in any order that the dataflow allows. Each operand is stored, in each memory
of its chain, right below any loop that it depends on, or above all; at or below the last tile loop
something is stored. Psums in groups of more than one stay in their memory until they are finished (spilled
groups are mapped and counted, but not searched). What is minimised is `accelsim.mapping.closed_form`.

A cell is an order of tile loops with the trips of each; it has a lower bound (`bound`). Cells are
opened from the lowest bound on, first with the few tile sizes that pad least, then with every one.
When no cell left has a bound below the best mapping (less the tolerance), it is proved best (within
it); when the budget runs out first, the lowest bound of a cell left says how far off the best can be.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import get_args

import numpy as np

from accelsim.hardware.machine import Machine
from accelsim.mapping.dataflow import spatial_widths
from accelsim.mapping.halo import halo_pairs
from accelsim.mapping.nest import TooManyChunks
from accelsim.mapping.placement import Infeasible, Spill
from accelsim.mapping.problem import Problem
from accelsim.mapping.search.bound import prepare
from accelsim.mapping.search.branch import branch, floor_bound
from accelsim.mapping.search.explore import class_bound, next_cell, try_tiles
from accelsim.mapping.search.halo_tables import halo_record, no_halo, overlaps
from accelsim.mapping.search.nested import search_nested
from accelsim.mapping.search.orders import Orders, orders_of
from accelsim.mapping.search.outcome import MAPPINGS_PER_LOOK, checked_best, nothing_fits
from accelsim.mapping.search.place import SAME
from accelsim.mapping.search.result import Objective, SearchResult, StopReason
from accelsim.mapping.search.space import CELL, SCRATCH, WALK, Record, no_best
from accelsim.mapping.search.tables import tables, used_dims

DEFAULT_BUDGET = 300_000
"""Mappings counted before the search settles for the best so far."""
DEFAULT_TOLERANCE = 2e-3
MAX_CELLS, TABLE = 400_000, 2**20
TILES_AT_ONCE = 4096
NODES_PER_MAPPING = 40
BOX_TILES = 8
HALO_LOOKS = 512
"""What counting the input tiles of one pair of a conv's tile sizes takes of the budget."""


def search(
    problem: Problem,
    machine: Machine,
    objective: Objective = "energy",
    spill: Spill = "through",
    budget: int = DEFAULT_BUDGET,
    tolerance: float = DEFAULT_TOLERANCE,
) -> SearchResult | Infeasible:
    """The mapping of least `objective` (energy in pJ, latency, or their product), ties by the second metric.

    `machine.array.dataflow` constrains the orders of array-sized pieces; `search` leaves them free.
    Deterministic: the budget counts mappings, not time. `tolerance` is how far (relative) from the best
    a mapping may be to count as proved; 0 asks for the very best. Infeasible names the memory in which
    not even the smallest tile fits. A conv whose loops are dims of their own is searched by `nested`.
    ValueError for an unknown objective, a budget below 1 or a
    tolerance outside 0..1.
    """
    if objective not in get_args(Objective) or budget < 1 or not 0 <= tolerance < 1:
        raise ValueError(f"objective {objective!r}, budget {budget}, tolerance {tolerance}")
    if problem.nested:
        return search_nested(problem, machine, objective, spill, budget, tolerance)
    run = _Search(problem, machine, objective, spill, budget, tolerance)
    run.run()
    return run.result()


class _Search:
    """One search: its tables, its orders, its best so far."""

    def __init__(
        self, problem: Problem, machine: Machine, objective: Objective, spill: Spill, budget: int, tolerance: float
    ) -> None:
        self.problem, self.machine, self.objective = problem, machine, objective
        self.widths = spatial_widths(problem, machine.array)
        self.t = tables(problem, machine, self.widths, spill)
        dims = int(self.t["dims"][0])
        self.extents, self.array_widths = (self.t[name][0, :dims].tolist() for name in ("extents", "widths"))
        self.orders: Orders = orders_of(problem, machine.array.dataflow)
        self.limit = budget
        self.spill: Spill = spill
        self.slack = 1 - max(tolerance, SAME)
        self.best = no_best()
        self.scratch = np.zeros(1, SCRATCH)
        self.open_bound = math.inf
        self.left_out = 0
        """Kinds of input tiles of some pair of tile sizes that was passed over."""
        self.walk = np.zeros(1, WALK)
        self.walk["objective"] = get_args(Objective).index(objective)
        self.walk["most_nodes"] = budget * NODES_PER_MAPPING
        prepare(self.t, self.walk)
        self.floor = floor_bound(self.t, self.walk, self.orders.any_inner)
        self.dims = used_dims(problem)

    @property
    def score(self) -> float:
        return float(self.best["score"][0, 0])

    def run(self) -> None:
        """Find a good mapping with few trips of each loop, then list every cell below it and look at all its tiles."""
        floor = self.floor
        self._stream()
        if floor >= self.score * self.slack:
            return
        few = [_few_trips(extent, width) for extent, width in zip(self.extents, self.array_widths, strict=True)]
        going = self._likely(self._cells(few)[0])
        cells, complete = self._cells([_trips(extent) for extent in self.extents])
        going = going and self._likely(cells)
        cells.sort(order="bound", kind="stable")
        for cell in cells:
            if cell["bound"] >= self.score * self.slack:
                break
            if not going or not self._try_all(cell):
                self.open_bound = float(cell["bound"])
                break
        if not complete:
            self.open_bound = min(self.open_bound, floor)

    def _stream(self) -> None:
        """Tiles as wide as the array in every order: the best there is where nothing is used twice, as in a decode."""
        orders = self.orders
        for number, (order, size) in enumerate(zip(orders.outer, orders.outer_sizes, strict=True)):
            trips = [1] * len(self.extents)
            for d in order[:size]:
                trips[d] = -(-self.extents[d] // self.array_widths[d])
            self._try(number, [[-(-extent // trip)] for extent, trip in zip(self.extents, trips, strict=True)])

    def _likely(self, cells: Record) -> bool:
        """The tile sizes that pad least of each cell by rising bound; False when the budget ran out."""
        orders, at = self.orders, -1
        while True:
            at = next_cell(
                self.t, self.walk, cells, at + 1, self.score * self.slack, orders.lead, orders.outer,
                orders.outer_sizes, orders.inner,
            )  # fmt: skip
            if at == len(cells):
                return True
            if not self._try(int(cells[at]["order"]), self._few_tiles(cells[at])):
                return False

    def _cells(self, trips: Sequence[Sequence[int]]) -> tuple[Record, bool]:
        """Cells of these trips that may hold something better by rising bound, and whether the list is whole."""
        sizes = np.array([len(line) for line in trips], np.int64)
        counts = np.zeros((len(trips), max(map(len, trips), default=1)), np.int64)
        for d, line in enumerate(trips):
            counts[d, : len(line)] = line
        self.walk["below"] = self.score * self.slack
        cells = np.zeros(MAX_CELLS, CELL)
        orders = self.orders
        complete = branch(
            self.t, self.walk, counts, sizes, orders.lead, orders.outer, orders.outer_sizes, orders.any_inner,
            orders.inner, cells, np.zeros(TABLE, np.int32),
        )  # fmt: skip
        listed = cells[: int(self.walk["number"][0])]
        listed = listed[listed["bound"] < self.walk["below"]]
        return listed[np.argsort(listed["bound"], kind="stable")], complete

    def _try_all(self, cell: Record) -> bool:
        """Every tile size of a cell, box by box: a box whose bound is not below the best holds nothing better."""
        number = int(cell["order"])
        boxes = list(itertools.product(*self._classes(cell)))
        while boxes:
            box = boxes.pop()
            self.best["looks"] += 1
            if int(self.best["looks"][0]) * MAPPINGS_PER_LOOK >= self.limit:
                return False
            if self._box_bound(number, box) >= self.score * self.slack:
                continue
            if math.prod(end - at for at, end, _ in box) <= BOX_TILES:
                if not self._try(number, [range(at, end) for at, end, _ in box]):
                    return False
                continue
            widest = max(range(len(box)), key=lambda d: box[d][1] - box[d][0])
            at, end, ragged = box[widest]
            for part in ((at, (at + end) // 2, ragged), ((at + end) // 2, end, ragged)):
                boxes.append((*box[:widest], part, *box[widest + 1 :]))
        return True

    def _box_bound(self, number: int, box: Sequence[tuple[int, int, int]]) -> float:
        orders = self.orders
        low = np.array([part[0] for part in box], np.int64)
        high = np.array([part[1] - 1 for part in box], np.int64)
        ragged = np.array([part[2] for part in box], np.int8)
        bound: float = class_bound(
            self.t,
            self.walk,
            low,
            high,
            ragged,
            orders.lead,
            orders.outer[number],
            orders.outer_sizes[number],
            orders.inner,
        )
        return bound

    def _classes(self, cell: Record) -> list[list[tuple[int, int, int]]]:
        """Per dim the tile sizes as (first, past the last, whether the last chunk is at most an array wide)."""
        classes = []
        for extent, width, (low, high) in zip(self.extents, self.array_widths, self._ranges(cell), strict=True):
            trips = -(-extent // low)
            if trips == 1:
                classes.append([(low, high + 1, 0)])
                continue
            # The last chunk is extent - (trips - 1) x tile.
            split = min(high + 1, max(low, -(-(extent - width) // (trips - 1))))
            parts = [(low, split, 0), (split, high + 1, 1)]
            classes.append([part for part in parts if part[0] < part[1]])
        return classes

    def _try(self, number: int, sizes: Sequence[Sequence[int]]) -> bool:
        """Every combination of tile sizes; False when the budget ran out."""
        if not overlaps(self.problem):
            return self._count(number, sizes, no_halo())
        (pair,) = halo_pairs(self.problem)
        joint = [self.dims.index(dim) for dim in pair if dim in self.dims]
        for chosen in itertools.product(*(sizes[d] for d in joint)):
            tiles = dict(zip(joint, chosen, strict=True))
            steps = [self._steps(dim, tiles) for dim in pair]
            self.best["looks"] += HALO_LOOKS
            try:
                halo = halo_record(self.problem, self.dims, *steps)
            except TooManyChunks as error:
                self.left_out = error.chunks
                if int(self.best["looks"][0]) * MAPPINGS_PER_LOOK >= self.limit:
                    return False
                continue
            if not self._count(number, [(tiles[d],) if d in tiles else size for d, size in enumerate(sizes)], halo):
                return False
        return True

    def _steps(self, dim: str, tiles: dict[int, int]) -> tuple[int, ...]:
        """The steps of a dim's loops: its tile and the array's width, where each splits anything."""
        if dim not in self.dims:
            return ()
        d = self.dims.index(dim)
        left, steps = self.extents[d], []
        for step in (tiles[d], self.array_widths[d]):
            if step < left:
                steps.append(step)
                left = step
        return tuple(steps)

    def _count(self, number: int, sizes: Sequence[Sequence[int]], halo: Record) -> bool:
        combinations = itertools.product(*sizes)
        orders = self.orders
        while True:
            block = list(itertools.islice(combinations, TILES_AT_ONCE))
            if not block:
                return True
            tiles = np.array(block, np.int64).reshape(len(block), -1)
            going = try_tiles(
                self.t, self.walk, halo, tiles, orders.lead, orders.outer[number], orders.outer_sizes[number],
                orders.inner, self.slack, self.limit, self.limit // MAPPINGS_PER_LOOK, self.scratch, self.best,
            )  # fmt: skip
            if not going:
                return False

    def _few_tiles(self, cell: Record) -> list[list[int]]:
        """Per dim: the smallest tile of the cell, and the smallest and largest that fill the array."""
        sizes = []
        for extent, width, (low, high) in zip(self.extents, self.array_widths, self._ranges(cell), strict=True):
            aligned = {-(-low // width) * width, high // width * width}
            sizes.append(sorted({low} | {size for size in aligned if low <= size <= min(high, extent)}))
        return sizes

    def _ranges(self, cell: Record) -> list[tuple[int, int]]:
        lead = set(self.orders.lead.tolist())
        trips = cell["trips"].tolist()
        return [
            (self.array_widths[d],) * 2 if d in lead else _tile_range(extent, trips[d])
            for d, extent in enumerate(self.extents)
        ]

    def result(self) -> SearchResult | Infeasible:
        """What was found. BrokenInvariant if the kernels and the closed form disagree."""
        if not math.isfinite(self.score):
            return nothing_fits(self.problem, self.machine, self.spill, self.best, self.limit, self.left_out)
        mapping, cost = checked_best(self.problem, self.machine, self.widths, self.best)
        left_out = (self.left_out or self.scratch["places"]["left_out"][0]) and self.floor < self.score * self.slack
        stop: StopReason = "proved" if self.orders.complete else "orders"
        if self.open_bound < math.inf or left_out:
            stop = "budget" if self.open_bound < math.inf else "limits"
        if left_out:
            self.open_bound = min(self.open_bound, self.floor)
        gap = max(0.0, 1 - min(self.open_bound / self.score, self.slack))
        return SearchResult(
            mapping=mapping,
            objective=self.objective,
            energy_pj=cost.energy_pj,
            latency_fs=cost.latency_fs,
            proved=stop == "proved",
            gap=0.0 if gap <= SAME else gap,
            stop_reason=stop,
            counted=int(self.best["mappings"][0]),
        )


def _few_trips(extent: int, width: int) -> list[int]:
    """Trips of tiles of 1, 2, 3, 4, 6, 8, 12 ... array widths."""
    steps = {j << e for j in (2, 3) for e in range(extent.bit_length())} | {1}
    return sorted({1} | {-(-extent // (width * step)) for step in steps if width * step < extent})


def _trips(extent: int) -> list[int]:
    """Every number of tiles that some tile size makes of an extent."""
    root = math.isqrt(extent)
    few = {-(-extent // size) for size in range(-(-extent // (root + 1)), extent + 1)}
    return sorted(few | {-(-extent // size) for size in range(1, root + 2) if size <= extent})


def _tile_range(extent: int, trips: int) -> tuple[int, int]:
    """Smallest and largest tile that makes so many trips."""
    low = -(-extent // trips)
    return low, extent if trips == 1 else -(-extent // (trips - 1)) - 1
