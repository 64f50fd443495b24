"""`accelsim decode`: the table, the files it writes, and its answers to mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from accelsim.cli.app import cli
from accelsim.decoding.passes.spans import round_of
from accelsim.decoding.policies import make_policy
from accelsim.decoding.policies.lengths import fixed
from accelsim.decoding.words import acceptance_of, length_of, tree_of
from accelsim.errors import UserError
from tests.smoke.test_timeline import check_schema

SMALL = ["--target", "llama_160m", "--draft", "llama_160m", "--draft-codebooks", "--requests", "20", "--outputs", "32"]


def test_files(tmp_path: Path) -> None:
    names = {name: str(tmp_path / f"out.{name}") for name in ("json", "csv", "png")} | {
        "trace": str(tmp_path / "t.json")
    }
    options = ["--policy", "apsd", "--draft-length", "3", "--rotation", "--issue", "in-order"]
    files = ["--json", names["json"], "--csv", names["csv"], "--gantt", names["png"], "--timeline", names["trace"]]
    result = CliRunner().invoke(cli, ["decode", "apsq_llm_ws", *SMALL, *options, *files])
    assert result.exit_code == 0, result.output
    assert "tokens per second" in result.output
    summary = json.loads(Path(names["json"]).read_text())["summary"]
    assert 1 <= summary["tokens_per_target_pass"] <= 4
    assert len(Path(names["csv"]).read_text().splitlines()) == 21
    events = check_schema(Path(names["trace"]).read_text())
    assert {event["cat"] for event in events if event["ph"] == "X"} == {"verify", "draft"}
    tracks = [event["args"]["name"] for event in events if event["name"] == "thread_name"]  # type: ignore[index]
    assert tracks == ["transceiver", "compute", "reram", "dram"]


def test_without_a_draft() -> None:
    command = ["decode", "apsq_llm_ws", "--target", "llama_160m", "--policy", "autoregressive", "--requests", "3"]
    result = CliRunner().invoke(cli, [*command, "--outputs", "8"])
    assert result.exit_code == 0, result.output
    assert "1.000" in result.output


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        (["--target", "llama_160"], "did you mean 'llama_160m'"),
        (["--target", "llama_160m"], "--draft"),
        (["--target", "llama_160m", "--policy", "vanila"], "did you mean 'vanilla'"),
        (["--target", "llama_160m", "--acceptance", "1.5"], "runs:"),
        (["--target", "llama_160m", "--draft-length", "0"], "heuristic:"),
        (["--target", "llama_160m", "--tree", "40,40"], "nodes"),
        (["--target", "llama_160m", "--prompts", "0"], "--prompts"),
        (["--target", "llama_160m", "--json", "x.yaml"], ".json"),
        (["--target", "llama_160m", "--set", "workload.psum.bits=8"], "no workload"),
    ],
)
def test_mistakes(options: list[str], answer: str) -> None:
    result = CliRunner().invoke(cli, ["decode", "apsq_llm_ws", *options])
    assert result.exit_code == 2
    assert answer in result.output + result.stderr


def test_words() -> None:
    assert acceptance_of("0.8").mean == 0.8
    assert length_of("heuristic:2:9").most == 9
    assert tree_of("4,2,1") == (4, 2, 1)
    for wrong in ("heuristic:9:2", "entropy:0:4", "65", "a"):
        with pytest.raises(UserError):
            length_of(wrong)


def test_rounds() -> None:
    lengths = {"short": 2, "widths": (3, 2)}
    rounds = {name: round_of(make_policy(name, fixed(5), **lengths)) for name in ("vanilla", "tree", "pearl", "apsd")}  # type: ignore[arg-type]
    assert rounds == {
        "vanilla": [(0, 5), (6, 0)],
        "tree": [(0, 2), (10, 0)],
        "pearl": [(1, 5), (5, 5)],
        "apsd": [(0, 2), (3, 5), (5, 5)],
    }
