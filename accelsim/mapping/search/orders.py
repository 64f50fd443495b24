"""Which loop orders a dataflow allows: the rows of an array of dim positions, outermost first."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from accelsim.mapping.closed_form import STATIONARY
from accelsim.mapping.problem import Problem
from accelsim.mapping.search.space import Ints
from accelsim.mapping.search.tables import used_dims

MAX_FREE_DIMS = 4
"""Above it, only orders that keep the problem's own order of dims but for the innermost two are tried."""


@dataclass(frozen=True)
class Orders:
    """Positions of the batch dims (outermost), and orders (n, free dims) of the others.

    `outer` are the tile loops', of `outer_sizes` loops each; `inner` the array pieces', `any_inner`
    those of any dataflow. `complete` when none was left out.
    """

    lead: Ints
    outer: Ints
    outer_sizes: Ints
    inner: Ints
    any_inner: Ints
    complete: bool


def orders_of(problem: Problem, dataflow: str) -> Orders:
    """All loop orders; `dataflow` keeps its operand still in the array, `search` leaves the pieces free."""
    dims = used_dims(problem)
    lead = [i for i, dim in enumerate(dims) if dim in problem.batch]
    free = [i for i in range(len(dims)) if i not in lead]
    outer = list(itertools.permutations(free)) if len(free) <= MAX_FREE_DIMS else _few(free)
    inner = outer
    if dataflow in STATIONARY:
        streams = {i for i in free if dims[i] in problem.irrelevant(STATIONARY[dataflow])}
        inner = [order for order in outer if streams == set(order[len(order) - len(streams) :])]
    split = sorted({order[:size] for order in outer for size in range(len(free) + 1)}, key=lambda o: (len(o), o))
    padded = [(*order, *[0] * (len(free) - len(order))) for order in split]
    return Orders(
        np.array(lead, np.int64),
        _rows(padded, len(free)),
        np.array([len(order) for order in split], np.int64),
        _rows(inner, len(free)),
        _rows(outer, len(free)),
        len(free) <= MAX_FREE_DIMS,
    )


def _rows(orders: list[tuple[int, ...]], size: int) -> Ints:
    return np.array(orders, np.int64).reshape(len(orders), size)


def _few(free: list[int]) -> list[tuple[int, ...]]:
    """Every choice of the innermost two, the others in their own order."""
    pairs = itertools.permutations(free, 2)
    return [(*(i for i in free if i not in pair), *pair) for pair in pairs]
