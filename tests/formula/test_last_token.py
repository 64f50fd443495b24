"""A prefill with the last token's logits alone is what the exporter writes of a model asked for just these."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from accelsim.decoding.model import LanguageModel
from accelsim.workload.last_token import last_token_only
from accelsim.workload.template import load_template
from accelsim.workload.trace import Trace
from accelsim.workload.trace_check import check_trace
from workloads.export import export_trace

TOKENS, HIDDEN, VOCAB = 7, 32, 96


def exported(batch: int, **more: int) -> Trace:
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config).eval()
        ids = torch.zeros(batch, TOKENS, dtype=torch.long)
    return export_trace(model, {"input_ids": ids, "use_cache": False, **more}, "prefill")


@pytest.mark.parametrize("batch", [1, 3])
def test_it_is_what_generation_asks_for(batch: int) -> None:
    whole, wanted = exported(batch), exported(batch, logits_to_keep=1)
    made = last_token_only(whole)
    assert not check_trace(made)
    assert [(op.name, op.dims) for op in made.phases[0].ops] == [(op.name, op.dims) for op in wanted.phases[0].ops]
    assert made.macs == wanted.macs == whole.macs - batch * (TOKENS - 1) * HIDDEN * VOCAB
    ends = [[trace.tensor_by_id()[i] for i in _head(trace)] for trace in (made, wanted)]
    assert [(t.elements, t.bits, t.view_of) for t in ends[0]] == [(t.elements, t.bits, t.view_of) for t in ends[1]]


def _head(trace: Trace) -> tuple[str, ...]:
    op = trace.phases[0].ops[-1]
    return *op.inputs, *op.outputs


def test_decoding_reads_prompts_so() -> None:
    model = LanguageModel(load_template("llama_160m"))
    assert model.trace("prefill", 9, 0).phases[0].ops[-1].dims == model.trace("verify", 1, 8).phases[0].ops[-1].dims
    assert model.trace("verify", 9, 0).macs - model.trace("prefill", 9, 0).macs == 8 * 768 * 32000


def test_a_model_without_a_head_stays() -> None:
    whole = exported(1)
    (phase,) = whole.phases
    headless = replace(whole, phases=(replace(phase, ops=phase.ops[:-1]),))
    assert last_token_only(headless) == headless
