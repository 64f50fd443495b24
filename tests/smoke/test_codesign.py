"""Co-designs: the command's table, files and picture; points that cannot run; and mistakes in the question."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import algos  # noqa: E402
from accelsim import UserError, codesign, load_trace  # noqa: E402
from accelsim.cli import cli  # noqa: E402
from accelsim.cli.common import WIDTH  # noqa: E402
from accelsim.errors import user_error  # noqa: E402
from accelsim.explore.bench import Compressed, Scored  # noqa: E402
from accelsim.explore.codesign import joint_frame, run_question  # noqa: E402
from accelsim.explore.joint import Question, Settings, Variant, ask  # noqa: E402
from accelsim.report.codesign_plot import draw_codesign, save_codesign_plot, short_words  # noqa: E402
from accelsim.schemes import PsumScheme  # noqa: E402
from accelsim.workload import with_psum  # noqa: E402
from algos.experiments import results  # noqa: E402
from algos.recipe_settings import with_settings  # noqa: E402

ROOT = Path(__file__).parents[2]
BITS, GROUP, FLOW, WIDE = "recipe.apsq.bits", "recipe.apsq.group_size", "arch.array.dataflow", "arch.array.operand_bits"
RUN = ("codesign", "apsq_int8_gs1", "apsq_edge_ws", "--model", "digits_vit")
READ = ("--scores", "apsq_digits_vit")


def invoke(*args: str) -> Result:
    return CliRunner().invoke(cli, args)


def test_the_command_prints_a_table_and_writes_what_the_library_returns(tmp_path: Path) -> None:
    table, rows, picture = (tmp_path / name for name in ("c.csv", "c.json", "c.png"))
    over = ("--over", f"{BITS}=5,8", "--over", f"{WIDE}=4,8", "--score-rows", "20")
    result = invoke(*RUN, *over, "--out", str(table), "--out", str(rows), "--plot", str(picture))
    assert result.exit_code == 0, result.output
    assert "digits_vit, apsq_int8_gs1, on apsq_edge_ws: 8 points" in result.stdout
    assert "one forward pass of a batch of 1. scores: measured on 20 held-out rows." in result.stdout
    assert re.search(r"^fp32 +8 +100\.0 +0\.02155 +16\.1% +W8 A8 INT32$", result.stdout, re.MULTILINE)
    assert re.search(r"^recipe +8 +8 .* W8 A8 INT8 gs 1 +\*$", result.stdout, re.MULTILINE)
    assert re.search(r"^recipe +5 +8 +- +error", result.stdout, re.MULTILINE)
    assert re.search(r"^recipe +8 +4 +100\.0 +infeasible|^recipe +8 +4 +- +infeasible", result.stdout, re.MULTILINE)
    assert "no candidate for the front (*)" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= WIDTH
    expected = codesign(
        "apsq_int8_gs1", "apsq_edge_ws", {BITS: [5, 8], WIDE: [4, 8]}, model="digits_vit", score_rows=20
    )
    back = pd.read_csv(table, keep_default_na=False)
    assert list(back.columns) == list(expected.columns)
    assert list(back["reason"]) == list(expected["reason"])
    assert list(expected["status"]) == ["infeasible", "ok"] * 2 + ["error"] * 2 + ["infeasible", "ok"]
    ok = expected["status"] == "ok"
    assert list(back.loc[ok, "energy_pj"].astype(float)) == list(expected.loc[ok, "energy_pj"])
    records = json.loads(rows.read_text())
    assert [row["energy_pj"] for row, fine in zip(records, ok, strict=True) if fine] == list(
        expected.loc[ok, "energy_pj"]
    )
    assert records[0][BITS] is None
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_bytes_do_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
    contents = []
    for seed in ("1", "2"):
        paths = [tmp_path / f"{seed}{suffix}" for suffix in (".csv", ".json", ".png")]
        args = ["--over", f"{BITS}=5,8", "--over", f"{FLOW}=weight_stationary,input_stationary", "--score-rows", "3",
                "--out", str(paths[0]), "--out", str(paths[1]), "--plot", str(paths[2])]  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "accelsim", *RUN, *args], cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed},
            check=True, capture_output=True, text=True, timeout=200,
        )  # fmt: skip
        assert re.search(r"^8 points in \d+\.\d s$", done.stderr, re.MULTILINE)
        contents.append([*(path.read_bytes() for path in paths), done.stdout.replace(str(paths[0])[:-4], "")])
    assert contents[0] == contents[1]
    assert str(tmp_path).encode() not in contents[0][0] + contents[0][1]


def test_kept_variants_are_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = {BITS: [8], FLOW: ["weight_stationary", "input_stationary"]}
    first = codesign("apsq_int8_gs1", "apsq_edge_ws", over, model="digits_vit", score_rows=10, keep=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2 * 3

    def never(*_: object) -> None:
        raise AssertionError("a model was compressed")

    monkeypatch.setattr("algos.compress_", never, raising=False)
    again = codesign("apsq_int8_gs1", "apsq_edge_ws", over, model="digits_vit", score_rows=10, keep=tmp_path)
    pd.testing.assert_frame_equal(first, again)
    with pytest.raises(AssertionError, match="a model was compressed"):
        codesign("apsq_int8_gs1", "apsq_edge_ws", over, model="digits_vit", score_rows=11, keep=tmp_path)
    next(tmp_path.glob("*.scores.json")).write_text("{")
    damaged = codesign("apsq_int8_gs1", "apsq_edge_ws", over, model="digits_vit", score_rows=10, keep=tmp_path)
    assert damaged["reason"].str.contains("fix: delete this file").sum() == 2


class Counting:
    """A stand-in for the torch side that counts what it is asked for; psums of 4 bits have no score."""

    def __init__(self) -> None:
        self.compressed: list[str] = []
        self.scored: list[str] = []

    def compress(self, variant: Variant) -> Compressed:
        """A matmul with the variant's psums."""
        self.compressed.append(variant.scheme)
        trace = load_trace("matmul:16x64x32")
        bits = dict(variant.sets).get(BITS, 32)
        assert isinstance(bits, int)

        def score() -> Scored:
            self.scored.append(variant.scheme)
            if bits == 4:
                raise user_error("codesign", "accuracy_pct", "the score is nan", "compress less")
            return Scored({"accuracy_pct": 90.0 + bits}, "measured")

        return Compressed(with_psum(trace, PsumScheme(bits)), score)


def asked(over: Mapping[str, list[object]], recipe: str = "apsq_int8_gs1") -> Question:
    return ask(recipe, "apsq_edge_ws", over, Settings("digits_vit"))


def test_a_variant_is_compressed_and_scored_once_and_only_if_something_runs_it() -> None:
    question, counting, seen = asked({BITS: [5, 4, 8], FLOW: ["weight_stationary", "input_stationary"]}), Counting(), []
    refusals = [""] * len(question.variants)
    rows = run_question(question, counting.compress, refusals, lambda done, total: seen.append((done, total)))
    assert counting.compressed == ["fp32", "w8a8_psum_int32", "", "w8a8_apsq_int4_gs1", "w8a8_apsq_int8_gs1"]
    assert counting.scored == ["fp32", "w8a8_psum_int32", "w8a8_apsq_int4_gs1", "w8a8_apsq_int8_gs1"]
    assert seen == [(0, 10), (2, 10), (4, 10), (6, 10), (8, 10), (10, 10)]
    table = joint_frame(question, rows, "accuracy_pct")
    assert list(table["status"].iloc[::2]) == ["ok", "ok", "error", "unscored", "ok"]
    unscored = table[table["status"] == "unscored"]
    assert unscored["energy_pj"].notna().all()
    assert unscored["accuracy_pct"].isna().all()
    assert not unscored["pareto_front"].any()
    twice = asked({"recipe.quant.weight_bits": [8]}, recipe="w8a8")
    run_question(twice, (counting := Counting()).compress, [""] * 3)
    assert counting.compressed == ["fp32", "w8a8_psum_int32"]


def test_a_refused_variant_is_a_row() -> None:
    question = asked({BITS: [8, 2], GROUP: [1]})
    rows = run_question(question, Counting().compress, ["", "", "because", ""])
    table = joint_frame(question, rows, "accuracy_pct")
    assert list(table["status"]) == ["ok", "ok", "error", "error"]
    assert list(table["reason"].iloc[2:3]) == ["because"]
    assert "psums of 2 bits" in table["reason"].iloc[3]


BAD = {
    "no recipe": (("codesign",), "Missing argument 'RECIPE'"),
    "unknown recipe": (("codesign", "apsq_int8_gs", "apsq_edge_ws"), "did you mean 'apsq_int8_gs2'?"),
    "missing recipe": (("codesign", "no/such.yaml", "apsq_edge_ws"), "cannot be read"),
    "unknown spec": (("codesign", "w8a8", "apsq_edge", "--over", f"{FLOW}=weight_stationary"), "mean 'apsq_edge_ws'?"),
    "unknown model": (("codesign", "w8a8", "apsq_edge_ws", "--model", "digit_vit"), "did you mean 'digits_vit'?"),
    "no values": ((*RUN, "--over", BITS), "write KEY=V1,V2"),
    "key twice": ((*RUN, "--over", f"{BITS}=4", "--over", f"{BITS}=8"), "write all its values after one --over"),
    "value twice": ((*RUN, "--over", f"{BITS}=4,4"), f"{BITS}: 4 is given 2 times"),
    "no prefix": ((*RUN, "--over", "apsq.bits=4"), "start it with recipe. or arch."),
    "workload key": ((*RUN, "--over", "workload.psum.bits=4"), "start it with recipe. or arch."),
    "unknown step": ((*RUN, "--over", "recipe.apsk.bits=4"), "did you mean 'apsq'?"),
    "step out of range": ((*RUN, "--over", "recipe.1.bits=4"), "no step '1' in this recipe"),
    "no setting": ((*RUN, "--over", "recipe.apsq=4"), "write recipe.STEP.SETTING"),
    "unknown setting": ((*RUN, "--over", "recipe.apsq.bit=4"), "did you mean 'bits'?"),
    "bits out of range": ((*RUN, "--over", f"{BITS}=8,99"), "psum bits 99 is outside"),
    "bits of another scheme": ((*RUN, "--over", f"{BITS}=8,32"), "use the scheme quant"),
    "bits no number": ((*RUN, "--over", f"{BITS}=8,wide"), "valid integer"),
    "one setting by two keys": ((*RUN, "--over", f"{BITS}=4", "--over", "recipe.0.bits=4"), "same setting by another"),
    "unknown arch key": ((*RUN, "--over", "arch.array.p=4"), "did you mean 'po'?"),
    "misspelt value": ((*RUN, "--over", f"{FLOW}=weight_stationry"), "did you mean 'weight_stationary'?"),
    "sequence of images": ((*RUN, "--seq", "8"), "digits_vit reads no sequence"),
    "sequence too long": (("codesign", "w8a8", "apsq_edge_ws", "--seq", "513"), "1 to 512, which byte_lm_target"),
    "no batch": ((*RUN, "--batch", "0"), "--batch"),
    "too many rows": ((*RUN, "--score-rows", "798"), "1 to 797 rows of digits_vit"),
    "unknown table": ((*RUN, "--scores", "apsq_digit_vit"), "did you mean 'apsq_digits_vit'?"),
    "table of another model": ((*RUN, "--scores", "apsq_minilm"), "this table has no scores of digits_vit"),
    "table without models": ((*RUN, "--scores", "digits_vit"), "this table has no scores of digits_vit"),
    "table and rows": ((*RUN, *READ, "--score-rows", "8"), "leave one of the two out"),
    "nothing in the table": ((*RUN, *READ, "--over", f"{BITS}=5,7"), "has no row for these settings"),
    "layers the model lacks": ((*RUN, "--over", 'recipe.apsq.layers=["*.gate_proj"]'), "matches no layer"),
    "folder to keep in": ((*RUN, "--keep", "missing"), "mkdir -p missing"),
    "table suffix": ((*RUN, "--out", "c.txt"), "use .csv or .json or .parquet"),
    "plot suffix": ((*RUN, "--plot", "c.gif"), "use .png or .svg or .pdf"),
    "output twice": ((*RUN, "--out", "c.csv", "--out", "c.csv"), "already an input or an output"),
    "too many to draw": (
        (*RUN, f"--over=arch.array.po={','.join(map(str, range(1, 12)))}", "--plot", "c.png"),
        "11 accelerators and 1 values of the first recipe key do not fit",
    ),
    "too many points": (
        (*RUN, *(f"--over=arch.array.{key}={','.join(map(str, range(1, 60)))}" for key in ("po", "pci", "pco"))),
        "616,137 points",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_answered_before_anything_runs(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a model was compressed")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("accelsim.explore.bench.Bench.compress", never)
    args, answer = BAD[case]
    result = invoke(*args)
    assert result.exit_code == 2, result.output
    assert answer in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert "fix: " in result.stderr or "--help" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_mistake_is_told_at_once() -> None:
    over: dict[str, list[object]] = {BITS: [8, 99], "recipe.apsq.bit": [4], FLOW: ["x"], "arch.array.p": [4]}
    with pytest.raises(UserError) as caught:
        codesign("apsq_int8_gs1", "apsq_edge_ws", over, model="digits_vit", batch=0, sequence=4, score_rows=0)
    names = {fault.name for fault in caught.value.faults}
    assert {"recipe.apsq.bit", "arch.array.p", "batch", "sequence", "score_rows"} <= names
    with pytest.raises(UserError) as caught:
        codesign("apsq", "apsq_edge", {"bits": [4]}, model="vit")
    assert len(caught.value.faults) == 4


def test_settings_by_name_number_and_text() -> None:
    steps = algos.load_recipe("rotate_w4a8")
    changed = with_settings(steps, {"recipe.token_quant.weight_bits": 6, "recipe.0.keys": "true"})
    assert (changed[0].keys, changed[1].weight_bits) == (True, 6)
    assert changed[0].down == "local"
    both = (algos.QuantConfig(layers=("a",)), algos.QuantConfig(layers=("b",)))
    assert with_settings(both, {"recipe.1.weight_bits": 4})[1].weight_bits == 4
    with pytest.raises(UserError, match=r"2 steps are called quant[\s\S]*recipe\.0, recipe\.1"):
        with_settings(both, {"recipe.quant.weight_bits": 4})
    assert with_settings(both, {"recipe.0.skip": '["*.x"]'})[0].skip == ("*.x",)


def test_the_seed_reaches_the_steps_that_draw() -> None:
    seeded = ask("rotate_w4a8", "apsq_edge_ws", {}, Settings("byte_lm_target", seed=7))
    assert seeded.variants[-1].steps[0].seed == 7
    plain = ask("apsq_int8_gs1", "apsq_edge_ws", {}, Settings("byte_lm_target", seed=7))
    assert plain.variants[-1].steps == algos.load_recipe("apsq_int8_gs1")
    assert plain.settings.sequence == 512


def test_committed_scores_are_those_after_training() -> None:
    trained = results.scores("apsq_tuned_digits_vit", "digits_vit")
    assert trained["w8a8_apsq_int8_gs1"] == {"accuracy_pct": 98.61982, "loss_nats": 0.08514}
    assert results.scores("apsq_minilm", "minilm")["fp32"]["spearman"] == 0.63148
    table = codesign("apsq_int8_gs1", "apsq_edge_ws", {BITS: [8]}, model="digits_vit", scores="apsq_tuned_digits_vit")
    assert list(table["scores"]) == ["apsq_digits_vit", "apsq_tuned_digits_vit", "apsq_tuned_digits_vit"]
    assert list(table["accuracy_pct"]) == [98.49435, 98.74529, 98.61982]


def test_the_picture_shows_references_points_and_front(tmp_path: Path) -> None:
    over = {BITS: [4, 8], GROUP: [1], FLOW: ["weight_stationary", "input_stationary"]}
    table = codesign("apsq_int8_gs1", "apsq_edge_ws", over, model="digits_vit", scores="apsq_digits_vit")
    figure = draw_codesign(table)
    (axes,) = figure.axes
    drawn = {(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in axes.lines if len(line.get_xdata())}
    assert drawn >= {(row["energy_pj"] / 1e6, row["accuracy_pct"]) for row in table.to_dict("records")}
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:3] == [
        "Pareto front", "fp32,\ncharged as W8 A8, psums INT32", "w8a8_psum_int32,\ncharged as W8 A8, psums INT32",
    ]  # fmt: skip
    assert labels[3:] == ["bits = 4", "bits = 8", "weight stationary", "input stationary"]
    front = next(line for line in axes.lines if line.get_label() == "Pareto front")
    assert len(front.get_xdata()) == table["pareto_front"].sum()
    assert axes.get_xlabel() == "energy (µJ)"
    assert axes.get_ylabel() == "accuracy (%), more is better"
    with pytest.raises(UserError, match=r"use \.png or"):
        save_codesign_plot(table, tmp_path / "c.gif")
    assert short_words(["recipe.apsq.bits", "recipe.quant.bits"]) == ["apsq.bits", "quant.bits"]


def test_the_loop_knows_no_torch() -> None:
    """Whatever calls algos and workloads does so inside its functions; importing all of it loads no torch."""
    code = "import sys, accelsim.explore.codesign, accelsim.cli; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    for file in (ROOT / "accelsim").rglob("*.py"):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] not in ("torch", "algos", "workloads") or (
                    "gqa_lut" in str(node.module)
                ), file


def test_without_torch_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['torch'] = None\nfrom accelsim.cli import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", code, *RUN], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip
    assert done.returncode == 2
    assert "torch: not installed" in done.stderr
    assert "-e '.[torch,experiments]'" in done.stderr
