"""Whatever it is given, the command line answers with a result or a mistake, soon, and leaves nothing half-written."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from accelsim.cli import cli
from tests.fuzz import inputs, lines

MOST_SECONDS = 10
LEAST_INPUTS = 1000
INPUTS: Counter[str] = Counter()
"""Inputs by what they were, and (`exit N`) by how they were answered."""


def fuzz(examples: int) -> settings:
    return settings(
        max_examples=examples, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the fuzzer stands: a right and a broken file of each kind."""
    path = tmp_path_factory.mktemp("fuzz")
    (path / "chip.yaml").write_text(inputs.SPEC)
    (path / "broken.yaml").write_text(inputs.SPEC.replace("po: 16", "po: [16"))
    (path / "good.json").write_text(json.dumps(inputs.TRACE))
    (path / "broken.json").write_text(json.dumps(inputs.TRACE)[:500])
    (path / "good.csv").write_text(inputs.CSV_GEMM)
    for name, bits in (("report.json", "8"), ("other.json", "4")):
        args = ["simulate", "apsq_edge_ws", "matmul:16x64x32", "--set", f"workload.psum.bits={bits}"]
        assert CliRunner().invoke(cli, [*args, "--json", str(path / name)]).exit_code == 0
    return path


@pytest.fixture(autouse=True)
def stand_in_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def answer(kind: str, args: list[str], folder: Path) -> Result:
    """Run one command line and check what holds of every answer."""
    before = set(folder.iterdir())
    start = time.perf_counter()
    result = CliRunner().invoke(cli, args)
    seconds = time.perf_counter() - start
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    INPUTS[kind] += 1
    INPUTS[f"exit {result.exit_code}"] += 1
    assert result.exit_code in ((0, 1, 2) if args[:1] == ["diff"] else (0, 2)), result.output
    assert "Traceback" not in result.output
    assert seconds < MOST_SECONDS
    if result.exit_code == 2:
        assert "fix: " in result.stderr or "--help" in result.stderr or "Usage:" in result.output, result.output
        assert "wrote" not in result.stdout
    _check_files(set(folder.iterdir()) - before, result)
    return result


def _check_files(made: set[Path], result: Result) -> None:
    """New files are whole, were asked for, and are there only where the command succeeded."""
    assert not made or result.exit_code != 2
    for path in made:
        assert f"wrote {path.name}" in result.stdout
        text = path.read_text()
        assert text.endswith("\n")
        assert path.suffix != ".json" or json.loads(text)
        path.unlink()


@fuzz(600)
@given(text=inputs.spec_texts(), command=st.sampled_from((("explain",), ("area",), ("simulate", "matmul:5x7x9"))))
def test_damaged_specs(text: str, command: tuple[str, ...], folder: Path) -> None:
    path = folder / "fuzz.yaml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    answer("spec", [command[0], path.name, *command[1:]], folder)


@fuzz(600)
@given(text=inputs.trace_texts())
def test_damaged_traces(text: str, folder: Path) -> None:
    path = folder / "fuzz.json"
    path.write_text(text)
    result = answer("trace", ["simulate", "chip.yaml", path.name], folder)
    assert result.exit_code == 0 or path.name in result.stderr or "workload.psum" in result.stderr


@fuzz(300)
@given(damaged=inputs.damaged_bytes())
def test_damaged_bytes(damaged: tuple[bytes, str], folder: Path) -> None:
    path = folder / f"fuzz{damaged[1]}"
    path.write_bytes(damaged[0])
    result = answer("bytes", ["simulate", "chip.yaml", path.name], folder)
    assert result.exit_code == 0 or path.name in result.stderr or "workload.psum" in result.stderr


@fuzz(300)
@given(text=inputs.csv_texts())
def test_damaged_topologies(text: str, folder: Path) -> None:
    path = folder / "fuzz.csv"
    path.write_bytes(text.encode(errors="surrogatepass"))
    result = answer("topology", ["simulate", "chip.yaml", path.name], folder)
    assert result.exit_code == 0 or path.name in result.stderr


@fuzz(700)
@given(args=lines.COMMAND_LINES)
def test_odd_command_lines(args: list[str], folder: Path) -> None:
    answer("command line", args, folder)


@fuzz(250)
@given(spec=lines.specs(), workload=lines.workloads())
def test_odd_but_right(spec: dict[str, Any], workload: dict[str, Any], folder: Path) -> None:
    """The simulator checks its own report; whatever it cannot run it lists."""
    (folder / "odd.yaml").write_text(json.dumps(spec))
    (folder / "odd.json").write_text(json.dumps(workload))
    args = ["simulate", "odd.yaml", "odd.json"]
    assert answer("odd but right", args, folder).exit_code == 0
    report_path = folder / "odd_report.json"
    report_path.touch()
    assert CliRunner().invoke(cli, [*args, "--json", report_path.name]).exit_code == 0
    report = json.loads(report_path.read_text())
    INPUTS["ops that run"] += len(report["ops"])
    INPUTS["ops that do not"] += len(report["infeasible"])
    assert len(report["ops"]) + len(report["infeasible"]) == len(workload["phases"][0]["ops"])
    assert math.isfinite(report["totals"]["energy_pj"])
    assert sum(op["macs"] for op in report["ops"] + report["infeasible"]) == report["macs"]["trace"]
    assert all(op["cycles"] > 0 and op["energy_pj"] > 0 for op in report["ops"])
    assert all(row["demand"] > row["bound"] or row["lever"] for row in report["infeasible"])


def test_at_least_a_thousand_inputs_ran() -> None:
    kinds = ("spec", "trace", "bytes", "topology", "command line", "odd but right")
    if not all(INPUTS[kind] for kind in kinds):
        pytest.skip("only some of the inputs were asked for")
    print(dict(INPUTS))  # noqa: T201
    assert sum(INPUTS[kind] for kind in kinds) >= LEAST_INPUTS
    assert INPUTS["exit 0"] >= LEAST_INPUTS // 10
    assert INPUTS["exit 2"] >= LEAST_INPUTS // 3
    assert min(INPUTS["ops that run"], INPUTS["ops that do not"]) >= LEAST_INPUTS // 20
