"""`accelsim validate`: its table, its files, and what its mistakes are answered with."""

from __future__ import annotations

import csv
import dataclasses
import importlib.metadata
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from accelsim.cli import cli
from accelsim.validate import datasets
from accelsim.validate.measured import Constant, Limit, MeasuredRun, Measurement
from accelsim.validate.row import Row
from accelsim.validate.statistics import failures, rank_correlation, summaries, worst
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


def made_up(subset: str, ratios: list[float], fitted: bool = False) -> list[MeasuredRun]:
    return [
        MeasuredRun(subset, f"run {number}", "latency", "us", measured, measured * ratio, measured / 2, "dram", fitted)
        for number, ratio in enumerate(ratios)
        for measured in (10.0 * (number + 1),)
    ]


@pytest.fixture
def measurement() -> Measurement:
    runs = (*made_up("small", [1.1, 0.8, 1.3]), *made_up("small", [9.0], fitted=True), *made_up("large", [1.0] * 30))
    constant = Constant("array.issue_cycles", 12.0, "cycles", "1 of 4 small runs", "the maker's manual")
    limits = (Limit("small", "latency", 21.0, 0.9, target_pct=15.0), Limit("large", "latency", 0.0))
    return Measurement(runs, (constant,), limits, ("A caution.",))


def test_statistics(measurement: Measurement) -> None:
    small, large = summaries(measurement.runs)
    assert (small.runs, small.fitted_runs, large.runs) == (3, 1, 30)
    assert small.mean_abs_error_pct == pytest.approx(20.0)
    assert (small.median_ratio, small.p10, small.p90) == pytest.approx((1.1, 0.86, 1.26))
    assert small.rank_correlation == pytest.approx(1.0)
    assert small.roofline_error_pct == pytest.approx(50.0)
    assert large.mean_abs_error_pct == 0
    assert [run.ratio for run in worst(measurement.runs, 2)] == pytest.approx([9.0, 1.3])
    assert rank_correlation([1, 2, 3, 4], [10, 10, 30, 20]) == pytest.approx(3.5 / 22.5**0.5)
    assert rank_correlation([1, 2], [1, 2]) is None


def test_limits(measurement: Measurement) -> None:
    found = list(summaries(measurement.runs))
    assert list(failures(found, measurement.limits)) == []
    broken = [Limit("small", "latency", 19.9), Limit("small", "power", 1.0), Limit("large", "latency", None, 1.1)]
    assert list(failures(found, broken)) == [
        "small, latency: mean absolute error 20.0 %, more than 19.9 %",
        "small, power: no run",
        "large, latency: rank correlation 1.000, less than 1.1",
    ]


def test_a_measured_machine(measurement: Measurement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = datasets.Dataset("machine", "A made-up machine", datasets.Silicon(lambda: measurement))
    monkeypatch.setattr(datasets, "DATASETS", (made,))
    out, table, pictures = tmp_path / "r.json", tmp_path / "r.csv", tmp_path / "new" / "pictures"
    command = ["validate", "--json", str(out), "--csv", str(table), "--plot", str(pictures)]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0, result.output
    for text in ("20.0 %", "15 %", "+800.0 % fitted", "array.issue_cycles = 12 cycles", "A caution.", "10 runs"):
        assert text in result.output
    saved = json.loads(out.read_text())
    assert len(saved["rows"]) == 34
    assert [line["subset"] for line in saved["summaries"]] == ["small", "large"]
    assert saved["constants"][0]["fitted_on"] == "1 of 4 small runs"
    with table.open() as file:
        assert [row["bound"] for row in csv.DictReader(file)] == ["dram"] * 34
    picture = (pictures / "machine.png").read_bytes()
    CliRunner().invoke(cli, command)
    assert (pictures / "machine.png").read_bytes() == picture


def test_an_overview_of_all_machines(measurement: Measurement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    two = tuple(
        datasets.Dataset(name, f"{name}: made up", datasets.Silicon(lambda: measurement)) for name in ("one", "two")
    )
    monkeypatch.setattr(datasets, "DATASETS", two)
    result = CliRunner().invoke(cli, ["validate", "--plot", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "overview.png", "two.png"]


def test_a_measured_machine_beyond_its_limit(measurement: Measurement, monkeypatch: pytest.MonkeyPatch) -> None:
    tight = dataclasses.replace(measurement, limits=(Limit("small", "latency", 10.0),))
    monkeypatch.setattr(
        datasets, "DATASETS", (datasets.Dataset("machine", "made up", datasets.Silicon(lambda: tight)),)
    )
    result = CliRunner().invoke(cli, ["validate"])
    assert result.exit_code == 1
    assert "outside its tolerance: machine small, latency: mean absolute error 20.0 %" in result.output


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(cli, ["validate", "--only", "vta", "--plot", str(tmp_path / "file" / "folder")])
    assert result.exit_code == 2


def test_nothing_to_draw(tmp_path: Path) -> None:
    """Rows against other simulators are no measured runs: said before the work, and no folder is left behind."""
    result = CliRunner().invoke(cli, ["validate", "--only", "walk", "--plot", str(tmp_path / "pictures")])
    assert result.exit_code == 2
    assert "none of these has measured runs to draw" in result.output
    assert "vta" in result.output
    assert not (tmp_path / "pictures").exists()
