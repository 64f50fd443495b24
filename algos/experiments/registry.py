"""What an experiment is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Row = Mapping[str, str | int | float]
Track = Callable[[range, int, int], Iterator[int]]
"""Yields the steps of a range; told the total and how many were done before, it may draw a bar."""


@dataclass(frozen=True)
class Run:
    """What one call of an experiment is given: its name, the seed, where snapshots go, and a progress bar."""

    name: str
    seed: int
    scratch: Path
    track: Track


@dataclass(frozen=True)
class Experiment:
    """`run` gives the rows of `results/NAME.csv`, all with the same columns."""

    run: Callable[[Run], Sequence[Row]]
    summary: str
