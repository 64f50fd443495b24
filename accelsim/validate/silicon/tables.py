"""Measured data that ship with the package: CSV files whose first line says where they are from."""

from __future__ import annotations

import csv

from accelsim.validate.recording import data_path

Line = dict[str, str]


def source(name: str) -> str:
    """Where the table comes from."""
    with data_path(f"{name}.csv").open() as file:
        return file.readline().removeprefix("# source:").strip()


def lines(name: str) -> list[Line]:
    """Its rows by column, as text."""
    with data_path(f"{name}.csv").open() as file:
        file.readline()
        return list(csv.DictReader(file))
