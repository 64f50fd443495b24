"""Where a network keeps its residual stream: what writes to it, which norms read it, and for which layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Family:
    """Module paths of one architecture: of the base model, and of a layer in its list.

    `norms` pairs a layer's norm with the linears that read it; empty for networks whose norms stand on
    the stream itself (post-norm), with the reason in `no_stream`. `up` is the linear half of a gated
    feed-forward product. `query` and `key` are named where heads turn by a rotary embedding.
    """

    layers: str
    value: str
    output: str
    down: str
    norms: tuple[tuple[str, tuple[str, ...]], ...] = ()
    embeddings: tuple[str, ...] = ()
    final_norm: str = ""
    up: str = ""
    query: str = ""
    key: str = ""
    no_stream: str = ""

    @property
    def rotary(self) -> bool:
        """Whether queries and keys have a rotary embedding."""
        return bool(self.key)


_LLAMA = Family(
    layers="layers",
    value="self_attn.v_proj",
    output="self_attn.o_proj",
    down="mlp.down_proj",
    norms=(
        ("input_layernorm", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
        ("post_attention_layernorm", ("mlp.gate_proj", "mlp.up_proj")),
    ),
    embeddings=("embed_tokens",),
    final_norm="norm",
    up="mlp.up_proj",
    query="self_attn.q_proj",
    key="self_attn.k_proj",
)
_VIT = Family(
    layers="layers",
    value="attention.v_proj",
    output="attention.o_proj",
    down="mlp.fc2",
    norms=(
        ("layernorm_before", ("attention.q_proj", "attention.k_proj", "attention.v_proj")),
        ("layernorm_after", ("mlp.fc1",)),
    ),
    embeddings=("embeddings",),
    final_norm="layernorm",
)
_BERT = Family(
    layers="encoder.layer",
    value="attention.self.value",
    output="attention.output.dense",
    down="output.dense",
    no_stream="post-norm: every norm stands on the residual stream, and its gain does not commute with a rotation",
)

# By the class of the base model, HuggingFace transformers 5.
FAMILIES: dict[str, Family] = {
    "LlamaModel": _LLAMA,
    "MistralModel": _LLAMA,
    "Qwen2Model": _LLAMA,
    "ViTModel": _VIT,
    "BertModel": _BERT,
}


@dataclass(frozen=True)
class Base:
    """The base model found inside a network, and its path there."""

    path: str
    module: torch.nn.Module
    family: Family

    def layers(self) -> list[tuple[str, torch.nn.Module]]:
        """Path in the network and module of every layer."""
        listed = self.module.get_submodule(self.family.layers)
        prefix = f"{self.path}.{self.family.layers}".lstrip(".")
        return [(f"{prefix}.{name}", layer) for name, layer in listed.named_children()]

    def join(self, path: str) -> str:
        """A path inside the base model as one of the network."""
        return f"{self.path}.{path}".lstrip(".")


def find_base(model: torch.nn.Module) -> Base | None:
    """The first module of a known architecture, or None."""
    for path, module in model.named_modules():
        family = FAMILIES.get(type(module).__name__)
        if family is not None:
            return Base(path, module, family)
    return None


def heads(model: torch.nn.Module, base: Base) -> tuple[list[torch.nn.Linear], str]:
    """Linears that read the final norm's output, and why the stream's rotation cannot end in them ("" if it can).

    A network that is the base model itself gives its stream to the outside: no heads, and the rotation is
    undone after the final norm.
    """
    if base.module is model:
        return [], ""
    inside = {id(module) for part in _before_heads(base) for module in part.modules()}
    own = [(path, module) for path, module in model.named_modules() if id(module) not in inside]
    found = [module for _, module in own if isinstance(module, torch.nn.Linear)]
    strange = [path for path, module in own if list(module.parameters(recurse=False)) and module not in found]
    if strange:
        return [], f"{strange[0]} reads the stream and is no linear layer"
    return found, "" if found else "no linear layer reads the final norm"


def _before_heads(base: Base) -> list[torch.nn.Module]:
    """What of the base model is not a head; a pooler is one."""
    return [child for name, child in base.module.named_children() if name != "pooler"]
