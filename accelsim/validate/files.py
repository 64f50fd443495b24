"""Rows and measured runs as JSON and CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterator, Sequence

from accelsim.validate.measured import Constant, MeasuredRun, Measurement
from accelsim.validate.row import Row
from accelsim.validate.statistics import Summary, summaries

ROW_COLUMNS = (*(field.name for field in dataclasses.fields(Row)), "deviation_pct", "ok")
RUN_COLUMNS = ("subset", "roofline", "bound", "fitted", "cause")
"""What a measured run has besides."""
COLUMNS = (*ROW_COLUMNS, *RUN_COLUMNS)
Record = dict[str, str | float | bool | None]


@dataclasses.dataclass(frozen=True)
class Compared:
    """A dataset's name and what it found."""

    dataset: str
    found: tuple[Row, ...] | Measurement

    def records(self) -> Iterator[Record]:
        """A record for each row or run; runs have the columns of rows and RUN_COLUMNS."""
        if isinstance(self.found, Measurement):
            yield from (_run_record(self.dataset, run) for run in self.found.runs)
        else:
            yield from map(row_record, self.found)


def row_record(row: Row) -> Record:
    """The row's columns; a deviation from 0 is null, for JSON has no infinity."""
    deviation = row.deviation_pct if math.isfinite(row.deviation_pct) else None
    return {**dataclasses.asdict(row), "deviation_pct": deviation, "ok": row.ok}


def _run_record(dataset: str, run: MeasuredRun) -> Record:
    row = Row(dataset, run.case, run.quantity, run.unit, run.measured, run.ours, None)
    return {**row_record(row), **{name: getattr(run, name) for name in RUN_COLUMNS}}


def compared_json(compared: Sequence[Compared]) -> bytes:
    """`rows` (runs among them), one a line; `summaries` and `constants` of the measured machines."""
    measured = [(one.dataset, one.found) for one in compared if isinstance(one.found, Measurement)]
    tables: dict[str, list[Record]] = {
        "rows": [record for one in compared for record in one.records()],
        "summaries": [_with(name, line) for name, found in measured for line in summaries(found.runs)],
        "constants": [_with(name, constant) for name, found in measured for constant in found.constants],
    }
    parts = []
    for name, records in tables.items():
        lines = ",\n".join(json.dumps(record, allow_nan=False) for record in records)
        parts.append(f'"{name}": [\n{lines}\n]')
    return ("{" + ",\n".join(parts) + "}\n").encode()


def _with(dataset: str, of_a_dataset: Summary | Constant) -> Record:
    return {"dataset": dataset, **dataclasses.asdict(of_a_dataset)}


def compared_csv(compared: Sequence[Compared]) -> bytes:
    """A header and one line for each row or run."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(record for one in compared for record in one.records())
    return text.getvalue().encode()
