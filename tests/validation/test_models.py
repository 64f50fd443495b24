"""Models by name, by config file and by a user's function; and the traces that ship."""

from __future__ import annotations

import importlib
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import workloads  # noqa: E402
from accelsim.errors import UserError  # noqa: E402
from accelsim.workload import ConvDims, MatmulDims, VectorDims, load_trace, shipped_workloads, trace_bytes  # noqa: E402
from workloads.ship import SHIPPED  # noqa: E402

MACS = {
    "bert_base": 11_174_215_680,
    "efficientvit_b1": 3_090_415_616,
    "llama2_7b_decode_2048": 7_144_210_432,
    "llama2_7b_decode_4096": 7_681_081_344,
    "llama2_7b_prefill_2048": 14_630_806_093_824,
    "llama2_7b_prefill_4096": 31_460_635_443_200,
    "resnet_50": 4_089_184_256,
    "segformer_b0": 8_387_821_568,
    "vit_b_16": 17_563_828_224,
}
MOST_BYTES = 60_000
META = torch.device("meta")


def test_every_shipped_trace_has_its_command() -> None:
    assert sorted(SHIPPED) == sorted(MACS) == shipped_workloads()


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_trace_is_exported_again(name: str) -> None:
    shipped, again = load_trace(name), SHIPPED[name]()
    assert shipped.name == name
    assert shipped.macs == shipped.oracle.macs == again.oracle.macs == MACS[name]
    assert not shipped.unknown_ops
    assert len(trace_bytes(shipped)) < MOST_BYTES
    # The provenance holds the versions of torch and transformers, which may be others here.
    assert trace_bytes(replace(shipped, provenance=())) == trace_bytes(replace(again, provenance=()))


def test_efficientvit_b1_is_the_published_one() -> None:
    """Cai et al., ICCV 2023 and the model list of its authors; they print two digits."""
    whole, classifier = load_trace("efficientvit_b1"), workloads.build("efficientvit-b1-classifier")
    for trace, millions, gmacs in ((whole, 4.8, 3.1), (classifier, 9.1, 0.52)):
        assert int(dict(trace.provenance)["parameters"]) / 1e6 == pytest.approx(millions, abs=0.05)
        assert trace.macs / 1e9 == pytest.approx(gmacs, rel=0.01)
        assert trace.macs == trace.oracle.macs


def test_efficientvit_attention() -> None:
    dims = [op.dims for op in load_trace("efficientvit_b1").phases[0].ops]
    # Stage 3 at 32 x 32: 8 heads at each of 2 scales; values and a row of ones, times keys, times queries.
    assert dims.count(MatmulDims(16, 1, 17, 1024, 16)) == 3
    assert dims.count(MatmulDims(16, 1, 17, 16, 1024)) == 3
    assert dims.count(ConvDims(1, 384, 1, 1, 32, 32, 5, 5, padding=(2, 2))) == 3
    assert dims.count(ConvDims(1, 24, 16, 16, 32, 32, 1, 1)) == 3


def test_segformer_operands() -> None:
    ops = {op.name: op for op in load_trace("segformer_b0").phases[0].ops}
    first = "segformer.stages.0.blocks.0.attention"
    assert ops[f"{first}.qk"].dims == MatmulDims(1, 1, 128 * 128, 32, 256)
    assert ops[f"{first}.softmax"].dims == VectorDims(128 * 128, 256)
    assert [op.function for op in ops.values()].count("upsample_bilinear") == 3
    assert ops["decode_head.classifier"].dims == ConvDims(1, 1, 256, 150, 128, 128, 1, 1)


@pytest.mark.parametrize(
    ("asked", "sizes", "name", "macs"),
    [
        ("ViT-B/16", {}, "vit_b_16", MACS["vit_b_16"]),
        ("vit_b_16", {"size": 384}, "vit_b_16_384", 55_484_350_464),
        ("resnet-50", {"batch": 3}, "resnet_50", 3 * MACS["resnet_50"]),
        ("segformer-b0", {"size": 256}, "segformer_b0_256", None),
    ],
)
def test_images_of_any_size(asked: str, sizes: dict[str, int], name: str, macs: int | None) -> None:
    trace = workloads.build(asked, **sizes)
    assert trace.name == name
    assert trace.macs == trace.oracle.macs == (macs or trace.macs)


def write(folder: Path, **entries: object) -> str:
    path = folder / "small.json"
    path.write_text(json.dumps(entries))
    return str(path)


def test_mixtral_from_its_config(tmp_path: Path) -> None:
    """Routing (topk, sort, histc) has no op in a trace and no MACs; it is listed."""
    file = write(tmp_path, model_type="mixtral", architectures=["MixtralForCausalLM"], num_hidden_layers=2)
    trace = workloads.trace_config(file, seq=64)
    assert trace.name == "small_prefill_64"
    assert trace.macs == trace.oracle.macs == 58_925_776_896
    assert len(trace.phases[0].ops) == 65
    assert {op.function for op in trace.unknown_ops} == {"topk", "sort", "histc"}
    decode = workloads.trace_config(file, phase="decode", context=64)
    assert (decode.phases[0].tokens, decode.phases[0].context) == (1, 64)
    assert decode.macs == decode.oracle.macs


def test_t5_from_its_config(tmp_path: Path) -> None:
    file = write(tmp_path, model_type="t5", architectures=["T5ForConditionalGeneration"], odd=1)
    trace = workloads.trace_config(file, seq=64)
    assert trace.macs == trace.oracle.macs == 3_946_840_064
    assert not trace.unknown_ops
    assert dict(trace.provenance)["config.keys_not_read"] == "odd"
    cross = [op for op in trace.phases[0].ops if op.name.endswith("decoder.block.0.layer.1.EncDecAttention.qk")]
    assert [op.dims for op in cross] == [MatmulDims(8, 1, 64, 64, 64)]


@pytest.mark.parametrize(
    ("entries", "sizes", "macs"),
    [
        ({"model_type": "bert"}, {"seq": 128}, MACS["bert_base"]),
        ({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_layer": 1}, {"seq": 8}, None),
        ({"model_type": "swin"}, {}, None),
        ({"model_type": "resnet", "architectures": ["ResNetForImageClassification"]}, {"size": 64}, None),
    ],
)
def test_other_configs(entries: dict[str, object], sizes: dict[str, int], macs: int | None, tmp_path: Path) -> None:
    trace = workloads.trace_config(write(tmp_path, **entries), **sizes)
    assert trace.macs == trace.oracle.macs == (macs or trace.macs)
    assert not trace.unknown_ops


@pytest.mark.parametrize(
    ("entries", "sizes", "answer"),
    [
        ({}, {"seq": 8}, "model_type: missing"),
        ({"model_type": "mixtrl"}, {"seq": 8}, "did you mean 'mixtral'"),
        ({"model_type": "bert", "architectures": ["BertForMaskdLM"]}, {"seq": 8}, "did you mean 'BertForMaskedLM'"),
        ({"model_type": "bert", "num_hidden_layer": 2}, {"seq": 8}, "did you mean 'num_hidden_layers'?"),
        ({"model_type": "bert", "hidden_size": 100}, {"seq": 8}, "raised ValueError: The hidden size (100) is not a"),
        ({"model_type": "bert", "hidden_size": "x"}, {"seq": 8}, "expected int, got str"),
        ({"model_type": "bert"}, {}, "--seq: encode needs it"),
        ({"model_type": "bert"}, {"seq": 513}, "its positions end at 512"),
        ({"model_type": "bert"}, {"context": 8, "phase": "decode"}, "has no phase 'decode'"),
        ({"model_type": "vit"}, {"seq": 8}, "reads an image, not tokens"),
        ({"model_type": "resnet"}, {}, "--size: the model needs it"),
        ({"model_type": "vit"}, {"size": 100}, "raised ValueError: Input image size (100*100)"),
        ({"model_type": "whisper"}, {"seq": 8}, "reads input_features"),
    ],
)
def test_config_mistakes(entries: dict[str, object], sizes: dict[str, int], answer: str, tmp_path: Path) -> None:
    file = write(tmp_path, **entries)
    with pytest.raises(UserError, match=re.escape(answer)) as caught:
        workloads.trace_config(file, **sizes)
    assert all(fault.file == file or fault.file == "workload" for fault in caught.value.faults)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (b"[1", ":1:3: JSON: Expecting ',' delimiter"),
        (b"[1]", "a config is one JSON object"),
        (b"\xff", "save the config as UTF-8 JSON"),
        (b'{"model_type": "bert", "model_type": "t5"}', "model_type: this key stands here twice"),
        (b" " * (2**20 + 1), "a config has at most"),
    ],
)
def test_config_files_that_are_none(text: bytes, answer: str, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_bytes(text)
    with pytest.raises(UserError, match=re.escape(answer)):
        workloads.trace_config(tmp_path / "c.json", seq=8)
    with pytest.raises(UserError, match="No such file"):
        workloads.trace_config(tmp_path / "none.json", seq=8)


@pytest.mark.parametrize(
    ("name", "sizes", "answer"),
    [
        ("bert-bas", {"seq": 8}, "did you mean 'bert-base'"),
        ("bert_base", {"seq": 8, "phase": "decode"}, "no phase 'decode'"),
        ("bert-base", {"seq": 0}, "at least 1"),
        ("bert-base", {"seq": 8, "batch": 0}, "at least 1"),
        ("bert-base", {"seq": 8, "size": 8}, "give --seq instead"),
        ("bert-base", {"seq": 513}, "its positions end at 512"),
        ("llama2-7b", {"phase": "decode", "seq": 2048}, "a decode adds one token, not 2048"),
        ("llama2-7b", {"seq": 2**20 + 1}, "at most 1048576"),
        ("llama2-7b", {"seq": 2**20, "batch": 2}, "at most 524288"),
        ("segformer-b0", {"seq": 8}, "--size sets the pixels"),
        ("segformer-b0", {"size": 100}, "use a multiple of 32, like 96"),
        ("segformer-b0", {"size": 2**15}, "at most 16384"),
        ("segformer-b0", {"phase": "prefill"}, "has no phase 'prefill'"),
    ],
)
def test_mistakes_in_sizes(name: str, sizes: dict[str, object], answer: str) -> None:
    with pytest.raises(UserError, match=re.escape(answer)):
        workloads.build(name, **sizes)


MODULE = """import sys
from dataclasses import dataclass
import torch
from torch import nn
from beside import WIDTH

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(WIDTH, 4)
    def forward(self, rows):
        return torch.relu(self.linear(rows))

class Reads(Net):
    def forward(self, rows):
        return rows * int(rows.sum())

def named(): return Net().eval(), {"rows": torch.zeros(2, WIDTH)}
def plain(): return Net().eval(), torch.zeros(2, WIDTH)
def listed(): return [Net().eval(), [torch.zeros(2, WIDTH)]]
def on_cpu(): return Net().to_empty(device="cpu").eval(), torch.zeros(2, WIDTH, device="cpu")
def on_both(): return Net().to_empty(device="cpu").eval(), torch.zeros(2, WIDTH)
def training(): return Net(), torch.zeros(2, WIDTH)
def alone(): return Net().eval()
def nothing(): return None
def number(): return Net().eval(), 5
def empty(): return Net().eval(), {}
def fails(): raise ValueError("no luck")
def leaves(): sys.exit(3)
def needs(rows): return None
def narrow(): return Net().eval(), torch.zeros(2, 3)
def reads(): return Reads().eval(), torch.zeros(2)
value = 3
"""


@pytest.fixture
def module(tmp_path: Path) -> str:
    (tmp_path / "beside.py").write_text("WIDTH = 8\n")
    (tmp_path / "mine.py").write_text(MODULE)
    return str(tmp_path / "mine.py")


@pytest.mark.parametrize("function", ["named", "plain", "listed", "on_cpu"])
def test_a_function_of_the_user(function: str, module: str) -> None:
    trace = workloads.trace_module(f"{module}:{function}", "prefill")
    assert (trace.name, trace.phases[0].kind) == (function, "prefill")
    assert trace.macs == trace.oracle.macs == 2 * 8 * 4


@pytest.mark.parametrize(
    ("function", "answer"),
    [
        ("training", "call module.eval()"),
        ("alone", "returned a value of type Net"),
        ("nothing", "returned a value of type NoneType"),
        ("number", "no tensor in its inputs, a value of type int"),
        ("empty", "no tensor in its inputs, a value of type dict"),
        ("fails", ":28:14: fails: raised ValueError: no luck"),
        ("leaves", ":29:15: leaves: raised SystemExit: 3"),
        ("needs", "cannot be called: missing a required argument: 'rows'"),
        ("narrow", ":12:27: narrow: raised RuntimeError: "),
        ("on_both", ":12:27: on_both: raised RuntimeError: "),
        ("reads", "a meta tensor lacks"),
        ("value", "a value of type int, not a function"),
        ("nmed", "did you mean 'named'? allowed: alone, empty"),
    ],
)
def test_what_a_function_gets_wrong(function: str, answer: str, module: str) -> None:
    with pytest.raises(UserError, match=re.escape(answer)) as caught:
        workloads.trace_module(f"{module}:{function}")
    assert {fault.file for fault in caught.value.faults} == {module}


def test_files_that_cannot_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "syntax.py").write_text("def f(:\n")
    (tmp_path / "imports.py").write_text("\nimport not_there\n")
    for spec, answer in {
        "syntax.py:f": ":1:7: f: raised SyntaxError: invalid syntax",
        "imports.py:f": ":2:1: f: raised ModuleNotFoundError: No module named 'not_there'",
        "none.py:f": "no such file",
        "syntax.py": "write path.py:function",
        "syntax.txt:f": "write path.py:function",
    }.items():
        with pytest.raises(UserError, match=re.escape(answer)):
            workloads.trace_module(str(tmp_path / spec))


def test_our_own_mistakes_are_not_blamed_on_the_user(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(importlib.import_module("workloads.graph").Graph, "value", property(broken))
    broken.__code__ = broken.__code__.replace(co_filename=importlib.import_module("workloads.graph").__file__)
    with pytest.raises(AssertionError):
        workloads.trace_module(f"{module}:plain")
