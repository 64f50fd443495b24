"""Result tables as CSV files beside the experiments, written whole or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from accelsim.errors import did_you_mean, user_error
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


def tables() -> list[str]:
    """The experiments whose rows are committed, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.csv"))


def scores(name: str, model: str) -> Mapping[str, Mapping[str, float]]:
    """A model's committed scores by scheme and metric: `scores("apsq_tuned_byte_lm_target", "byte_lm_target")`.

    Of a training, the scores after it. UserError for an experiment without a table, or without the model.
    """
    if name not in tables():
        raise user_error("scores", name, "no committed table of this name", did_you_mean(name, tables()))
    found: dict[str, dict[str, float]] = {}
    for row in read(name):
        if row.get("model") == model and "scheme" in row:
            found.setdefault(row["scheme"], {}).update(_scores_in(row))
    if not any(found.values()):
        raise user_error("scores", name, f"this table has no scores of {model}", f"name a table of {model}")
    return found


def _scores_in(row: Mapping[str, str]) -> dict[str, float]:
    """The scores of one line: `metric` and `value`, or in the curve of a training one column each."""
    if "metric" in row:
        return {row["metric"]: float(row["value"])}
    about = ("model", "scheme", "step", "train_loss_nats", "cpu_s")
    return {key: float(text) for key, text in row.items() if key not in about and text}
