"""What the target would say to the draft at every position of its text: the randomness of a decoding run, drawn once.

A draft token that follows the true text so far is right or not by a draw that belongs to its position, so
every policy meets the same draws, and a policy is a function of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

MISS = np.iinfo(np.int16).max
"""Rank of a position where no candidate of the draft is accepted."""


@dataclass(frozen=True, eq=False)
class Draws:
    """`rank` (n,): which candidate of the draft is accepted at a position on the true text, 0 its first; `MISS` none.

    `entropy_bits` (n,), if it is known: of the draft's distribution there. ValueError for another shape or
    a negative rank.
    """

    rank: NDArray[np.int16]
    entropy_bits: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.rank.ndim != 1 or (self.rank < 0).any():
            raise ValueError("ranks are one row of numbers from 0")
        if self.entropy_bits is not None and self.entropy_bits.shape != self.rank.shape:
            raise ValueError("an entropy for every rank")

    def __len__(self) -> int:
        return len(self.rank)

    @cached_property
    def right(self) -> NDArray[np.int64]:
        """How many positions from each one on are all right in the draft's first candidate, (n,)."""
        wrong = np.flatnonzero(self.rank != 0)
        ends = np.append(wrong, len(self.rank))
        here = np.arange(len(self.rank))
        runs: NDArray[np.int64] = ends[np.searchsorted(wrong, here)] - here
        return runs
