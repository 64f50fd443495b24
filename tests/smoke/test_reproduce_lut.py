"""`accelsim reproduce gqa-lut`: what it prints and saves, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from accelsim.cli import cli
from accelsim.reproduce import gqa_lut

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, dict[str, list[dict[str, object]]]]:
    """Two of the ten cells are searched; tests/validation searches them all."""
    path = tmp_path_factory.mktemp("lut") / "lut.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gqa_lut, "cells", lambda: [("gelu", 8), ("exp", 16)])
        result = CliRunner().invoke(cli, ["reproduce", "gqa-lut", "--json", str(path)])
    assert result.exit_code == 0, result.output
    return result, json.loads(path.read_text())


def test_tables_fit_the_terminal_and_name_their_parts(made: tuple[Result, dict[str, object]]) -> None:
    output = made[0].output
    assert max(map(len, output.splitlines())) <= 100
    for text in (
        "authors",
        "genetic",
        "shared",
        "per_scale",
        "shared*",
        "per_scale*",
        "search times",
        "base-2",
        "INT16",
    ):
        assert text in output
    assert "961" in output
    assert "+49.9%" in output


def test_saved_rows(made: tuple[Result, dict[str, list[dict[str, object]]]]) -> None:
    document = made[1]
    assert set(document) == {"schema_version", "errors", "base_2", "units"}
    assert len(document["errors"]) == 10 * 3 + 2 * 3
    assert len(document["units"]) == 8
    assert "seconds" not in json.dumps(document)


def test_it_has_no_picture(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["reproduce", "gqa-lut", "--plot", str(tmp_path / "x.png")])
    assert result.exit_code == 2
    assert "gqa-lut has no picture" in result.output


def test_searching_needs_no_torch() -> None:
    code = "import sys; import algos.gqa_lut.searches, accelsim.reproduce.gqa_lut; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
