"""What an experiment is given and what it gives back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from algos.trained.checkpoint import write_whole

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

    def cell(self, key: str, make: Callable[[], Sequence[Row]]) -> Sequence[Row]:
        """Some rows of the table, kept in `scratch` as soon as they are made; an interrupted run finds them there."""
        path = self._kept(key)
        if path.is_file():
            kept: Sequence[Row] = json.loads(path.read_text())
            return kept
        made = make()
        write_whole(path, json.dumps(made).encode())
        return made

    def forget(self) -> None:
        """Drop the rows kept, now that the table is written."""
        for path in self.scratch.glob(self._kept("*").name):
            path.unlink()

    def _kept(self, key: str) -> Path:
        return self.scratch / f"{self.name}.seed{self.seed}.{key}.json"


@dataclass(frozen=True)
class Experiment:
    """`run` gives the rows of `results/NAME.csv`, all with the same columns."""

    run: Callable[[Run], Sequence[Row]]
    summary: str
