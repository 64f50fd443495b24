"""The exporter against torch's own counter and against counts by hand."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

import workloads  # noqa: E402
from accelsim.errors import UserError  # noqa: E402
from accelsim.schemes import PsumScheme  # noqa: E402
from accelsim.workload import ConvDims, MatmulDims, Op, Trace, VectorDims, load_trace  # noqa: E402
from accelsim.workload.trace_check import check_trace  # noqa: E402

META = torch.device("meta")


def ops_of(trace: Trace) -> dict[str, Op]:
    assert check_trace(trace) == []
    return {op.name: op for op in trace.phases[0].ops}


def ids(batch: int, tokens: int) -> dict[str, object]:
    return {"input_ids": torch.zeros((batch, tokens), dtype=torch.long, device=META)}


def llama(**changes: object) -> object:
    sizes = {"vocab_size": 100, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 8, "num_key_value_heads": 4}
    config = transformers.LlamaConfig(**{**sizes, **heads, **changes})
    with META:
        return transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()


def test_bert_base_against_torchs_counter() -> None:
    with META:
        model = transformers.BertModel(transformers.BertConfig()).eval()
        model.config._attn_implementation = "eager"
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(**ids(1, 128))
    assert counter.get_total_flops() // 2 == load_trace("bert_base").macs


def test_bert_operands() -> None:
    ops = ops_of(load_trace("bert_base"))
    tensors = load_trace("bert_base").tensor_by_id()
    layer = "encoder.layer.3.attention.self"
    assert ops[f"{layer}.query"].dims == MatmulDims(1, 1, 128, 768, 768)
    assert ops[f"{layer}.qk"].dims == MatmulDims(12, 1, 128, 64, 128)
    assert ops[f"{layer}.softmax"].dims == VectorDims(12 * 128, 128)
    assert ops[f"{layer}.pv"].dims == MatmulDims(12, 1, 128, 128, 64)
    assert tensors[ops[f"{layer}.query"].inputs[1]].kind == "weight"
    assert (tensors[ops[f"{layer}.query"].inputs[2]].kind, tensors[ops[f"{layer}.query"].inputs[2]].bits) == (
        "constant",
        32,
    )
    assert not any(op.causal for op in ops.values())
    first_token = tensors[ops["pooler.dense"].inputs[0]]
    assert (first_token.shape, first_token.view_of) == ((1, 768), "encoder.layer.11.output.LayerNorm:out")
    assert tensors[ops["embeddings.word_embeddings"].inputs[0]].shape == (128, 768)


@pytest.mark.parametrize(("phase", "seq"), [("prefill", 64), ("decode", 64), ("decode", 4095)])
def test_llama2_7b_against_the_hand_formula(phase: str, seq: int) -> None:
    size = {"context" if phase == "decode" else "seq": seq}
    trace = workloads.build("llama2-7b", phase=phase, **size)
    new, context = (seq, 0) if phase == "prefill" else (1, seq)
    linear = 32 * (4 * 4096**2 + 3 * 4096 * 11008) + 4096 * 32000
    attention = 32 * 2 * 4096 * (context + new)
    assert trace.macs == trace.oracle.macs == new * (linear + attention)
    phase_of = trace.phases[0]
    assert (phase_of.tokens, phase_of.context, phase_of.batch) == (new, context, 1)
    kinds = [op.kind for op in phase_of.ops]
    assert (kinds.count("kv_append"), kinds.count("rotate"), kinds.count("normalize")) == (64, 64, 65)
    assert all(op.dims == VectorDims(32 * new, 128) for op in phase_of.ops if op.kind == "kv_append")
    tensors = trace.tensor_by_id()
    cached = [tensors[op.inputs[1]] for op in phase_of.ops if op.name.endswith((".qk", ".pv"))]
    assert {(tensor.kind, tensor.shape) for tensor in cached} == {("kv", (1, 32, context + new, 128))}
    assert not trace.unknown_ops


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_grouped_queries_share_a_kv_head(attention: str) -> None:
    model = llama()
    model.config._attn_implementation = attention  # type: ignore[attr-defined]
    trace = workloads.export_trace(model, ids(2, 16), "prefill")
    ops = ops_of(trace)
    assert ops["model.layers.0.self_attn.qk"].dims == MatmulDims(b=2 * 4, g=2, m=16, k=8, n=16)
    assert ops["model.layers.0.self_attn.pv"].dims == MatmulDims(b=2 * 4, g=2, m=16, k=16, n=8)
    assert ops["model.layers.0.self_attn.softmax"].causal
    assert ops["model.layers.0.self_attn.rope_2"].function == "rope"
    assert trace.macs == trace.oracle.macs


def test_tied_weights_and_widths() -> None:
    trace = workloads.export_trace(llama(tie_word_embeddings=True), ids(1, 4), "prefill", weight_bits=4, kv_bits=6)
    bits = {kind: {item.bits for item in trace.tensors if item.kind == kind} for kind in ("weight", "kv", "activation")}
    assert bits == {"weight": {4}, "kv": {6}, "activation": {8}}
    assert ops_of(trace)["lm_head"].inputs[1] == "model.embed_tokens.weight"


def test_a_padding_mask_stops_the_counter_but_not_the_exporter() -> None:
    config = transformers.BertConfig(num_hidden_layers=1)
    with META:
        model = transformers.AutoModel.from_config(config, attn_implementation="eager").eval()
    masked = {**ids(2, 16), "attention_mask": torch.ones((2, 16), dtype=torch.long, device=META)}
    trace = workloads.export_trace(model, masked, "encode")
    assert trace.oracle.macs is None
    assert "could not run" in trace.oracle.method
    assert trace.macs == workloads.export_trace(model, ids(2, 16), "encode").macs
    assert any("without padding" in text for _, text in trace.provenance)


@pytest.mark.parametrize("tokens", [32, 1])
def test_experts_are_counted_where_torch_does_not(tokens: int) -> None:
    """Two rows a token, spread over 8 experts: 8 rows each, or 2 experts with a row each.

    The counter passes over `_grouped_mm`, so it counts the experts spelled out token by token.
    """
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1, "vocab_size": 100}
    config = transformers.MixtralConfig(**sizes, num_attention_heads=4, num_key_value_heads=2)
    with META:
        model = transformers.AutoModelForCausalLM.from_config(config).to(torch.bfloat16).eval()
    implementation = model.config._experts_implementation
    trace = workloads.export_trace(model, ids(1, tokens), "prefill")
    assert trace.macs == trace.oracle.macs
    assert "experts as batched_mm" in trace.oracle.method
    assert model.config._experts_implementation == implementation
    experts = [op.dims for op in trace.phases[0].ops if ".experts" in op.name and op.kind == "matmul"]
    active, rows = (8, 8) if tokens == 32 else (2, 1)
    assert experts == [MatmulDims(active, 1, rows, 64, 192), MatmulDims(active, 1, rows, 96, 64)]
    assert {op.function for op in trace.unknown_ops} == {"topk", "sort", "histc"}


class ToyCnn(nn.Module):
    """Strided, grouped, depthwise, dilated and one-dimensional convolutions; one skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.strided = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.grouped = nn.Conv2d(8, 16, 3, padding=1, groups=4)
        self.depthwise = nn.Conv2d(16, 16, (5, 3), padding=(2, 1), groups=16)
        self.dilated = nn.Conv2d(16, 8, 3, padding=2, dilation=2)
        self.line = nn.Conv1d(8, 4, 3, stride=2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        first = torch.relu_(self.norm(self.strided(image)))
        result = first + self.dilated(self.depthwise(self.grouped(first)))
        pooled = nn.functional.max_pool2d(result, 2)
        line: torch.Tensor = self.line(pooled.flatten(2))
        return line.mean(-1)


def test_convolutions() -> None:
    with META:
        trace = workloads.export_trace(ToyCnn().eval(), torch.empty(2, 3, 33, 32), "encode")
    ops = ops_of(trace)
    assert trace.macs == trace.oracle.macs
    assert ops["strided"].dims == ConvDims(2, 1, 3, 8, 33, 32, 3, 3, (2, 2), (1, 1))
    assert ops["grouped"].dims == ConvDims(2, 4, 2, 4, 17, 16, 3, 3, (1, 1), (1, 1))
    assert ops["depthwise"].dims == ConvDims(2, 16, 1, 1, 17, 16, 5, 3, (1, 1), (2, 1))
    assert ops["dilated"].dims == ConvDims(2, 1, 16, 8, 17, 16, 3, 3, (1, 1), (2, 2), (2, 2))
    assert ops["line"].dims == ConvDims(2, 1, 8, 4, 1, 64, 1, 3, (1, 2))
    assert ops["strided"].inputs[2] == "norm.folded_bias"
    assert ops["max_pool"].dims == VectorDims(2 * 8 * 8 * 8, 4)
    assert ops["add"].after == (ops["relu"].id, ops["dilated"].id)
    assert not trace.unknown_ops


class Odd(nn.Module):
    """A sort and a transposed convolution, which a trace cannot describe, between two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 4)
        self.up = nn.ConvTranspose1d(2, 2, 1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        ordered = self.up(self.first(rows).sort(-1).values)
        last: torch.Tensor = self.last(ordered)
        return last


def test_unknown_ops_are_listed_and_keep_the_order() -> None:
    with META:
        trace = workloads.export_trace(Odd().eval(), torch.empty(3, 2, 8), "encode")
    assert {(op.function, op.module, op.count) for op in trace.unknown_ops} == {
        ("convolution", "up", 1),
        ("sort", "", 1),
    }
    ops = ops_of(trace)
    assert ops["last"].after == (ops["first"].id,)
    assert trace.oracle.macs == trace.macs + 3 * 2 * 2 * 8


class Kinds(nn.Module):
    """Ops whose operands need care: a slice, an unusual layout, a held operand on the left, in-place writes."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.turned = nn.Linear(8, 24), nn.Linear(5, 6)
        self.left = nn.Parameter(torch.empty(7, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        q, k, v = self.wide(rows).chunk(3, -1)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        turned = self.turned(mixed.transpose(1, 2))
        held = self.left.mul(2) @ mixed[0].t()
        out = torch.zeros_like(mixed)
        out[:, :2] = self.attention(mixed, mixed, mixed, need_weights=False)[0][:, :2]
        return out.sum() + turned.sum() + held.sum()


def test_operands_that_need_care() -> None:
    with META:
        trace = workloads.export_trace(Kinds().eval(), torch.empty(2, 5, 8), "encode")
    ops, tensors = ops_of(trace), trace.tensor_by_id()
    assert trace.macs == trace.oracle.macs
    assert not trace.unknown_ops
    assert [tensors[name].view_of for name in ops["qk"].inputs] == ["wide:out", "wide:out"]
    assert ops["qk"].causal
    assert ops["softmax"].causal
    assert ops["pv"].causal
    assert len(ops["turned"].inputs) == 3
    assert ops["matmul"].dims == MatmulDims(1, 1, 5, 8, 7)
    assert ops["matmul"].inputs[1] == "left"
    assert ops["copy"].dims == VectorDims(2 * 2, 8)
    assert tensors[ops["copy"].outputs[0]].shape == (2, 5, 8)


def test_a_cpu_model_gives_the_same_trace_and_keeps_its_scheme() -> None:
    model = nn.Sequential(nn.Linear(8, 4), nn.GELU()).eval()
    model[0].psum_scheme = PsumScheme(8, 2)
    real = workloads.export_trace(model, torch.ones(2, 8), "encode")
    assert real.phases[0].ops[0].psum == PsumScheme(8, 2)
    virtual = workloads.export_trace(model.to("meta"), torch.ones(2, 8, device="meta"), "encode")
    assert virtual.phases == real.phases
    assert virtual.tensors == real.tensors


def test_the_cache_given_is_not_changed() -> None:
    cache = transformers.DynamicCache()
    with META:
        for layer in range(2):
            cache.update(torch.empty(1, 4, 10, 8), torch.empty(1, 4, 10, 8), layer)
    trace = workloads.export_trace(llama(), {**ids(1, 1), "past_key_values": cache}, "decode")
    assert cache.get_seq_length() == 10
    assert (trace.phases[0].tokens, trace.phases[0].context) == (1, 10)


class Resized(nn.Module):
    """Every way to change a picture's size, and clamps under their several names."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        size = {"size": (8, 8)}
        same = nn.functional.interpolate(image.relu(), size=image.shape[2:], mode="bilinear")
        near = nn.functional.interpolate(same, **size, mode="nearest")
        smooth = nn.functional.interpolate(near, scale_factor=2, mode="bilinear")
        finest = nn.functional.interpolate(smooth, scale_factor=2, mode="bicubic")
        pooled = nn.functional.avg_pool2d(finest, 4, stride=2, padding=1)
        clamped = nn.functional.relu6(nn.functional.hardtanh(pooled)) ** 2
        return torch.maximum(clamped, pooled).amax(-1)


def test_functions_have_one_name_each() -> None:
    with META:
        trace = workloads.export_trace(Resized().eval(), torch.empty(1, 3, 4, 4), "encode")
    assert [(op.kind, op.function, op.dims) for op in trace.phases[0].ops] == [
        ("nonlinear", "relu", VectorDims(12, 4)),
        ("copy", "upsample_nearest", VectorDims(24, 8)),
        ("elementwise", "upsample_bilinear", VectorDims(48, 16)),
        ("elementwise", "upsample_bicubic", VectorDims(96, 32)),
        ("reduce", "avg_pool", VectorDims(3 * 16 * 16, 16)),
        ("elementwise", "clamp", VectorDims(48, 16)),
        ("nonlinear", "relu6", VectorDims(48, 16)),
        ("elementwise", "square", VectorDims(48, 16)),
        ("elementwise", "max", VectorDims(48, 16)),
        ("reduce", "max", VectorDims(48, 16)),
    ]
    assert ("policy.0", "upsampling to the same size, which changes nothing, not charged (1 times)") in trace.provenance


class Reads(nn.Module):
    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows * int(rows.sum().item())


def test_mistakes() -> None:
    with pytest.raises(UserError, match="training mode"):
        workloads.export_trace(nn.Linear(2, 2), torch.ones(1, 2), "encode")
    with pytest.raises(UserError, match="meta tensor lacks"):
        workloads.export_trace(Reads().eval(), torch.ones(1, 2, device="meta"), "encode")


def test_importing_the_package_imports_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, workloads, accelsim.workload; assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
