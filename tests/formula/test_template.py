"""Templates of language models: a binding is the trace that the exporter writes of the same pass."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest

from accelsim.errors import UserError
from accelsim.workload.template import (
    Binding,
    fit_template,
    load_template,
    parse_template,
    shipped_templates,
    template_bytes,
)
from accelsim.workload.trace import PhaseKind, Trace
from workloads.registry import build
from workloads.sizes import Widths

SHAPES = {
    "llama_160m": (12, 768, 3072, 12, 12, 32000),
    "llama_296m_like": (12, 768, 2560, 12, 12, 128256),
    "llama2_7b": (32, 4096, 11008, 32, 32, 32000),
    "llama3_8b": (32, 4096, 14336, 32, 8, 128256),
    "vicuna_1b_like": (22, 2048, 5632, 32, 4, 32000),
}
"""Layers, hidden, FFN, heads, KV heads, vocabulary."""


def macs(shape: tuple[int, ...], tokens: int, context: int) -> int:
    """What a decoder of the LLaMA family multiplies, by hand."""
    layers, hidden, ffn, heads, kv_heads, vocab = shape
    head = hidden // heads
    projections = 2 * hidden * hidden + 2 * hidden * kv_heads * head + 3 * hidden * ffn
    attention = 2 * hidden * (context + tokens)
    return tokens * (layers * (projections + attention) + hidden * vocab)


def test_every_language_model_is_shipped() -> None:
    assert shipped_templates() == sorted(SHAPES)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("tokens", "context"), [(1, 1), (1, 2048), (8, 512), (128, 0)])
def test_macs(name: str, tokens: int, context: int) -> None:
    bound = load_template(name).bind("verify", Binding(tokens, context, 4, 8, 8))
    assert bound.macs == macs(SHAPES[name], tokens, context)


@pytest.mark.parametrize(
    ("phase", "tokens", "context"), [("decode", 1, 77), ("prefill", 33, 0), ("verify", 5, 20), ("verify", 1, 3)]
)
def test_a_binding_is_what_the_exporter_writes(phase: PhaseKind, tokens: int, context: int) -> None:
    sizes = {"prefill": {"seq": tokens}, "decode": {"context": context}}.get(phase, {"seq": tokens, "context": context})
    exported = build("llama-160m", phase=phase, widths=Widths(4, 8, 16), **sizes)
    bound = load_template("llama-160m").bind(phase, Binding(tokens, context, 4, 8, 16))
    assert (bound.tensors, bound.phases) == (exported.tensors, exported.phases)
    assert exported.oracle.macs == bound.macs


def test_the_file_holds_the_template() -> None:
    template = load_template("llama_160m")
    data = template_bytes(template)
    assert template_bytes(parse_template(data, "x.template.json.gz")) == data


def test_bits_of_the_cache() -> None:
    trace = load_template("llama3_8b").bind("decode", Binding(1, 1024, 4, 8, 4))
    cache = [tensor for tensor in trace.tensors if tensor.kind == "kv"]
    assert {tensor.bits for tensor in cache} == {4}
    assert sum(tensor.elements for tensor in cache) == 2 * 32 * 8 * 128 * 1025
    weights = sum(tensor.elements for tensor in trace.tensors if tensor.kind == "weight" and "rows" not in tensor.id)
    assert weights == 8030261248 - 128256 * 4096 - 65 * 4096  # its parameters, less embeddings and gains


def _bound(tokens: int, context: int, *bits: int) -> tuple[Binding, Trace]:
    binding = Binding(tokens, context, *bits)
    trace = load_template("llama_160m").bind("verify", binding)
    return binding, replace(trace, oracle=replace(trace.oracle, macs=trace.macs))


def test_a_template_that_does_not_foretell_its_proof_is_refused() -> None:
    base, proof = (3, 40, 8, 8, 8), (7, 61, 4, 9, 5)
    chosen = [base, *((*base[:axis], proof[axis], *base[axis + 1 :]) for axis in range(5)), proof]
    traces = dict(_bound(*one) for one in chosen)
    last = Binding(*proof)
    wider = replace(traces[last].tensors[0], bits=6)
    traces[last] = replace(traces[last], tensors=(wider, *traces[last].tensors[1:]))
    with pytest.raises(ValueError, match="not what its other bindings foretell"):
        fit_template("x", traces)


def test_mistakes() -> None:
    with pytest.raises(UserError, match=r"did you mean .*llama3_8b"):
        load_template("llama3_8")
    with pytest.raises(UserError, match="not a template"):
        parse_template(gzip.compress(json.dumps({"base": [1]}).encode()), "x.template.json.gz")
    with pytest.raises(ValueError, match="cannot run"):
        load_template("llama_160m").bind("decode", Binding(0, 5))
