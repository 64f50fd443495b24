"""Keys and values rounded on their way into the cache: what attention meets, cached or not, and in traces."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import accelsim  # noqa: E402
from accelsim.schemes import QuantScheme  # noqa: E402
from algos.compress import compress_, plan  # noqa: E402
from algos.kv_quant import CacheQuantiser, KvQuantConfig  # noqa: E402
from algos.rotation.config import RotationConfig  # noqa: E402
from algos.rotation.measure import input_peaks  # noqa: E402
from algos.rotation.outliers import inject_cache_outliers_  # noqa: E402
from tests.formula.test_rotation import IDS, TOLERANCE, difference, llama, outputs, vit  # noqa: E402
from workloads import export_trace  # noqa: E402

KEYS = RotationConfig(residual=False, down="none", keys=True)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_rounding_by_hand(bits):
    """Every vector of a token and head by itself."""
    x = np.random.default_rng(bits).normal(size=(2, 3, 5, 12)) * np.exp(np.arange(5.0))[:, None]
    largest = 2 ** (bits - 1) - 1
    scale = np.abs(x).max(-1, keepdims=True) / largest
    expected = np.floor(x / scale + 0.5) * scale
    assert np.allclose(CacheQuantiser(bits)(torch.from_numpy(x)).numpy(), expected, rtol=1e-12)


def cached_keys(model: torch.nn.Module) -> list[torch.Tensor]:
    cache = transformers.DynamicCache(config=model.config)
    with torch.no_grad():
        model(input_ids=IDS, past_key_values=cache, use_cache=True)
    return [layer.keys for layer in cache.layers]


@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("bits", [16, 4])
def test_a_cache_changes_nothing(rotated, bits):
    """Token by token out of a cache the logits are those of the whole text at once."""
    model = llama()
    if rotated:
        compress_(model, KEYS)
    before = outputs(model)
    compress_(model, KvQuantConfig(key_bits=bits, value_bits=bits))
    whole = outputs(model)
    assert 0 < difference(before[:1], whole[:1]) < (1e-3 if bits == 16 else 1)
    cache = transformers.DynamicCache(config=model.config)
    steps = []
    with torch.no_grad():
        for token in IDS.split(1, dim=1):
            steps.append(model(input_ids=token, past_key_values=cache, use_cache=True).logits)
    assert difference(whole[:1], [torch.cat(steps, 1)]) <= TOLERANCE


def test_rotated_keys_are_what_is_cached():
    model = llama()
    plain = cached_keys(model)
    compress_(model, KEYS)
    scheme = model.model.layers[0].self_attn.key_query_rotation.rotation_scheme
    for before, after in zip(plain, cached_keys(model), strict=True):
        assert not torch.allclose(before, after)
        assert torch.allclose(before.norm(dim=-1), after.norm(dim=-1), rtol=1e-9)
    assert scheme.width == 12


def test_outliers_keep_the_function_and_rotation_removes_them():
    model = llama(head_dim=32, num_attention_heads=6)
    before = outputs(model)
    inject_cache_outliers_(model, share=1 / 16, factor=8.0, seed=0)
    assert difference(before, outputs(model)) <= 1e-12
    peaks = []
    for config in (None, KEYS):
        compress_(model, [config] if config else [], strict=False)
        watched = compressed_copy(model)
        found = input_peaks(watched, [{"input_ids": IDS, "use_cache": False}], CacheQuantiser)
        peaks.append({path: peak.kurtosis for path, peak in found.items()})
    assert len(peaks[0]) == 4
    assert all(peaks[1][path] < 0.6 * peaks[0][path] for path in peaks[0])
    with pytest.raises(ValueError, match=r"outside 0\.\.1"):
        inject_cache_outliers_(model, share=2, factor=8.0, seed=0)
    with pytest.raises(accelsim.errors.UserError, match="rotary"):
        inject_cache_outliers_(vit(), share=0.1, factor=8.0, seed=0)


def compressed_copy(model: torch.nn.Module) -> torch.nn.Module:
    import copy

    watched = copy.deepcopy(model)
    compress_(watched, KvQuantConfig(key_bits=16, value_bits=16))
    return watched


def test_the_report():
    changes = plan(llama(), KvQuantConfig(key_bits=4)).changes
    assert str(changes[0]) == (
        "model.layers.0.self_attn (LlamaAttention): kv_quant: cached keys INT4, values INT8 per token and head"
    )
    model = llama()
    compress_(model, KvQuantConfig())
    reasons = {change.skipped for change in plan(model, KvQuantConfig(), strict=False).skipped}
    assert reasons == {"quantised already"}
    skipped = plan(vit(), KvQuantConfig(), strict=False).skipped
    assert {change.skipped for change in skipped} == {"keys without rotary embedding or cache"}
    with pytest.raises(ValueError, match=r"2\.\.16"):
        KvQuantConfig(key_bits=1)


def decode_trace(*configs) -> accelsim.workload.Trace:
    config = transformers.LlamaConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, vocab_size=50, head_dim=16
    )
    model = transformers.LlamaForCausalLM(config).eval()
    for step in configs:
        compress_(model, step)
    cache = transformers.DynamicCache(config=config)
    with torch.no_grad():
        model(input_ids=torch.zeros(1, 24, dtype=torch.long), past_key_values=cache, use_cache=True)
    inputs = {"input_ids": torch.zeros(1, 1, dtype=torch.long), "past_key_values": cache, "use_cache": True}
    return export_trace(model, inputs, "decode")


def test_a_trace_carries_the_width_of_the_cache():
    """Every bit of K and V that is read or appended is charged at 4 b, and a rotation of the new key alone."""
    plain, narrow = decode_trace(), decode_trace(KEYS, KvQuantConfig(key_bits=4, value_bits=4))
    assert {tensor.bits for tensor in plain.tensors if tensor.kind == "kv"} == {8}
    kept = [tensor for tensor in narrow.tensors if tensor.kind == "kv"]
    assert len(kept) == 4  # keys and values of two layers
    assert {tensor.quant for tensor in kept} == {QuantScheme(4)}
    assert narrow.macs == plain.macs
    assert not narrow.unknown_ops
    turned = [op for op in narrow.phases[0].ops if op.function == "hadamard"]
    assert {op.dims.rows for op in turned} == {4}  # heads of one token
    spec = accelsim.load_arch("apsq_edge_ws")
    reads = []
    for trace in (plain, narrow):
        frame = accelsim.simulate(spec, trace).to_frame()
        rows = frame[(frame["block"] == "dram") & (frame["operand"] == "kv") & (frame["action"] == "read")]
        reads.append(rows["bits_useful"].sum())
    assert reads[0] == 2 * reads[1] == 2 * 2 * 25 * 64 * 8
