"""One chip's part of a trace: the parts of four chips are the whole, and each gathers what its rows need."""

from __future__ import annotations

import math

import pytest

from accelsim.decoding.model import TWO_BITS, LanguageModel
from accelsim.workload.chips import split_over_chips
from accelsim.workload.template import Binding, load_template
from accelsim.workload.trace_check import check_trace

MODELS = ("llama_160m", "llama3_8b", "vicuna_1b_like")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("tokens", [1, 5])
def test_parts_add_up(name: str, tokens: int) -> None:
    trace = load_template(name).bind("verify", Binding(tokens, 320, 4, 8, 8))
    split = split_over_chips(trace, 4)
    assert list(check_trace(split.trace)) == []
    assert 4 * split.trace.macs == trace.macs
    whole, part = trace.tensor_by_id(), split.trace.tensor_by_id()
    for kind in ("weight", "kv"):
        stored = [tensor.id for tensor in trace.tensors if tensor.kind == kind and not tensor.id.endswith(".rows")]
        assert all(4 * part[each].elements == whole[each].elements for each in stored)


def test_what_is_gathered() -> None:
    """A layer needs whole rows four times: attention's output, its projection, the FFN's product, its projection."""
    trace = load_template("llama_160m").bind("verify", Binding(3, 100, 4, 8, 8))
    split = split_over_chips(trace, 4)
    layers, hidden, ffn = 12, 768, 3072
    assert len(split.gathered_bits) == 4 * layers
    assert sum(split.gathered_bits.values()) == layers * 3 * (3 * hidden + ffn) * 8 * 3 // 4
    names = {op.id: op.name for op in trace.phases[0].ops}
    first = [names[op] for op in split.gathered_bits if "layers.0" in names[op]]
    assert first == [f"model.layers.0.{name}" for name in ("self_attn.pv", "add", "mlp.mul", "add_2")]


def test_one_chip_is_the_trace_itself() -> None:
    trace = load_template("llama_160m").bind("decode", Binding(1, 10))
    assert split_over_chips(trace, 1).trace is trace


def test_codebook_parts_are_whole_blocks() -> None:
    """Seven chips divide no block of 16 rows: each has the blocks that it needs a part of, not the whole weight."""
    model = LanguageModel(load_template("llama_160m"), codebook=TWO_BITS)
    whole = {t.id: t for t in model.trace("decode", 1, 64).tensors if t.codebook is not None}
    split = {t.id: t for t in split_over_chips(model.trace("decode", 1, 64), 7).trace.tensors}
    assert len(whole) == 12 * 7
    for name, weight in whole.items():
        rows, columns = weight.shape
        assert split[name].shape == (16 * math.ceil(math.ceil(rows / 7) / 16), columns)
