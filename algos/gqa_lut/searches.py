"""Every search that the comparison with the published tables needs, timed; imports no torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import get_args

from accelsim.schemes import LutScheme
from accelsim.schemes.lut import Mode
from accelsim.schemes.lut_functions import FUNCTIONS
from algos.gqa_lut.exact import search
from algos.gqa_lut.genetic import genetic_search

BASE_2_BITS = 16
BASE_2_SEGMENTS = (2, 4, 8)


@dataclass(frozen=True)
class Searched:
    """A scheme and the wall time that finding it took, s."""

    function: str
    entries: int
    method: str
    scheme: LutScheme
    seconds: float


def searches(cells: Iterable[tuple[str, int]], seed: int = 42) -> Iterator[Searched]:
    """For each (function, entries): the genetic search from `seed`, then `shared`, then `per_scale`."""
    for mode in get_args(Mode):
        search(FUNCTIONS["exp2"], 2, mode=mode, shifts=(1,))  # loads or compiles the kernels before any timing
    for name, entries in cells:
        function = FUNCTIONS[name]
        yield _timed(name, entries, "genetic", partial(genetic_search, function, entries, seed=seed))
        yield _timed(name, entries, "shared", partial(search, function, entries, mode="shared"))
        yield _timed(name, entries, "per_scale", partial(search, function, entries, mode="per_scale"))


def base_2_schemes() -> dict[int, LutScheme]:
    """2^x on [0, 1) by segments, 16-bit inputs and coefficients: what exp becomes by base-2 range reduction."""
    bits = BASE_2_BITS
    return {
        segments: search(FUNCTIONS["exp2"], segments, shifts=(bits - 1,), input_bits=16) for segments in BASE_2_SEGMENTS
    }


def _timed(function: str, entries: int, method: str, find: Callable[[], LutScheme]) -> Searched:
    start = time.perf_counter()
    scheme = find()
    return Searched(function, entries, method, scheme, time.perf_counter() - start)
