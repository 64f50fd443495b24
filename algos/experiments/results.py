"""Result tables as CSV files beside the experiments, written whole or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from algos.experiments.registry import Row
from algos.trained.checkpoint import write_whole

FOLDER = Path(__file__).parent / "results"


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write the rows under the first one's columns; ValueError for no rows or a row with other columns."""
    if not rows:
        raise ValueError(f"no rows for {path}")
    text = io.StringIO()
    table = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    table.writeheader()
    for row in rows:
        if set(row) != set(rows[0]):
            raise ValueError(f"{path}: columns {sorted(row)} and {sorted(rows[0])} in one table")
        table.writerow(row)
    write_whole(path, text.getvalue().encode())


def read(name: str) -> list[dict[str, str]]:
    """The committed rows of an experiment."""
    with (FOLDER / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))
