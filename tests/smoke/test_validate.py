"""`accelsim validate`: its table, its files, and what its mistakes are answered with."""

from __future__ import annotations

import csv
import importlib.metadata
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from accelsim.cli import cli
from accelsim.validate.row import Row
from accelsim.validate.summary import lines


def test_one_dataset(tmp_path: Path) -> None:
    out, table = tmp_path / "rows.json", tmp_path / "rows.csv"
    result = CliRunner().invoke(cli, ["validate", "--only", "scalesim", "--json", str(out), "--csv", str(table)])
    assert result.exit_code == 0, result.output
    assert "SCALE-Sim 3.0.0" in result.output
    assert "compute cycles" in result.output
    rows = json.loads(out.read_text())["rows"]
    assert {row["dataset"] for row in rows} == {"scalesim"}
    assert all(row["ok"] for row in rows)
    with table.open() as file:
        assert [row["case"] for row in csv.DictReader(file)] == [row["case"] for row in rows]


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        (["--only", "scalsim"], "did you mean 'scalesim'?"),
        (["--json", "rows.txt"], "use .json"),
        (["--csv", "rows.json"], "use .csv"),
        (["--only", "scalesim", "--json", "nowhere/rows.json"], "no such folder"),
    ],
)
def test_mistakes(options: list[str], answer: str) -> None:
    result = CliRunner().invoke(cli, ["validate", *options])
    assert result.exit_code == 2
    assert answer in result.output


def test_live_without_the_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    result = CliRunner().invoke(cli, ["validate", "--only", "scalesim", "--live"])
    assert result.exit_code == 2
    assert "scalesim is not installed" in result.output
    assert "accelsim-codesign[oracles]" in result.output


def test_a_row_outside_its_tolerance_fails_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    from accelsim.validate import datasets

    bad = Row("scalesim", "case", "compute cycles", "cycles", 100, 103, 2.0)
    monkeypatch.setattr(datasets, "DATASETS", (datasets.Dataset("scalesim", "made up", lambda: [bad]),))
    result = CliRunner().invoke(cli, ["validate"])
    assert result.exit_code == 1
    assert "outside its tolerance: scalesim case: compute cycles 103 cycles, not 100" in result.output


def test_rows() -> None:
    def row(reference: float, ours: float, tolerance: float | None) -> Row:
        return Row("d", "c", "w", "u", reference, ours, tolerance)

    assert row(200, 190, 5.0).ok
    assert not row(200, 189, 5.0).ok
    assert row(0, 0, 0.0).ok
    assert not row(0, 1, 1e9).ok
    assert row(200, 100, None).ok
    assert Row("d", "c", "w", "u", 200, 100, 5.0, one_sided=True).ok
    assert not Row("d", "c", "w", "u", 200, 211, 5.0, one_sided=True).ok
    checked, stated = lines([row(200, 190, 4.0), row(100, 101, 4.0), row(1, 2, None)])
    assert (checked.rows, checked.failed, checked.equal) == (2, 1, 0)
    assert checked.worst_pct == pytest.approx(-5.0)
    assert checked.median_pct == pytest.approx(-2.0)
    assert checked.mean_absolute_pct == pytest.approx(3.0)
    assert (stated.worst_pct, stated.failed) == (100.0, 0)
