"""Compressing models: plans, reports, recipes and their mistakes, on every kind of model; the traces after it."""

from __future__ import annotations

import ast
import copy
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import nn  # noqa: E402

import algos  # noqa: E402
import workloads  # noqa: E402
from accelsim import UserError, load_arch, simulate  # noqa: E402
from accelsim.schemes import PsumScheme, QuantScales, QuantScheme  # noqa: E402
from accelsim.workload import Trace  # noqa: E402
from accelsim.workload.trace_check import check_trace  # noqa: E402
from accelsim.workload.trace_json import from_json, to_json  # noqa: E402
from algos.registry import CONFIGS  # noqa: E402
from workloads.efficientvit import Classification  # noqa: E402

SIZES = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
IDS = torch.arange(24).reshape(2, 12) % 50


def _image(size: int) -> torch.Tensor:
    return torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))


def _bert() -> tuple[nn.Module, torch.Tensor]:
    return transformers.BertModel(transformers.BertConfig(vocab_size=50, **SIZES)), IDS


def _llama() -> tuple[nn.Module, torch.Tensor]:
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(vocab_size=50, num_key_value_heads=2, tie_word_embeddings=True, **SIZES)
    ), IDS


def _gpt2() -> tuple[nn.Module, torch.Tensor]:
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    return transformers.GPT2Model(transformers.GPT2Config(n_embd=32, n_layer=1, n_head=4, vocab_size=50, **ends)), IDS


def _vit() -> tuple[nn.Module, torch.Tensor]:
    return transformers.ViTForImageClassification(transformers.ViTConfig(image_size=32, patch_size=8, **SIZES)), _image(
        32
    )


def _segformer() -> tuple[nn.Module, torch.Tensor]:
    config = transformers.SegformerConfig(
        hidden_sizes=[8, 16, 20, 32], depths=[1, 1, 1, 1], decoder_hidden_size=16, num_labels=5
    )
    return transformers.SegformerForSemanticSegmentation(config), _image(64)


def _plain() -> tuple[nn.Module, torch.Tensor]:
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(2048, 10)), _image(32)


MODELS: dict[str, Callable[[], tuple[nn.Module, torch.Tensor]]] = {
    "bert": _bert,
    "llama": _llama,
    "gpt2": _gpt2,
    "vit": _vit,
    "segformer": _segformer,
    "efficientvit_b1": lambda: (Classification(), _image(32)),
    "plain": _plain,
}
APSQ = algos.ApsqConfig(bits=8, group_size=2, k_tile=8, weight_bits=4, activation_bits=6)


def _first(output: object) -> torch.Tensor:
    return output if isinstance(output, torch.Tensor) else output[0]  # type: ignore[index]


def _model(name: str) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    model, inputs = MODELS[name]()
    return model.eval(), inputs


def _schemes(trace: Trace, name: str) -> tuple[object, ...]:
    tensors = trace.tensor_by_id()
    op = next(op for op in trace.phases[0].ops if op.name == name)
    return tensors[op.inputs[0]].quant, tensors[op.inputs[1]].quant, op.psum


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_compressed_and_exported(name: str) -> None:
    """The plan is what is done; the trace has the same ops, with schemes; wide settings change little."""
    model, inputs = _model(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    planned = algos.plan(model, APSQ)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    packed = copy.deepcopy(model)
    report = algos.compress_(packed, APSQ, [inputs])
    assert report == planned
    assert not report.skipped
    with torch.no_grad():
        assert torch.isfinite(_first(packed(inputs))).all()
    plain, trace = (workloads.export_trace(each, [inputs], "encode") for each in (model, packed))
    assert check_trace(trace) == []
    assert from_json(to_json(trace), "t.json") == trace
    assert trace.macs == trace.oracle.macs == plain.macs
    assert [(op.kind, op.dims) for op in trace.phases[0].ops] == [(op.kind, op.dims) for op in plain.phases[0].ops]
    products = [op for op in trace.phases[0].ops if op.kind in ("matmul", "conv")]
    constant = [op for op in products if trace.tensor_by_id()[op.inputs[0]].kind == "constant"]  # LLaMA's angles
    assert {op.psum for op in products if op not in constant} <= {APSQ.scheme, None}
    assert sum(op.psum is None for op in products) <= (1 if name == "llama" else 0)
    kinds = Counter((tensor.kind, tensor.bits) for tensor in trace.tensors if tensor.quant is not None)
    assert set(kinds) <= {("weight", 4), ("activation", 6), ("kv", 6)}
    wide = copy.deepcopy(model)
    algos.compress_(wide, algos.QuantConfig(weight_bits=14, activation_bits=14), [inputs])
    with torch.no_grad():
        expected = _first(model(inputs))
        assert (_first(wide(inputs)) - expected).norm() < 0.02 * expected.norm()


def test_a_compressed_trace_runs_on_an_accelerator() -> None:
    model, inputs = _model("bert")
    algos.compress_(model, algos.load_recipe("apsq_int8_gs2"), [inputs])
    trace = workloads.export_trace(model, [inputs], "encode")
    scheme = PsumScheme(8, 2, 8)
    dense = "encoder.layer.0.intermediate.dense"
    assert _schemes(trace, dense) == (QuantScheme(8), QuantScheme(8, "channel"), scheme)
    assert _schemes(trace, "encoder.layer.0.attention.self.product_0") == (QuantScheme(8), QuantScheme(8), scheme)
    report = simulate(load_arch("apsq_edge_ws"), trace)
    assert not report.infeasible


def test_training_learns_every_scale() -> None:
    """Through psums of three bits, a small network comes nearer to what it was, at a usual learning rate."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
    inputs = torch.randn(256, 64)
    wanted = model(inputs).detach()
    algos.compress_(model, algos.ApsqConfig(bits=3, k_tile=8), [inputs])
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for _ in range(60):
        loss = (model(inputs) - wanted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        losses.append(float(loss.detach()))
        optimiser.step()
    assert min(losses[-5:]) < 0.5 * losses[0]
    scales = {name: value for name, value in model.named_parameters() if name.endswith("log2_scale")}
    assert len(scales) == 2 * 3
    assert all(value.grad is not None and bool((value.grad != 0).any()) for value in scales.values())


def test_a_calibrated_state_is_loaded() -> None:
    model, inputs = _model("bert")
    other = copy.deepcopy(model)
    algos.compress_(model, APSQ, [inputs])
    algos.compress_(other, APSQ)
    with pytest.raises(ValueError, match=r"run algos\.calibrate_"):
        other(inputs)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(inputs).last_hidden_state, model(inputs).last_hidden_state)
    scales = model.encoder.layer[0].output.dense.weight_quantiser.scales()
    assert QuantScales.from_dict(scales.to_dict()) == scales


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (algos.QuantConfig(layers=("encoder.layr.0",)), "did you mean 'encoder.layer.0'"),
        (algos.QuantConfig(skip=("*.querry",)), "matches no layer"),
        (algos.QuantConfig(layers=("embeddings",)), "changes no layer"),
        (algos.QuantConfig(layers=("pooler.dense",), skip=("pooler",)), "pooler.dense: named in skip"),
    ],
)
def test_mistakes_leave_the_model_as_it_is(config: algos.QuantConfig, told: str) -> None:
    model, inputs = _model("bert")
    with pytest.raises(UserError, match=told.replace("*", r"\*")):
        algos.compress_(model, [algos.QuantConfig(), config], [inputs])
    assert isinstance(model.pooler.dense, nn.Linear)
    assert not algos.plan(model, config, strict=False).changed or config.skip == ("*.querry",)


def test_skipped_layers_have_reasons() -> None:
    fused = nn.TransformerEncoderLayer(16, 2, 32)
    reasons = {
        change.path: change.skipped for change in algos.plan(fused, algos.QuantConfig(skip=("linear2",))).skipped
    }
    assert reasons == {
        "self_attn": "computes its products in one fused call",
        "self_attn.out_proj": "its MultiheadAttention never calls it",
        "linear2": "named in skip",
    }
    with pytest.raises(UserError, match="pads with reflect"):
        algos.plan(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")), algos.QuantConfig())
    twice = nn.Sequential(nn.Linear(4, 4))
    algos.compress_(twice, algos.QuantConfig())
    with pytest.raises(UserError, match="no layer that apsq knows"):
        algos.plan(twice, algos.ApsqConfig())


@pytest.mark.parametrize("name", algos.recipe_names())
def test_shipped_recipes_are_read(name: str) -> None:
    steps = algos.load_recipe(name)
    assert steps
    assert all(type(step) is CONFIGS[step.name] for step in steps)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "recipe_version: 1\nsteps:\n  - scheme: apsk\n",
            ["r.yaml:3:13: steps[0].scheme: found 'apsk'", "did you mean 'apsq'"],
        ),
        (
            "recipe_version: 1\nsteps:\n  - scheme: apsq\n    bit: 8\n",
            ["r.yaml:4:10: steps[0].bit", "did you mean 'bits'"],
        ),
        (
            "recipe_version: 1\nsteps:\n  - scheme: apsq\n    bits: '8'\n",
            ["r.yaml:4:11: steps[0].bits", "valid integer"],
        ),
        ("recipe_version: 1\nsteps:\n  - scheme: apsq\n    bits: 99\n", ["psum bits 99 is outside"]),
        ("recipe_version: 1\nsteps:\n  - scheme: apsq\n    bits: 32\n", ["use the scheme quant"]),
        ("recipe_version: 1\nsteps:\n  - bits: 8\n", ["steps[0].scheme: missing", "allowed: apsq"]),
        ("recipe_version: 2\nsteps:\n  - scheme: quant\n", ["recipe_version: found 2"]),
        ("step: []\n", ["step: no such key", "did you mean 'steps'", "recipe_version: missing"]),
        ("recipe_version: 1\nsteps: []\n", ["steps: no list of schemes"]),
        ("recipe_version: 1\nrecipe_version: 1\nsteps: 3\n", ["duplicate key", "steps: no list"]),
        ("recipe_version: 1\nsteps:\n  - scheme: quant\n    layers: !!python/name:os.system\n", ["not plain data"]),
        ("a: &x 1\nb: *x\n", ["an alias"]),
        ("steps: [\n", ["not readable as YAML"]),
        ("", ["not a mapping"]),
    ],
)
def test_recipe_mistakes(tmp_path: Path, text: str, told: list[str]) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        algos.load_recipe(file)
    assert all(part in str(caught.value) for part in told), str(caught.value)


def test_recipes_by_name() -> None:
    with pytest.raises(UserError, match="did you mean 'w8a8'"):
        algos.load_recipe("w8a9")
    with pytest.raises(UserError, match="cannot be read"):
        algos.load_recipe("no/such.yaml")


def test_algos_knows_only_schemes_and_errors() -> None:
    for file in Path(algos.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.ImportFrom)
                and node.module
                and node.module.split(".")[0] in ("accelsim", "workloads")
            ):
                assert node.module.startswith(("accelsim.schemes", "accelsim.errors")), f"{file.name}: {node.module}"


def test_importing_imports_no_torch() -> None:
    code = "import sys, algos; assert not {'torch', 'numba'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_model_without_weights_is_compressed() -> None:
    """On the meta device, as large models are traced."""
    with torch.device("meta"):
        model, _ = MODELS["llama"]()
        algos.compress_(model.eval(), APSQ)
        trace = workloads.export_trace(model, [torch.zeros((1, 12), dtype=torch.long)], "prefill")
    assert _schemes(trace, "model.layers.0.mlp.up_proj") == (QuantScheme(6), QuantScheme(4, "channel"), APSQ.scheme)
