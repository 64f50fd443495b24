"""Every bad input of the corpus is answered where it is wrong, and with how to mend it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from accelsim.cli import cli
from tests.fuzz.cases import COMMANDS, SPECS, TOPOLOGIES, TRACES, Case, file_cases

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CASES = file_cases() | COMMANDS
IN_A_PROCESS = (
    "specs/latin_1.yaml",
    "traces/cut_off.json.gz",
    "topologies/utf_16.csv",
    "sweep over a bad value",
    "diff of a cut off report",
)
LONGEST_LINE = 1000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the corpus to stand in."""
    copy = tmp_path / "corpus"
    shutil.copytree(HERE / "corpus", copy)
    monkeypatch.chdir(copy)
    return copy


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


def check(case: Case, code: int, stdout: str, stderr: str) -> None:
    assert code == 2, stderr
    assert stdout == ""
    assert "Traceback" not in stderr
    for text in case.texts:
        assert text in stderr
    assert "fix: " in stderr or "--help" in stderr
    assert max(map(len, stderr.splitlines())) <= LONGEST_LINE


@pytest.mark.parametrize("name", CASES)
def test_a_bad_input_is_answered_in_full(name: str, folder: Path) -> None:
    case = CASES[name]
    if case.args[0] == "trace":
        pytest.importorskip("transformers")
    before = contents(folder)
    result = CliRunner().invoke(cli, case.args)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    check(case, result.exit_code, result.stdout, result.stderr)
    assert contents(folder) == before


@pytest.mark.parametrize("name", IN_A_PROCESS)
def test_a_real_process_answers_the_same(name: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "accelsim", *CASES[name].args], cwd=folder, capture_output=True, text=True, timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    check(CASES[name], done.returncode, done.stdout, done.stderr)


def test_every_file_of_the_corpus_has_a_case() -> None:
    stems = {path.stem for path in (HERE / "corpus" / "specs").iterdir()}
    assert stems == set(SPECS)
    assert {path.name for path in (HERE / "corpus" / "traces").iterdir()} == set(TRACES)
    assert {path.stem for path in (HERE / "corpus" / "topologies").iterdir()} == set(TOPOLOGIES)
