"""Models by name, built from their configs on the meta device: no weights, no download."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from accelsim.errors import did_you_mean, user_error
from accelsim.workload.trace import PhaseKind, Trace
from workloads.export import export_trace

if TYPE_CHECKING:
    from transformers import PreTrainedModel

META = torch.device("meta")


@dataclass(frozen=True)
class Widths:
    """Assumed operand widths in bits."""

    weight_bits: int = 8
    activation_bits: int = 8
    kv_bits: int = 8


@dataclass(frozen=True)
class Model:
    """How to build a model, which phases it has, and how many positions it learned."""

    create: Callable[[], PreTrainedModel]
    phases: tuple[PhaseKind, ...]
    max_tokens: int | None = None
    """Learned positions end here; rotary ones do not."""


def build(name: str, *, seq: int, batch: int = 1, phase: PhaseKind, widths: Widths = Widths()) -> Trace:
    """The trace of a registered model.

    `seq` is the number of tokens an encode or prefill handles, and for decode the number of tokens
    already in the KV cache, to which one token is added. Raises UserError for an unknown name, a
    phase the model lacks, or sizes below 1.
    """
    key = name.lower().replace("_", "-")
    if key not in MODELS:
        raise user_error("workload", name, "no such model", did_you_mean(key, MODELS))
    model = MODELS[key]
    if phase not in model.phases:
        raise user_error("workload", name, f"has no phase {phase!r}", did_you_mean(phase, model.phases))
    if seq < 1 or batch < 1:
        raise user_error("workload", name, f"seq {seq}, batch {batch}", "give sizes of at least 1")
    tokens = seq + (phase == "decode")
    if model.max_tokens is not None and tokens > model.max_tokens:
        raise user_error("workload", name, f"{tokens} tokens", f"its positions end at {model.max_tokens}")
    with META:
        network = model.create().eval()
    inputs: dict[str, object] = {"input_ids": torch.zeros((batch, seq), dtype=torch.long, device=META)}
    title = f"{key}-{phase}-{seq}" if len(model.phases) > 1 else key
    if phase == "decode":
        inputs = _decode_inputs(network, seq, batch)
    return export_trace(
        network,
        inputs,
        phase,
        name=title.replace("-", "_"),
        weight_bits=widths.weight_bits,
        activation_bits=widths.activation_bits,
        kv_bits=widths.kv_bits,
    )


def model_names() -> list[str]:
    """Names that `build` knows."""
    return sorted(MODELS)


def _decode_inputs(network: PreTrainedModel, context: int, batch: int) -> dict[str, object]:
    """One new token, and a cache that holds `context` tokens already."""
    from transformers import DynamicCache

    config = network.config
    heads = config.num_key_value_heads
    head_dim = config.hidden_size // config.num_attention_heads
    past = DynamicCache()
    for layer in range(config.num_hidden_layers):
        shape = (batch, heads, context, head_dim)
        past.update(torch.empty(shape, device=META), torch.empty(shape, device=META), layer)
    token = torch.zeros((batch, 1), dtype=torch.long, device=META)
    return {"input_ids": token, "past_key_values": past}


def _bert_base() -> PreTrainedModel:
    from transformers import AutoModel, BertConfig

    return AutoModel.from_config(BertConfig(), attn_implementation="eager")


def _llama2_7b() -> PreTrainedModel:
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(
        vocab_size=32000,
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=32,
        max_position_embeddings=4096,
    )
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager")


MODELS: dict[str, Model] = {
    "bert-base": Model(_bert_base, ("encode",), max_tokens=512),
    "llama2-7b": Model(_llama2_7b, ("prefill", "decode")),
}
