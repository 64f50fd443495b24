"""Sweeps: the table, its file and its picture; points that cannot run; and mistakes in the question."""

from __future__ import annotations

import io
import math
import multiprocessing
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

import accelsim.explore.pool as pool
from accelsim import UserError, sweep
from accelsim.cli import cli
from accelsim.cli.common import WIDTH
from accelsim.cli.sweeping import values_of
from accelsim.explore.output import save_table
from accelsim.explore.point import Result as PointResult
from accelsim.report.invariants import BrokenInvariant
from accelsim.report.sweep_plot import draw_sweep, panels_of, save_sweep_plot, short_keys

ROOT = Path(__file__).parents[2]
MATMUL = "matmul:16x64x32"
BITS = "workload.psum.bits"
FLOW = "arch.array.dataflow"
WIDE = "arch.array.operand_bits"
RUN = ("sweep", "apsq_edge_ws", MATMUL)
MAGIC = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


def invoke(*args: str) -> Result:
    return CliRunner().invoke(cli, args)


@pytest.fixture(scope="module")
def mixed() -> pd.DataFrame:
    """Points that run, that the psum engine cannot run, and whose op does not fit."""
    return sweep("apsq_edge_ws", [MATMUL, "matmul:128x768x768"], {BITS: [5, 8], WIDE: [4, 8]}, processes=1)


def test_a_point_that_cannot_run_is_a_row_with_its_reason(mixed: pd.DataFrame) -> None:
    assert list(mixed["status"]) == ["error", "error", "infeasible", "ok"] * 2
    error, infeasible, ok = (mixed[mixed["status"] == status].iloc[0] for status in ("error", "infeasible", "ok"))
    assert error["reason"].startswith("workload.psum.bits: psums of 5 bits")
    assert "takes bits 4, 6, 8, 12" in error["reason"]
    assert infeasible["reason"].startswith("matmul: needs 8 operand bits, array has 4 (fix: quantise")
    assert (ok["reason"], ok["infeasible_ops"]) == ("", 0)
    assert infeasible["infeasible_ops"] == 1
    assert infeasible["area_mm2"] > 0


def test_a_point_without_a_whole_result_has_no_costs(mixed: pd.DataFrame) -> None:
    names = [name for name in mixed.columns if name.endswith("_pj") or name in ("cycles", "latency_s", "tops_per_w")]
    assert mixed.loc[mixed["status"] != "ok", names].isna().all(axis=None)
    assert mixed.loc[mixed["status"] == "ok", names].notna().all(axis=None)
    assert str(mixed["cycles"].dtype) == "Int64"


def test_one_infeasible_op_of_many_is_named_with_the_number_of_the_rest() -> None:
    table = sweep("apsq_edge_ws", "bert_base", {WIDE: [4]}, processes=1)
    (row,) = table.to_dict("records")
    assert row["infeasible_ops"] == 97
    assert re.match(r"encoder\.\S+, and 96 more: needs 8 operand bits", row["reason"])


def test_a_combination_that_no_spec_has_is_a_row() -> None:
    key = "arch.buffers.psum_ofmap.word_bits"
    table = sweep("apsq_edge_ws", MATMUL, {key: [32, 64], "arch.array.accumulator_bits": [64]}, processes=1)
    assert list(table["status"]) == ["error", "ok"]
    assert "would straddle words of 32" in table["reason"].iloc[0]


def test_keys_of_another_kind_of_array_may_be_swept_with_the_kind() -> None:
    over = {"arch.array.kind": ["systolic"], FLOW: ["weight_stationary"], "arch.array.rows": [16, 32],
            "arch.array.cols": [16]}  # fmt: skip
    table = sweep("apsq_edge_ws", MATMUL, over, processes=1)
    assert len(table) == 2
    assert not table["reason"].str.contains("no such key").any()


def test_lists_are_values_too() -> None:
    assert values_of(["arch.psum_engine.bits=[4,8],[8]"]) == {"arch.psum_engine.bits": ["[4,8]", "[8]"]}
    assert values_of(["a.b=1, 2.5 ,x"]) == {"a.b": [1, 2.5, "x"]}
    table = sweep("apsq_edge_ws", MATMUL, {"arch.psum_engine.bits": [[4, 8], [8]], BITS: [4]}, processes=1)
    assert list(table["status"]) == ["ok", "error"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_change_nothing(mixed: pd.DataFrame, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    monkeypatch.setattr(
        multiprocessing.context._default_context, "_actual_context", multiprocessing.get_context(method)
    )
    seen: list[tuple[int, int]] = []
    table = sweep(
        "apsq_edge_ws", [MATMUL, "matmul:128x768x768"], {BITS: [5, 8], WIDE: [4, 8]}, processes=2,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    pd.testing.assert_frame_equal(table, mixed)
    assert table.to_csv() == mixed.to_csv()
    assert seen[0] == (0, 8)
    assert seen[-1] == (8, 8)
    assert seen == sorted(seen)


def test_bytes_do_not_depend_on_processes_or_the_hash_seed(tmp_path: Path) -> None:
    contents = []
    for seed, jobs in (("1", "1"), ("2", "2")):
        paths = [tmp_path / f"{seed}{suffix}" for suffix in (".csv", ".png")]
        args = ["--over", f"{BITS}=5,8,32", "--over", f"{FLOW}=weight_stationary,output_stationary", "--jobs", jobs,
                "--out", str(paths[0]), "--plot", str(paths[1])]  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "accelsim", *RUN, *args], cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed},
            check=True, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert re.search(r"^6 points in \d+\.\d s \([\d,]+ points/s\)$", done.stderr, re.MULTILINE)
        contents.append([*(path.read_bytes() for path in paths), done.stdout.replace(str(paths[0])[:-4], "")])
    assert contents[0] == contents[1]
    assert str(tmp_path).encode() not in contents[0][0]


def test_the_command_prints_a_table_and_writes_what_the_library_returns(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    result = invoke(*RUN, "--over", f"{BITS}=5,8", "--over", f"{WIDE}=4,8", "--out", str(path), "--jobs", "1")
    assert result.exit_code == 0, result.output
    assert "apsq_edge_ws: 4 points" in result.stdout
    assert re.search(r"psum\.bits +array\.operand_bits +energy mJ +cycles +psum share +status", result.stdout)
    assert re.search(r"x2  workload\.psum\.bits: psums of 5 bits", result.stdout)
    assert max(map(len, result.stdout.splitlines())) <= WIDTH
    assert "4 points in" in result.stderr
    expected = sweep("apsq_edge_ws", MATMUL, {BITS: [5, 8], WIDE: [4, 8]}, processes=1)
    back = pd.read_csv(path, keep_default_na=False, na_values={name: [""] for name in expected.columns[4:-4]})
    assert list(back.columns) == list(expected.columns)
    assert list(back["reason"]) == list(expected["reason"])
    assert back["energy_pj"].equals(expected["energy_pj"])


def test_a_long_table_is_cut_on_the_terminal_only(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    values = ",".join(str(mhz) for mhz in range(100, 145))
    result = invoke(*RUN, "--over", f"arch.technology.clock_mhz={values}", "--out", str(path), "--jobs", "1")
    assert result.exit_code == 0, result.output
    assert "the first 40 of 45 rows" in result.stdout
    assert len(pd.read_csv(path)) == 45


BAD = {
    "no --over": ((*RUN,), "Missing option '--over'"),
    "no workload": (("sweep", "apsq_edge_ws", "--over", f"{BITS}=8"), "Missing argument 'WORKLOAD...'"),
    "no values": ((*RUN, "--over", BITS), "write KEY=V1,V2"),
    "no key": ((*RUN, "--over", "=4,8"), "write KEY=V1,V2"),
    "empty value": ((*RUN, "--over", f"{BITS}=4,,8"), f"{BITS}: an empty value in '4,,8'"),
    "nothing after =": ((*RUN, "--over", f"{BITS}="), "write V1,V2 without gaps"),
    "value twice": ((*RUN, "--over", f"{BITS}=4,8,4"), f"{BITS}: 4 is given 2 times"),
    "key twice": ((*RUN, "--over", f"{BITS}=4", "--over", f"{BITS}=8"), "write all its values after one --over"),
    "no prefix": ((*RUN, "--over", "array.po=4,8"), "start it with arch. or workload."),
    "unknown section": ((*RUN, "--over", "arch.aray.po=4,8"), "did you mean 'array'?"),
    "unknown key": ((*RUN, "--over", "arch.array.p=4,8"), "did you mean 'po'?"),
    "unknown workload key": ((*RUN, "--over", "workload.psum.bit=4,8"), f"did you mean '{BITS}'?"),
    "misspelt value": ((*RUN, "--over", f"{FLOW}=weight_stationry"), "did you mean 'weight_stationary'?"),
    "value out of range": ((*RUN, "--over", "arch.array.po=8,0"), "arch.array.po: found 0, which is out of range"),
    "value of another type": ((*RUN, "--over", "arch.array.po=8,lots"), "not a number"),
    "bits out of range": ((*RUN, "--over", f"{BITS}=8,1"), "bits 2..15 are APSQ"),
    "bits no number": ((*RUN, "--over", f"{BITS}=8,wide"), "give a whole number"),
    "group size alone": ((*RUN, "--over", "workload.psum.group_size=1,2"), f"also give {BITS}"),
    "a key and one above it": ((*RUN, "--over", "arch.array=4", "--over", "arch.array.po=4"), "is overridden too"),
    "key of another array kind": ((*RUN, "--over", "arch.array.rows=4,8"), "of kind 'adder_tree'"),
    "unknown spec": (("sweep", "apsq_edge", MATMUL, "--over", f"{BITS}=8"), "did you mean 'apsq_edge_ws'?"),
    "missing spec": (("sweep", "no.yaml", MATMUL, "--over", f"{BITS}=8"), "no.yaml: spec: no such file"),
    "unknown workload": ((*RUN, "bert", "--over", f"{BITS}=8"), "no shipped workload has this name"),
    "workload twice": ((*RUN, MATMUL, "--over", f"{BITS}=8"), f"a second workload called {MATMUL}"),
    "table suffix": ((*RUN, "--over", f"{BITS}=8", "--out", "s.txt"), "use .csv or .parquet"),
    "plot suffix": ((*RUN, "--over", f"{BITS}=8", "--plot", "s.gif"), "use .png or .svg or .pdf"),
    "no such folder": ((*RUN, "--over", f"{BITS}=8", "--out", "missing/s.csv"), "mkdir -p missing"),
    "no processes": ((*RUN, "--over", f"{BITS}=8", "--jobs", "0"), "--jobs"),
    "too many points": (
        (*RUN, *(f"--over=arch.array.{key}={','.join(map(str, range(1, 60)))}" for key in ("po", "pci", "pco"))),
        "205,379 points",
    ),
    "too many panels": (
        (*RUN, "--over", f"{BITS}=8", f"--over=arch.array.po={','.join(map(str, range(1, 60)))}", "--plot", "s.png"),
        "59 panels of 1 bars do not fit",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_answered_before_anything_runs(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a point ran")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("accelsim.explore.point.run_point", never)
    args, answer = BAD[case]
    result = invoke(*args)
    assert result.exit_code == 2, result.output
    assert answer in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert "fix: " in result.stderr or "--help" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_bad_key_and_value_is_told_at_once() -> None:
    with pytest.raises(UserError) as error:
        sweep("apsq_edge_ws", MATMUL, {"arch.array.po": [0, -1], "arch.dram.kin": ["x"], BITS: [1]})
    assert len(error.value.faults) == 4


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({BITS: "4,8"}, "give a list"), ({BITS: []}, "no values"), ({BITS: 8}, "found 8"), ({BITS: [{}]}, "a value is"),
        ({BITS: [8.5]}, "give a whole number"), ({FLOW: [None]}, FLOW),
    ],
)  # fmt: skip
def test_values_from_python_are_checked(over: dict[str, list[object]], words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        sweep("apsq_edge_ws", MATMUL, over)


def test_a_sweep_needs_workloads_and_processes() -> None:
    with pytest.raises(UserError, match="none given"):
        sweep("apsq_edge_ws", [], {BITS: [8]})
    with pytest.raises(UserError, match="at least 1"):
        sweep("apsq_edge_ws", MATMUL, {BITS: [8]}, processes=0)


def test_files_are_called_by_name_and_over_may_be_empty(tmp_path: Path) -> None:
    path = tmp_path / "mine.trace.json.gz"
    path.write_bytes((ROOT / "workloads" / "bert_base.trace.json.gz").read_bytes())
    table = sweep("apsq_edge_ws", [path, "bert-base"], {}, processes=1)
    assert list(table["workload"]) == ["mine", "bert_base"]
    assert table["energy_pj"].nunique() == 1


def test_a_contradiction_of_the_simulator_is_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accelsim.explore.point.run_point", lambda *_: PointResult("broken", "dram: lost a byte"))
    with pytest.raises(BrokenInvariant, match="dram: lost a byte"):
        sweep("apsq_edge_ws", MATMUL, {BITS: [8]}, processes=1)


def die(*_: object) -> None:
    os._exit(3)


def test_a_process_that_dies_is_answered_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_start", die)
    with pytest.raises(UserError, match="one ended early"):
        sweep("apsq_edge_ws", MATMUL, {BITS: [4, 8]}, processes=2)


def test_ctrl_c_writes_nothing_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(plan: object, processes: int, progress: Callable[[int, int], None]) -> None:
        progress(1, 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(pool, "run_points", stop)
    result = invoke(*RUN, "--over", f"{BITS}=4,8", "--out", str(tmp_path / "s.csv"), "--plot", str(tmp_path / "s.png"))
    assert result.exit_code == 130
    assert result.stderr.strip() == "stopped after 1 of 2 points; nothing is written"
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_stop_cancels_the_points_that_wait() -> None:
    seen = []

    def stop(done: int, total: int) -> None:
        seen.append(done)
        if done:
            raise KeyboardInterrupt

    values = list(range(100, 1100))
    with pytest.raises(KeyboardInterrupt):
        sweep("apsq_edge_ws", MATMUL, {"arch.technology.clock_mhz": values}, processes=2, progress=stop)
    assert seen == [0, pool.MAX_CHUNK]
    assert not multiprocessing.active_children()


def test_parquet_without_pyarrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = invoke(*RUN, "--over", f"{BITS}=8", "--out", str(tmp_path / "s.parquet"))
    assert result.exit_code == 2
    assert "pip install pyarrow" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_parquet_reads_back(mixed: pd.DataFrame, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    save_table(mixed, tmp_path / "s.parquet")
    back = pd.read_parquet(tmp_path / "s.parquet")
    assert list(back.columns) == list(mixed.columns)
    assert back["energy_pj"].equals(mixed["energy_pj"])


def test_a_table_of_another_suffix_is_a_users_mistake(mixed: pd.DataFrame, tmp_path: Path) -> None:
    for save in (save_table, save_sweep_plot):
        with pytest.raises(UserError, match="cannot write"):
            save(mixed, tmp_path / "s.xls")


@pytest.mark.parametrize("suffix", MAGIC)
def test_a_picture_is_written_for_each_suffix(mixed: pd.DataFrame, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"s{suffix}"
    save_sweep_plot(mixed, path)
    data = path.read_bytes()
    assert data.startswith(MAGIC[suffix])
    save_sweep_plot(mixed, path)
    assert path.read_bytes() == data


def test_bars_are_the_tables_numbers_and_failures_are_crosses(mixed: pd.DataFrame) -> None:
    figure = draw_sweep(mixed)
    panels = panels_of(mixed)
    assert [(panel.workload, panel.title) for panel in panels] == [
        (workload, f"array.operand_bits = {bits}") for workload in (MATMUL, "matmul:128x768x768") for bits in (4, 8)
    ]
    size = {"nJ": 1e3, "µJ": 1e6}
    for axes, panel in zip(figure.axes, panels, strict=True):
        unit = next(a for a in figure.axes if a.get_ylabel().startswith(panel.workload)).get_ylabel()[-3:-1]
        drawn = math.fsum(bar.get_height() for bar in axes.patches) * size[unit]
        assert drawn == pytest.approx(math.fsum(bar.total_pj for bar in panel.bars))
        crosses = [line for line in axes.lines if line.get_marker() == "x"]
        assert len(crosses) == sum(1 for bar in panel.bars if bar.reason)
        assert axes.get_xlabel() == "psum.bits"


def test_a_sweep_where_nothing_runs_is_drawn_too(tmp_path: Path) -> None:
    table = sweep("apsq_edge_ws", MATMUL, {WIDE: [4]}, processes=1)
    save_sweep_plot(table, tmp_path / "s.png")
    texts = [text.get_text() for text in draw_sweep(table).axes[0].texts]
    assert texts == ["needs 8 operand bits, array has 4"]


def test_short_keys_stay_apart() -> None:
    assert short_keys(["arch.array.po", "workload.psum.bits"]) == ["array.po", "psum.bits"]
    assert short_keys(["arch.a.x.y", "arch.b.x.y"]) == ["arch.a.x.y", "arch.b.x.y"]


def test_a_progress_bar_is_drawn_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from accelsim.cli.common import progress_bar

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, drawn in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress_bar("points") as bar:
            bar(3, 7)
        assert ("3/7" in stream.getvalue()) == drawn
