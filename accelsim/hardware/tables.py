"""The sourced constants in `data/`: loaded on first use, kept for the life of the process."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import cast, get_args

from accelsim.hardware.block import Confidence, Cost

Line = Mapping[str, str]
"""A row, cells as text by column."""


@cache
def rows(table: str) -> tuple[Line, ...]:
    """All rows of `data/<table>.csv`, cells as text, in file order."""
    path = resources.files("accelsim.hardware") / "data" / f"{table}.csv"
    return tuple(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


@cache
def row(table: str, key: str, value: str) -> Line:
    """The only row whose `key` cell is `value`; ValueError if there is none or more than one."""
    found = [line for line in rows(table) if line[key] == value]
    if len(found) != 1:
        raise ValueError(f"{table}.csv has {len(found)} rows with {key} = {value}")
    return found[0]


def cost(line: Line, column: str) -> Cost:
    """A cell as a cost; `<column>_confidence` overrides the row's `confidence` where it exists."""
    return Cost(float(line[column]), line["source"], confidence(line.get(f"{column}_confidence") or line["confidence"]))


def confidence(text: str) -> Confidence:
    """A table's word as a `Confidence`; ValueError if it is none."""
    if text not in get_args(Confidence):
        raise ValueError(f"{text!r} is no confidence: {get_args(Confidence)}")
    return cast(Confidence, text)
