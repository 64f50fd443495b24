"""Attention whose keys and values are changed on their way into the cache, and queries to match.

On a module of HuggingFace attention: `key_query_rotation` rotates queries and keys after their rotary
embedding, then `key_quant` and `value_quant` round keys and values. Without a cache the same happens
where keys and values are first used, so both ways compute the same.
"""

from __future__ import annotations

import torch

from algos.rotation.stream import Base

NAME = "accelsim_cached"
"""The attention function that HuggingFace models look up."""
REPLACED = ("sdpa", "eager")


def cache_obstacle(base: Base, attention: torch.nn.Module) -> str:
    """Why nothing can be done to what this attention would cache, or ""."""
    if not base.family.rotary:
        return "keys without rotary embedding or cache"
    used = attention.config._attn_implementation
    return "" if used in (*REPLACED, NAME) else f"attention {used!r} cannot change keys; use {' or '.join(REPLACED)}"


def change_cached_(attention: torch.nn.Module) -> None:
    """Let the attention heed the modules named above; it uses HuggingFace's sdpa from here on."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    if not hasattr(attention, "keys_are_cached"):
        attention.keys_are_cached = False
        attention.register_forward_pre_hook(_watch_cache, with_kwargs=True)
    attention.config._attn_implementation = NAME


class _Entrance:
    """A cache that changes what is put into it."""

    def __init__(self, cache: object, attention: torch.nn.Module) -> None:
        self._cache, self._attention = cache, attention

    def update(self, key: torch.Tensor, value: torch.Tensor, *rest: object) -> tuple[torch.Tensor, torch.Tensor]:
        result: tuple[torch.Tensor, torch.Tensor] = self._cache.update(  # type: ignore[attr-defined]
            *_changed(self._attention, key, value), *rest
        )
        return result


def _watch_cache(
    attention: torch.nn.Module, args: tuple[object, ...], named: dict[str, object]
) -> tuple[tuple[object, ...], dict[str, object]]:
    used = attention.config._attn_implementation
    if used != NAME:
        raise ValueError(f"attention {used!r} was set after its keys were changed, and would not change them")
    cache = named.get("past_key_values")
    attention.keys_are_cached = cache is not None
    return args, named if cache is None else {**named, "past_key_values": _Entrance(cache, attention)}


def _changed(attention: torch.nn.Module, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    for name in ("key_query_rotation", "key_quant"):
        if hasattr(attention, name):
            key = getattr(attention, name)(key)
    return key, attention.value_quant(value) if hasattr(attention, "value_quant") else value


def _attention(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *rest: object, **named: object
) -> tuple[torch.Tensor, None]:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if hasattr(module, "key_query_rotation"):
        query = module.key_query_rotation(query)
    if not getattr(module, "keys_are_cached", True):  # a layer beside the changed ones has nothing to change
        key, value = _changed(module, key, value)
    result: tuple[torch.Tensor, None] = sdpa_attention_forward(module, query, key, value, *rest, **named)
    return result
