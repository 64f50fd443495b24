"""Rows as JSON and CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Sequence

from accelsim.validate.row import Row

COLUMNS = (*(field.name for field in dataclasses.fields(Row)), "deviation_pct", "ok")


def row_record(row: Row) -> dict[str, str | float | bool | None]:
    """The row's columns; a deviation from 0 is null, for JSON has no infinity."""
    deviation = row.deviation_pct if math.isfinite(row.deviation_pct) else None
    return {**dataclasses.asdict(row), "deviation_pct": deviation, "ok": row.ok}


def rows_json(rows: Sequence[Row]) -> bytes:
    """`{"rows": [...]}`, one row a line."""
    lines = ",\n".join(json.dumps(row_record(row), allow_nan=False) for row in rows)
    return f'{{"rows": [\n{lines}\n]}}\n'.encode()


def rows_csv(rows: Sequence[Row]) -> bytes:
    """A header and one line a row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row_record(row) for row in rows)
    return text.getvalue().encode()
