"""The command line: what each command prints, and what each mistake is answered with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from accelsim.cli import cli
from accelsim.cli.common import WIDTH
from accelsim.spec.locate import shipped_names
from accelsim.workload import shipped_workloads

ROOT = Path(__file__).parents[2]
HEAVY = ("numpy", "numba", "pandas", "matplotlib", "torch", "pydantic", "rich")
MATMUL = "matmul:16x64x32"
RUN = ("simulate", "apsq_edge_ws", MATMUL)


def invoke(*args: str) -> Result:
    return CliRunner().invoke(cli, args)


def run_python(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *args], cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=120
    )  # fmt: skip


def test_simulate_prints_the_report() -> None:
    result = invoke(*RUN)
    assert result.exit_code == 0, result.output
    macs = 16 * 64 * 32
    for text in (
        "MACs: equal",
        f"{macs:,} in the trace, {macs:,} by the oracle",
        "psum_buffer",
        "What bound the cycles",
    ):
        assert text in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= WIDTH
    assert "\x1b" not in result.stdout


def test_equal_ops_of_all_layers_are_one_line() -> None:
    result = invoke("simulate", "apsq_edge_ws", "bert_base", "--set", "workload.psum.bits=8")
    assert result.exit_code == 0, result.output
    assert re.search(r"encoder\.layer\.\*\.output\.dense +x12 ", result.stdout)
    assert "int8 gs1 in 96 ops" in result.stdout
    assert "inferences/s (128 tokens x batch 1)" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= WIDTH


def test_decode_reports_tokens_per_second() -> None:
    result = invoke("simulate", "apsq_edge_ws", "llama2_7b_decode_2048")
    assert result.exit_code == 0, result.output
    assert "tokens/s (1 token x batch 1, context 2,048)" in result.stdout


def test_an_override_changes_the_result() -> None:
    def energy(*overrides: str) -> str:
        result = invoke("simulate", "apsq_edge_ws", "matmul:128x768x768", *overrides)
        assert result.exit_code == 0, result.output
        return next(line for line in result.stdout.splitlines() if line.startswith("energy "))

    assert energy() != energy("--set", "workload.psum.bits=8")
    assert energy() != energy("--set", "arch.dram.energy_pj_per_bit=3.5")


def test_an_op_that_cannot_run_is_a_result_with_a_lever() -> None:
    result = invoke("simulate", "apsq_edge_ws", MATMUL, "--set", "arch.array.operand_bits=4")
    assert result.exit_code == 0, result.output
    assert "Ops that cannot run here" in result.stdout
    assert "needs 8 operand bits, array has 4 (4 short)" in result.stdout
    assert "would help: quantise the operand" in result.stdout


def test_area_sums_and_names_its_sources(tmp_path: Path) -> None:
    path = tmp_path / "area.json"
    result = invoke("area", "apsq_edge_ws", "--json", str(path))
    assert result.exit_code == 0, result.output
    document = json.loads(path.read_text())
    assert sum(block["area_mm2"] for block in document["blocks"]) == pytest.approx(document["totals"]["area_mm2"])
    assert all(block["source"] and block["confidence"] for block in document["blocks"])
    assert "[1]" in result.stdout


@pytest.mark.parametrize("name", shipped_names())
def test_explain_shows_values_origins_constants_and_peaks(name: str) -> None:
    result = invoke("explain", name, "--set", "arch.technology.clock_mhz=250")
    assert result.exit_code == 0, result.output
    assert re.search(r"technology\.clock_mhz +250 +override", result.stdout)
    psums = r"(buffers\.psum_ofmap|memories\.\w+)\.read_bits_per_cycle"
    assert re.search(rf"{psums} +\d+ +\w+\.yaml:\d+", result.stdout)
    for text in ("pJ / mac", "leakage", "ridge point", "Ports, bits per core cycle", "byte / cycle"):
        assert text in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= WIDTH


def test_list_names_everything_shipped() -> None:
    result = invoke("list")
    assert result.exit_code == 0, result.output
    for name in (*shipped_names(), *shipped_workloads()):
        assert name in result.stdout


@pytest.mark.parametrize("what", [(), ("arch",), ("trace",)])
def test_schema_is_json_with_descriptions(what: tuple[str, ...]) -> None:
    result = invoke("schema", *what)
    assert result.exit_code == 0, result.output
    schema = json.loads(result.stdout)
    assert schema["properties"]
    if what != ("trace",):
        assert "Spatial rows" in schema["$defs"]["AdderTreeArray"]["properties"]["po"]["description"]


@pytest.mark.parametrize("command", ["simulate", "area", "explain", "trace", "schema", "list"])
def test_help_teaches_by_example(command: str) -> None:
    for flag in ("-h", "--help"):
        result = invoke(command, flag)
        assert result.exit_code == 0
        assert f"accelsim {command}" in result.stdout.split("Example", 1)[1]


def test_help_and_version_import_nothing_heavy() -> None:
    for flag in ("--help", "--version"):
        done = run_python("-X", "importtime", "-m", "accelsim", flag)
        assert done.returncode == 0, done.stderr
        imported = {line.rsplit("|", 1)[-1].strip().partition(".")[0] for line in done.stderr.splitlines()}
        assert "accelsim" in imported
        assert not imported & set(HEAVY)


BAD = {
    "unknown command": (("simulat", "a", "b"), "Did you mean 'simulate'?"),
    "unknown option": ((*RUN, "--jsn", "x"), "--json"),
    "missing argument": (("simulate", "apsq_edge_ws"), "Missing argument 'WORKLOAD'"),
    "missing spec file": (("area", "missing.yaml"), "missing.yaml: spec: no such file"),
    "unknown spec": (("area", "apsq_edge_w"), "did you mean 'apsq_edge_ws'?"),
    "unknown workload": (("simulate", "apsq_edge_ws", "bert_bas"), "did you mean 'bert_base'?"),
    "missing trace file": (("simulate", "apsq_edge_ws", "./missing.json"), "missing.json: file: No such file"),
    "malformed matmul": (("simulate", "apsq_edge_ws", "matmul:3x"), "matmul:128x768x3072"),
    "matmul of zero": (("simulate", "apsq_edge_ws", "matmul:0x2x2"), "dims from 1 to"),
    "json suffix": ((*RUN, "--json", "report.txt"), "use .json"),
    "csv suffix": ((*RUN, "--csv", "report"), "the name has no suffix"),
    "plot suffix": ((*RUN, "--plot", "report.gif"), "use .png or .svg or .pdf"),
    "output folder missing": ((*RUN, "--json", "missing/report.json"), "mkdir -p missing"),
    "output is a folder": ((*RUN, "--json", "."), "this is a folder"),
    "output name too long": ((*RUN, "--json", "x" * 300 + ".json"), "name a writable place"),
    "one file twice": ((*RUN, "--json", "a.json", "--csv", "./a.json"), "use .csv"),
    "override without =": ((*RUN, "--set", "arch.array.po"), "write key=value"),
    "override without prefix": ((*RUN, "--set", "array.po=4"), "starts with arch. or workload."),
    "override twice": ((*RUN, "--set", "arch.array.po=4", "--set", "arch.array.po=8"), "given twice"),
    "unknown arch key": ((*RUN, "--set", "arch.aray.po=4"), "did you mean 'array'?"),
    "unknown workload key": ((*RUN, "--set", "workload.psum.bit=8"), "did you mean 'workload.psum.bits'?"),
    "arch value out of range": ((*RUN, "--set", "arch.array.po=0"), "at least 1"),
    "psum bits out of range": ((*RUN, "--set", "workload.psum.bits=1"), "bits 2..15 are APSQ"),
    "psum bits no number": ((*RUN, "--set", "workload.psum.bits=lots"), "give a whole number"),
    "psum bits unsupported": ((*RUN, "--set", "workload.psum.bits=5"), "takes bits 4, 6, 8, 12"),
    "no psum engine": (("simulate", "systolic_32x32", MATMUL, "--set", "workload.psum.bits=8"), "add a psum_engine"),
    "group size alone": ((*RUN, "--set", "workload.psum.group_size=2"), "also give workload.psum.bits"),
    "workload key without workload": (("area", "apsq_edge_ws", "--set", "workload.psum.bits=8"), "has no workload"),
    "node outside the tables": (("explain", "apsq_edge_ws", "--set", "arch.technology.node_nm=180"), "use 7 to 130 nm"),
    "unknown schema": (("schema", "arc"), "'arch', 'trace'"),
    "trace without out": (("trace", "bert-base", "--seq", "8"), "Missing option '--out'"),
    "trace suffix": (("trace", "bert-base", "--seq", "8", "--out", "t.gz"), "use .json or .json.gz"),
    "trace seq zero": (("trace", "bert-base", "--seq", "0", "--out", "t.json"), "x>=1"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_answered_with_its_name_and_the_fix(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    args, answer = BAD[case]
    result = invoke(*args)
    assert result.exit_code == 2
    assert answer in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert "fix: " in result.stderr or "--help" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_bad_output_is_told_at_once() -> None:
    result = invoke(*RUN, "--json", "a.txt", "--csv", "/missing/b.csv", "--plot", "c.bmp")
    assert result.exit_code == 2
    assert result.stderr.count("fix: ") == 3


def test_an_input_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "work.json"
    path.write_text("{}")
    result = invoke("simulate", "apsq_edge_ws", str(path), "--json", str(path))
    assert result.exit_code == 2
    assert "already an input" in result.stderr
    assert path.read_text() == "{}"


def test_trace_writes_what_simulate_reads(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    path = tmp_path / "bert.json.gz"
    made = invoke("trace", "bert-base", "--seq", "16", "--out", str(path))
    assert made.exit_code == 0, made.output
    assert "oracle: equal (torch FlopCounterMode" in made.stdout
    assert "unknown ops: none" in made.stdout
    assert invoke("simulate", "apsq_edge_ws", str(path)).exit_code == 0


@pytest.mark.parametrize(
    ("args", "answer"),
    [
        (("bert", "--seq", "8"), "did you mean 'bert-base'?"),
        (("bert-base",), "--seq: encode needs it"),
        (("bert-base", "--seq", "8", "--phase", "prefill"), "has no phase"),
        (("bert-base", "--seq", "8", "--context", "8"), "encode has none"),
        (("llama2-7b", "--phase", "decode"), "--context: a decode needs it"),
        (("llama2-7b", "--phase", "decode", "--seq", "8", "--context", "8"), "leave --seq out"),
        (("bert-base", "--seq", "9999"), "positions end at 512"),
        (("bert-base", "--size", "224"), "--size: this model reads tokens"),
        (("vit-b/16", "--seq", "8"), "--seq: this model reads an image"),
        ((), "give a name like bert-base, or --module, or --config"),
        (("bert-base", "--config", "bert.json"), "one of them"),
        (("--config", "missing.json", "--seq", "8"), "missing.json: file: No such file"),
        (("--module", "missing.py:build"), "missing.py: build: no such file"),
        (("--module", "missing.py:build", "--size", "8"), "--size: --module takes no sizes"),
        (("bert-base", "--seq", "8", "--set", "arch.array.po=4"), "this command has no accelerator"),
    ],
)
def test_trace_answers_mistakes(args: tuple[str, ...], answer: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    result = invoke("trace", *args, "--out", str(tmp_path / "t.json"))
    assert result.exit_code == 2, result.output
    assert answer in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_trace_of_a_config_and_of_a_function(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    config, module, path = tmp_path / "tiny.json", tmp_path / "mine.py", tmp_path / "t.json"
    config.write_text('{"model_type": "bert", "num_hidden_layers": 1, "odd": 1}')
    module.write_text("from torch import nn, zeros\ndef build(): return nn.Linear(8, 4).eval(), zeros(2, 8)\n")
    made = invoke("trace", "--config", str(config), "--seq", "16", "--out", str(path))
    assert made.exit_code == 0, made.output
    assert "oracle: equal" in made.stdout
    assert "config keys that the model does not read: odd" in made.stdout
    made = invoke("trace", "--module", f"{module}:build", "--out", str(path))
    assert made.exit_code == 0, made.output
    assert "build: 1 ops, 64 MACs" in made.stdout


def test_trace_without_torch_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['torch'] = None\nfrom accelsim.cli import main\nmain()"
    done = run_python("-c", code, "trace", "bert-base", "--seq", "8", "--out", str(tmp_path / "t.json"))
    assert done.returncode == 2
    assert "torch: not installed" in done.stderr
    assert "pip install -c constraints.txt -e '.[torch]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_real_process_succeeds_and_fails_with_the_right_codes() -> None:
    assert run_python("-m", "accelsim", *RUN).returncode == 0
    assert run_python("-m", "accelsim", "--version").stdout.startswith("accelsim ")
    wrong = run_python("-m", "accelsim", "simulate", "apsq_edge", MATMUL)
    assert wrong.returncode == 2
    assert wrong.stdout == ""
    assert "Traceback" not in wrong.stderr


def test_a_closed_pipe_is_quiet() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "accelsim", "schema"], cwd=ROOT, stdout=write, stderr=subprocess.PIPE, timeout=60
    )  # fmt: skip
    os.close(write)
    assert done.returncode == 1
    assert done.stderr == b""


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_exits_130_without_words(error: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise error(7)

    monkeypatch.setattr("accelsim.spec.load_arch", stop)
    result = invoke(*RUN)
    assert result.exit_code == (130 if error is KeyboardInterrupt else 7)
    assert result.output.strip() == ""
