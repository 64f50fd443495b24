"""Models by name, built from their configs on the meta device: no weights, no download."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch

from accelsim.errors import did_you_mean, user_error
from accelsim.workload.trace import PhaseKind, Trace
from workloads.export import export_trace
from workloads.sizes import EIGHT_BITS, Request, Widths

if TYPE_CHECKING:
    from transformers import PreTrainedModel

META = torch.device("meta")


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

    `seq` is the number of tokens an encode or prefill handles, `context` the number of tokens in the
    KV cache to which a decode adds one, `size` the height and width of an image in pixels (default:
    the model's own). Raises UserError for an unknown name, a phase the model lacks, or sizes that
    are missing, out of range or of the wrong kind.
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
        with torch.no_grad():
            past = network(input_ids=_ids(batch, tokens), use_cache=True).past_key_values
        inputs = {"input_ids": _ids(batch, 1), "past_key_values": past}
    else:
        taken = inspect.signature(network.forward).parameters
        inputs = {name: _ids(batch, tokens) for name in ("input_ids", "decoder_input_ids") if name in taken}
    return export_trace(network, inputs, phase, name=_plain(title), **asdict(widths))


def _ids(batch: int, tokens: int) -> torch.Tensor:
    return torch.zeros((batch, tokens), dtype=torch.long, device=META)


def _plain(title: str) -> str:
    return title.replace("-", "_")


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
    "llama2-7b": TokenModel(_llama2_7b, ("prefill", "decode")),
    "resnet-50": ImageModel(_resnet_50, 224, 32),
    "segformer-b0": ImageModel(_segformer_b0, 512, 32),
    "vit-b-16": ImageModel(_vit_b_16, 224, 16),
}
