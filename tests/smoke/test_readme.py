"""The README's commands and its Python run as printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from accelsim.cli import cli

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^\$ accelsim (.*)$", README, flags=re.MULTILINE)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that sees the shipped files by the README's relative paths."""
    for folder in ("arch_specs", "workloads"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command: str, workplace: Path) -> None:
    arguments = shlex.split(command)
    if arguments[0] in ("trace", "codesign"):
        pytest.importorskip("transformers")
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    for option in ("--json", "--plot", "--out"):
        if option in arguments:
            assert (workplace / arguments[arguments.index(option) + 1]).stat().st_size > 0


def test_python(workplace: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(block, {"print": lambda *values: None})
    assert (workplace / "report.json").stat().st_size > 0


def test_links_and_files_exist() -> None:
    for name in re.findall(r"`((?:accelsim|arch_specs|workloads|tests)/[\w./]+?)`", README):
        assert (ROOT / name.rstrip("/")).exists(), name
