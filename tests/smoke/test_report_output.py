"""What a report's files hold: JSON, CSV and the figure; equal reports give equal bytes."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from accelsim import Report, UserError, load_arch, load_trace, simulate
from accelsim.report.plot import draw, save_plot
from accelsim.report.report import InfeasibleRow
from accelsim.report.terminal import ENERGY_UNITS, layerless, op_groups, render, scaled_text, share_text, significant

ROOT = Path(__file__).parents[2]
MATMUL = "matmul:16x64x32"
MAGIC = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.fixture(scope="module")
def report() -> Report:
    return simulate(load_arch("apsq_edge_ws"), load_trace(MATMUL))


@pytest.fixture(scope="module")
def document(report: Report, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    path = tmp_path_factory.mktemp("json") / "report.json"
    report.save(path)
    return json.loads(path.read_text())


def test_json_has_the_promised_keys(document: dict[str, object]) -> None:
    promised = {
        "totals": {
            "macs", "energy_pj", "energy_on_chip_pj", "cycles", "latency_s", "area_mm2", "power_mw", "tops",
            "tops_per_w", "assumed_energy_share",
        },
        "rows": {"op", "block", "operand", "action", "count", "bits", "energy_pj"},
        "ops": {"name", "kind", "macs", "cycles", "compute_cycles", "stall_cycles", "stalls", "energy_pj", "bound_by"},
    }  # fmt: skip
    assert {"schema_version", "provenance", *promised} <= set(document)
    assert promised["totals"] <= set(document["totals"])
    for name in ("rows", "ops"):
        assert document[name]
        assert all(promised[name] <= set(entry) for entry in document[name])


def test_json_parts_sum_to_totals(document: dict[str, object]) -> None:
    totals = document["totals"]
    for part in ("rows", "ops", "phases"):
        assert math.fsum(entry["energy_pj"] for entry in document[part]) == pytest.approx(totals["energy_pj"])
    assert sum(op["macs"] for op in document["ops"]) == totals["macs"] == document["macs"]["trace"]
    assert sum(op["cycles"] for op in document["ops"]) == totals["cycles"]
    assert all(op["compute_cycles"] + op["stall_cycles"] == op["cycles"] for op in document["ops"])
    assert all(sum(op["stalls"].values()) == op["stall_cycles"] for op in document["ops"])
    on_die = [block["area_mm2"] for block in document["blocks"] if block["die"] == "logic"]
    assert math.fsum(on_die) == pytest.approx(totals["area_mm2"])
    assert totals["power_mw"] == pytest.approx(totals["energy_pj"] * 1e-9 / totals["latency_s"])
    assert totals["tops"] == pytest.approx(2e-12 * totals["macs"] / totals["latency_s"])


def test_json_and_plot_bytes_do_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
    contents = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        paths = [folder / f"report{suffix}" for suffix in (".json", ".csv", ".png")]
        args = ["--json", str(paths[0]), "--csv", str(paths[1]), "--plot", str(paths[2])]
        subprocess.run(
            [sys.executable, "-m", "accelsim", "simulate", "apsq_edge_ws", MATMUL, *args],
            cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed}, check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        contents.append([path.read_bytes() for path in paths])
    assert contents[0] == contents[1]
    assert str(tmp_path).encode() not in contents[0][0]


def test_csv_reads_back(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    report.save(path)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(report.rows)
    assert math.fsum(float(row["energy_pj"]) for row in rows) == pytest.approx(report.totals.energy_pj)
    assert len(report.to_frame()) == len(rows)


def test_a_file_is_replaced_whole_and_nothing_else_is_left(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("x" * 10**6)
    report.save(path)
    assert json.loads(path.read_text())["schema_version"] == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", MAGIC)
def test_a_plot_is_written_for_each_suffix(report: Report, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"report{suffix}"
    save_plot(report, path)
    data = path.read_bytes()
    assert data.startswith(MAGIC[suffix])
    save_plot(report, path)
    assert path.read_bytes() == data


def test_a_plot_of_another_suffix_is_a_users_mistake(report: Report, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"use \.png or \.svg or \.pdf"):
        save_plot(report, tmp_path / "report.gif")
    with pytest.raises(UserError, match=r"use \.json or \.csv"):
        report.save(tmp_path / "report.xml")


def test_the_plots_bars_are_the_reports_numbers(report: Report) -> None:
    energy, area, roofline = draw(report).axes
    size = {f"energy ({unit})": pj for pj, unit in ENERGY_UNITS}[energy.get_xlabel()]
    assert math.fsum(bar.get_width() for bar in energy.patches) * size == pytest.approx(report.totals.energy_pj)
    assert math.fsum(bar.get_width() for bar in area.patches) == pytest.approx(report.totals.area_mm2)
    for axes in (energy, area, roofline):
        assert axes.get_xlabel()
    (dot,) = roofline.collections[0].get_offsets()
    assert dot[1] == pytest.approx(report.totals.macs / report.totals.cycles)


def page(report: Report) -> str:
    console = Console(width=100, markup=False, no_color=True)
    with console.capture() as capture:
        console.print(render(report, [("accelerator", "x")]))
    return capture.get()


@pytest.mark.parametrize(
    ("oracle", "words"),
    [(16 * 64 * 32, "MACs: equal"), (7, "MACs: differ"), (None, "MACs: not checked")],
)
def test_the_page_says_how_macs_compare(report: Report, oracle: int | None, words: str) -> None:
    text = page(dataclasses.replace(report, oracle_macs=oracle, oracle_method="counted by hand"))
    assert words in text
    assert "counted by hand" in text
    assert ("none by the oracle" in text) == (oracle is None)


def test_the_page_lists_infeasible_and_unknown_ops(report: Report) -> None:
    short = [InfeasibleRow("encode", f"layer.{i}.fc", 10, "psum_buffer", 900, 800, "bits", "more KiB") for i in (0, 1)]
    text = page(dataclasses.replace(report, infeasible=tuple(short), unknown_ops=(("aten.odd", "[bold]head", 3),)))
    assert "layer.*.fc x2, 20 MACs" in text
    assert "needs 900 bits, psum_buffer has 800 (100 short)" in text
    assert "would help: more KiB" in text
    assert "aten.odd" in text
    assert "[bold]head" in text


def test_groups_keep_every_op_and_its_energy() -> None:
    report = simulate(load_arch("apsq_edge_ws"), load_trace("bert_base"))
    groups = op_groups(report)
    assert sum(len(group.ops) for group in groups) == len(report.ops)
    assert math.fsum(group.energy_pj for group in groups) == pytest.approx(report.totals.energy_pj)


def test_numbers_as_text() -> None:
    assert layerless("encoder.layer.11.fc2") == "encoder.layer.*.fc2"
    assert layerless("add_2") == "add_2"
    assert significant(0.00123456) == "0.001235"
    assert significant(123456.0) == "123,456"
    assert scaled_text(1.5e9, ((1e9, "mJ"), (1.0, "pJ"))) == "1.500 mJ"
    assert scaled_text(0.5, ((1e9, "mJ"), (1.0, "pJ"))) == "0.5000 pJ"
    assert share_text(1, 10**6) == "<0.1%"
    assert share_text(0, 0) == "0%"


def test_a_link_and_a_mode_stay(report: Report, tmp_path: Path) -> None:
    """What a user set up is written through: a link to another folder, a file that only its owner may read."""
    (tmp_path / "shelf").mkdir()
    real, link = tmp_path / "shelf" / "real.json", tmp_path / "report.json"
    real.write_text("old")
    real.chmod(0o600)
    link.symlink_to(real)
    report.save(link)
    assert link.is_symlink()
    assert json.loads(real.read_text())["totals"]
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert [path.name for path in real.parent.iterdir()] == ["real.json"]


def test_a_pipe_is_no_file(report: Report, tmp_path: Path) -> None:
    pipe = tmp_path / "report.json"
    os.mkfifo(pipe)
    with pytest.raises(UserError, match="this is no file"):
        report.save(pipe)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
