"""Models by name, built from their configs on the meta device: no weights, no download."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch

from accelsim.errors import did_you_mean, user_error
from accelsim.workload.template import Binding, TraceTemplate, fit_template
from accelsim.workload.trace import PhaseKind, Trace
from workloads.export import export_trace
from workloads.sizes import EIGHT_BITS, Request, Widths

if TYPE_CHECKING:
    from transformers import PreTrainedModel

META = torch.device("meta")
FAR_TOKENS = 2**15
"""Up to how many a template is proved where nothing ends before: beyond the windows of attention in use."""
FEWEST_TOKENS = 16
MANY_TOKENS = 512
"""New tokens of that proof, a vocabulary at most (whose rows are all read by then): all experts of a mixture work."""


@dataclass(frozen=True)
class TokenModel:
    """How to build a model that reads tokens, which phases it has, and how many positions it learned."""

    create: Callable[[], PreTrainedModel]
    phases: tuple[PhaseKind, ...]
    max_tokens: int | None = None
    """Learned positions end here; rotary ones do not."""


@dataclass(frozen=True)
class ImageModel:
    """How to build a model for square images of so many pixels a side, which are multiples of `step`."""

    create: Callable[[int], torch.nn.Module]
    pixels: int
    step: int


def build(
    name: str,
    *,
    phase: PhaseKind | None = None,
    seq: int | None = None,
    context: int | None = None,
    size: int | None = None,
    batch: int = 1,
    widths: Widths = EIGHT_BITS,
) -> Trace:
    """The trace of a registered model.

    `seq` is the number of tokens an encode, prefill or verify handles, `context` the number of tokens
    in the KV cache to which a decode adds one and a verify `seq`, `size` the height and width of an
    image in pixels (default: the model's own). Raises UserError for an unknown name, a phase the model
    lacks, or sizes that are missing, out of range or of the wrong kind.
    """
    key = model_key(name)
    if key not in MODELS:
        raise user_error("workload", name, "no such model", did_you_mean(key, MODELS))
    model, request = MODELS[key], Request(phase, seq, context, size, batch)
    if isinstance(model, ImageModel):
        request.phase_of(name, ("encode",))
        pixels = request.pixels(name, model.pixels, model.step)
        with META:
            network = model.create(pixels).eval()
        title = key if pixels == model.pixels else f"{key}-{pixels}"
        return trace_image(network, title, pixels, 3, batch, widths)
    phase = request.phase_of(name, model.phases)
    tokens = request.tokens(name, phase, model.max_tokens)
    with META:
        reader = model.create().eval()
    title = f"{key}-{phase}-{tokens}" if len(model.phases) > 1 else key
    if phase == "verify":
        return trace_verify(reader, f"{title}-{context or 0}", tokens, context or 0, batch, widths)
    return trace_tokens(reader, title, phase, tokens, batch, widths)


def model_names() -> list[str]:
    """Names that `build` knows."""
    return sorted(MODELS)


def model_key(name: str) -> str:
    """The registered spelling: `ViT-B/16` and `vit_b_16` are `vit-b-16`."""
    return name.lower().replace("_", "-").replace("/", "-")


def trace_image(network: torch.nn.Module, title: str, pixels: int, channels: int, batch: int, widths: Widths) -> Trace:
    """The encode trace of a meta model that reads `pixel_values` of shape (batch, channels, pixels, pixels)."""
    dtype = next(network.parameters()).dtype
    inputs = {"pixel_values": torch.empty((batch, channels, pixels, pixels), device=META, dtype=dtype)}
    return export_trace(network, inputs, "encode", name=_plain(title), **asdict(widths))


def trace_tokens(
    network: PreTrainedModel, title: str, phase: PhaseKind, tokens: int, batch: int, widths: Widths
) -> Trace:
    """The trace of a meta model that reads `input_ids` of shape (batch, tokens), or (batch, 1) in a decode.

    A decode's cache is the one that a prefill of `tokens` tokens leaves behind. An encoder-decoder
    gets as many decoder tokens as encoder tokens.
    """
    if phase == "decode":
        inputs = _behind(network, batch, 1, tokens)
    else:
        taken = inspect.signature(network.forward).parameters
        inputs = {name: _ids(batch, tokens) for name in ("input_ids", "decoder_input_ids") if name in taken}
    return export_trace(network, inputs, phase, name=_plain(title), **asdict(widths))


def trace_verify(network: PreTrainedModel, title: str, tokens: int, context: int, batch: int, widths: Widths) -> Trace:
    """The trace of a meta model that reads `tokens` drafted tokens at once behind a cache of `context`."""
    inputs = _behind(network, batch, tokens, context)
    return export_trace(network, inputs, "verify", name=_plain(title), **asdict(widths))


def template(name: str) -> TraceTemplate:
    """A language model's pass over any tokens behind any context; UserError for any other name."""
    key = model_key(name)
    known = [one for one, model in MODELS.items() if isinstance(model, TokenModel) and "verify" in model.phases]
    if key not in known:
        raise user_error("workload", name, "no language model has this name", did_you_mean(key, known))
    model = MODELS[key]
    assert isinstance(model, TokenModel)
    with META:
        return template_of(model.create().eval(), key)


def template_of(network: PreTrainedModel, title: str, max_tokens: int | None = None) -> TraceTemplate:
    """A causal meta model's pass, fitted on six bindings and proved on two more, one of them up to `max_tokens`.

    UserError for a model without a KV cache, ValueError for one whose shapes are not affine in tokens and context.
    """
    most = max_tokens or FAR_TOKENS
    if most < FEWEST_TOKENS:
        raise ValueError(f"the model ends at {most} tokens, and a template takes {FEWEST_TOKENS} to fit")
    base, proof = (3, min(40, most // 3), 8, 8, 8), (7, min(61, most // 2), 4, 9, 5)
    changed = [(*base[:axis], proof[axis], *base[axis + 1 :]) for axis in range(len(base))]
    tokens = min(MANY_TOKENS, most // 2, network.config.get_text_config().vocab_size)
    far = (tokens, most - tokens, *base[2:])
    bindings = [Binding(*values) for values in (base, *changed, proof, far)]
    traces = {
        one: trace_verify(
            network, title, one.tokens, one.context, 1, Widths(one.weight_bits, one.activation_bits, one.kv_bits)
        )
        for one in bindings
    }
    return fit_template(_plain(title), traces, max_tokens)


def _behind(network: PreTrainedModel, batch: int, tokens: int, context: int) -> dict[str, object]:
    """Inputs of `tokens` new tokens a sequence, with the cache that a prefill of `context` tokens leaves behind.

    UserError for a model without a KV cache.
    """
    with torch.no_grad():
        past = getattr(network(input_ids=_ids(batch, context), use_cache=True), "past_key_values", None)
    if past is None:
        raise user_error("model", type(network).__name__, "keeps no KV cache", "trace its prefill")
    return {"input_ids": _ids(batch, tokens), "past_key_values": past}


def _ids(batch: int, tokens: int) -> torch.Tensor:
    return torch.zeros((batch, tokens), dtype=torch.long, device=META)


def _plain(title: str) -> str:
    return title.replace("-", "_")


def _bert_base() -> PreTrainedModel:
    from transformers import AutoModel, BertConfig

    return AutoModel.from_config(BertConfig(), attn_implementation="eager")


@dataclass(frozen=True)
class Llama:
    """Sizes of a decoder of the LLaMA family."""

    vocab: int
    hidden: int
    ffn: int
    layers: int
    heads: int
    kv_heads: int
    positions: int = 4096

    def __call__(self) -> PreTrainedModel:
        from transformers import AutoModelForCausalLM, LlamaConfig

        config = LlamaConfig(
            vocab_size=self.vocab,
            hidden_size=self.hidden,
            intermediate_size=self.ffn,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            max_position_embeddings=self.positions,
        )
        return AutoModelForCausalLM.from_config(config, attn_implementation="eager")


LLAMA_PHASES: tuple[PhaseKind, ...] = ("prefill", "decode", "verify")


def _segformer_b0(pixels: int) -> torch.nn.Module:
    from transformers import AutoModelForSemanticSegmentation, SegformerConfig

    config = SegformerConfig(num_labels=150)  # the classes of ADE20K
    return AutoModelForSemanticSegmentation.from_config(config, attn_implementation="eager")


def _vit_b_16(pixels: int) -> torch.nn.Module:
    from transformers import AutoModelForImageClassification, ViTConfig

    config = ViTConfig(image_size=pixels, num_labels=1000)
    return AutoModelForImageClassification.from_config(config, attn_implementation="eager")


def _resnet_50(pixels: int) -> torch.nn.Module:
    from transformers import AutoModelForImageClassification, ResNetConfig

    return AutoModelForImageClassification.from_config(ResNetConfig(num_labels=1000))


def _efficientvit_b1(pixels: int) -> torch.nn.Module:
    from workloads.efficientvit import Segmentation

    return Segmentation()


def _efficientvit_b1_classifier(pixels: int) -> torch.nn.Module:
    from workloads.efficientvit import Classification

    return Classification()


MODELS: dict[str, TokenModel | ImageModel] = {
    "bert-base": TokenModel(_bert_base, ("encode",), max_tokens=512),
    "efficientvit-b1": ImageModel(_efficientvit_b1, 512, 32),
    "efficientvit-b1-classifier": ImageModel(_efficientvit_b1_classifier, 224, 32),
    "llama-160m": TokenModel(Llama(32000, 768, 3072, 12, 12, 12, 2048), LLAMA_PHASES),
    # A guess: the draft of the ReRAM-on-logic chip is only known to have 296 M parameters.
    "llama-296m-like": TokenModel(Llama(128256, 768, 2560, 12, 12, 12, 8192), LLAMA_PHASES),
    "llama2-7b": TokenModel(Llama(32000, 4096, 11008, 32, 32, 32), LLAMA_PHASES),
    "llama3-8b": TokenModel(Llama(128256, 4096, 14336, 32, 32, 8, 8192), LLAMA_PHASES),
    "resnet-50": ImageModel(_resnet_50, 224, 32),
    "segformer-b0": ImageModel(_segformer_b0, 512, 32),
    # The shape of TinyLlama-1.1B, which takes the chip's 0.517 GB at 4 bits with its head.
    "vicuna-1b-like": TokenModel(Llama(32000, 2048, 5632, 22, 32, 4, 2048), LLAMA_PHASES),
    "vit-b-16": ImageModel(_vit_b_16, 224, 16),
}
