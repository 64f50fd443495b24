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
        (["--target", "llama_160m", "--acceptance", "1.5"], "(1.5,) are not probabilities"),
        (["--target", "llama_160m", "--acceptance", "high"], "runs:"),
        (["--target", "llama_160m", "--draft-length", "0"], "heuristic:"),
        (["--target", "llama_160m", "--policy", "tree", "--tree", "40,40"], "nodes"),
        (["--target", "llama_160m", "--policy", "tree"], "like 0.7,0.1"),
        (["--target", "llama_160m", "--tree", "4,2"], "--tree: policy vanilla does not read it"),
        (["--target", "llama_160m", "--policy", "tree", "--draft-length", "3"], "vanilla or pearl or apsd"),
        (["--target", "llama_160m", "--policy", "autoregressive", "--draft", "llama_160m"], "--draft: policy"),
        (["--target", "llama_160m", "--prompts", "512:32"], "write 32:512"),
        (["--target", "llama_160m", "--prompts", "512:"], "a range (32:512)"),
        (["--target", "llama_160m", "--prompts", "0"], "--prompts"),
        (["--target", "llama_160m", "--json", "x.yaml"], ".json"),
        (["--target", "llama_160m", "--set", "workload.psum.bits=8"], "no workload"),
    ],
)
def test_mistakes(options: list[str], answer: str) -> None:
    result = CliRunner().invoke(cli, ["decode", "apsq_llm_ws", *options])
    assert result.exit_code == 2
    assert answer in result.output + result.stderr


def test_a_stack_holds_the_draft_of_several_chips(tmp_path: Path) -> None:
    """Four chips hold a draft that one has no room for, and read it from there instead of the DRAM."""
    options = [*SMALL, "--prompts", "16", "--json", str(tmp_path / "out.json")]
    one = CliRunner().invoke(cli, ["decode", "reram_logic_55nm", *options])
    assert one.exit_code == 2
    assert "67,108,864 (reram)" in one.output
    summaries = []
    for sets in ([], ["--set", "arch.placement=[]"]):
        four = CliRunner().invoke(cli, ["decode", "reram_logic_55nm_x4", *options, *sets])
        assert four.exit_code == 0, four.output
        summaries.append(json.loads((tmp_path / "out.json").read_text())["summary"])
    stacked, dram = summaries
    assert stacked["reram_mb_per_token"] > 0 == dram["reram_mb_per_token"]
    moved = [found["dram_mb_per_token"] + found["reram_mb_per_token"] for found in summaries]
    assert moved[0] == pytest.approx(moved[1], rel=0.01)
    assert stacked["tokens_per_s"] > dram["tokens_per_s"]


def test_a_prompt_that_takes_hours_is_refused() -> None:
    options = ["--target", "llama_160m", "--policy", "autoregressive", "--prompts", "1000000"]
    result = CliRunner().invoke(cli, ["decode", "reram_logic_55nm", *options])
    assert result.exit_code == 2
    assert "more than 2.5 hours" in result.output


@pytest.mark.parametrize("name", ["validation/a100", "validation/gemmini_16x16"])
def test_machines_that_a_host_drives_are_refused(name: str) -> None:
    result = CliRunner().invoke(cli, ["decode", name, "--target", "llama_160m", "--policy", "autoregressive"])
    assert result.exit_code == 2
    assert "driven by kernels or commands" in result.output


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
        "vanilla": [(0, 5, 1), (6, 0, 1)],
        "tree": [(0, 1, 1), (0, 1, 3), (10, 0, 1)],
        "pearl": [(1, 5, 1), (5, 5, 1)],
        "apsd": [(0, 2, 1), (3, 5, 1), (5, 5, 1)],
    }
