"""Queries and keys rotated per head after their rotary embedding, where no weight can take the rotation."""

from __future__ import annotations

import torch

from accelsim.schemes import RotationScheme
from algos.rotation.rotate import OnlineRotation
from algos.rotation.stream import Base

NAME = "accelsim_rotated"
"""The attention function that HuggingFace models look up."""
REPLACED = ("sdpa", "eager")


def key_obstacle(base: Base, attention: torch.nn.Module) -> str:
    """Why the keys of this attention cannot be rotated, or ""."""
    if not base.family.rotary:
        return "keys without rotary embedding or cache; fold a rotation into their projections instead"
    if hasattr(attention, "key_query_rotation"):
        return "rotated already"
    used = attention.config._attn_implementation
    return "" if used in (*REPLACED, NAME) else f"attention {used!r} cannot rotate keys; use {' or '.join(REPLACED)}"


def rotate_keys_(attentions: list[torch.nn.Module], scheme: RotationScheme) -> None:
    """Let these attention modules multiply rotated queries with rotated keys; scores stay what they were.

    The rotation runs after the key cache here and before it on a chip: it is per token, so the cached
    values are the same. Uses HuggingFace's attention interface, and its sdpa from here on.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    for attention in attentions:
        attention.key_query_rotation = OnlineRotation(scheme)
        attention.config._attn_implementation = NAME


def _attention(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *rest: object, **named: object
) -> tuple[torch.Tensor, None]:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    rotation = getattr(module, "key_query_rotation", None)
    if rotation is not None:
        query, key = rotation(query), rotation(key)
    result: tuple[torch.Tensor, None] = sdpa_attention_forward(module, query, key, value, *rest, **named)
    return result
