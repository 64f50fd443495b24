"""Specs of a PE grid: what a user may write, what is said about the rest, and the shipped example whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from accelsim import load_arch, load_trace, simulate
from accelsim.cli import cli
from accelsim.spec import load_arch_resolved, resolved_rows
from tests.smoke.test_spec import _faults

GRID = """\
extends: apsq_edge_ws
name: grid
array:
  kind: pe_grid
  dataflow: row_stationary
  rows: 12
  cols: 14
  unroll:
    conv:
      rows: [{dim: r, width: 3}, {dim: c, width: 4}]
      cols: [{dim: p}]
    matmul:
      rows: [{dim: k}]
      cols: [{dim: n, width: 14}]
"""

# what is written for what; line, name, part of what was found, part of the fix
BAD = [
    ("dim: c,", "dim: t,", 10, "array.unroll.conv.rows[1].dim", "found 't'", "allowed: c, groups, k"),
    ("dim: k}", "dim: q}", 13, "array.unroll.matmul.rows[0].dim", "found 'q'", "allowed: b, g, k, m, n"),
    ("dim: c, width: 4", "dim: c, with: 4", 10, "array.unroll.conv.rows[1].with", "no such key", "'width'"),
    ("width: 4", "width: 0", 10, "array.unroll.conv.rows[1].width", "found 0", "at least 1"),
    ("[{dim: p}]", "[]", 11, "array.unroll.conv.cols", "an empty list", "one or more"),
    ("[{dim: p}]", "p", 11, "array.unroll.conv.cols", "'p', not a list", "each a mapping with the keys dim, width"),
    ("      cols: [{dim: p}]\n", "", 9, "array.unroll.conv.cols", "missing", "add cols"),
    ("width: 4", "width: 5", 10, "array.unroll.conv.rows", "3 x 5 = 15 PEs of 12", "array.rows = 12"),
    ("width: 14", "width: 15", 14, "array.unroll.matmul.cols", "15 = 15 PEs of 14", "array.cols = 14"),
    ("dim: c, width: 4", "dim: r", 10, "array.unroll.conv.rows", "r stands here twice", "one entry"),
    ("dim: r,", "dim: s,", 10, "array.unroll.conv.rows", "row_stationary unrolls r", "add r"),
    ("{dim: p}", "{dim: q}, {dim: k}", 11, "array.unroll.conv.cols", "is only q, k", "another array.dataflow"),
    ("row_stationary\n  rows", "row_stationry\n  rows", 5, "array.dataflow", "'row_stationry'", "'row_stationary'"),
]


@pytest.mark.parametrize(("old", "new", "line", "name", "found", "fix"), BAD)
def test_a_malformed_grid_is_one_fault(
    old: str, new: str, line: int, name: str, found: str, fix: str, tmp_path: Path
) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(GRID)
    assert load_arch(path).name == "grid"
    assert GRID.count(old) == 1
    path.write_text(GRID.replace(old, new))
    (fault,) = _faults(path)
    assert (fault.file, fault.line, fault.name) == (str(path), line, name)
    assert found in fault.found
    assert fix in fault.fix


@pytest.mark.parametrize("name", ["apsq_edge_ws", "systolic_32x32"])
def test_only_a_grid_is_row_stationary(name: str) -> None:
    (fault,) = _faults(name, ["arch.array.dataflow=row_stationary"])
    assert fault.found == "found 'row_stationary', which is for arrays of kind pe_grid"
    assert "weight_stationary" in fault.fix


def test_every_value_of_an_unrolling_has_an_origin(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(GRID)
    rows = {key: (value, origin) for key, value, origin in resolved_rows(load_arch_resolved(path))}
    assert rows["array.unroll.conv.rows[1].dim"] == ("c", f"{path}:10")
    assert rows["array.unroll.conv.cols[0].width"] == (None, "default")


def test_the_shipped_grid_runs_resnet_50() -> None:
    report = simulate(load_arch("row_stationary_12x14"), load_trace("resnet_50"))
    assert report.totals.complete
    assert report.totals.macs == report.trace_macs == 4_089_184_256
    passes = sum(row.count for row in report.rows if row.action == "pass")
    assert 0 < passes < report.totals.macs
    convs = [op for op in report.ops if op.kind == "conv"]
    # Every conv but the first is a multiple of 3 kernel rows, or 1, and of 7 output rows: few PEs idle.
    assert all(op.padded_macs < op.macs / 4 for op in convs[1:])


@pytest.mark.parametrize("dataflow", ["weight_stationary", "input_stationary", "output_stationary"])
def test_a_grid_takes_every_loop_order(dataflow: str) -> None:
    args = ["simulate", "row_stationary_12x14", "matmul:128x768x300", "--set", f"arch.array.dataflow={dataflow}"]
    result = CliRunner().invoke(cli, args)
    assert result.exit_code == 0, result.output
    assert f"pe_grid 12 x 14, {dataflow}" in result.output
