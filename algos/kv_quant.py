"""Keys and values kept in a cache as integers, with a scale per token and head."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from accelsim.schemes import QuantScheme
from algos.changes import LayerChange
from algos.kv_cache import cache_obstacle, change_cached_
from algos.layers import matches
from algos.rotation.stream import FAMILIES, find_base
from algos.scheme_config import Batch, SchemeConfig
from algos.token_quant import rounded


@dataclass(frozen=True, kw_only=True)
class KvQuantConfig(SchemeConfig):
    """The key and value of a token and head each with the scale that its largest magnitude sets, symmetric.

    Keys after their rotary embedding (and their rotation, if there is one). `layers` and `skip` match
    attentions of decoders. The scales themselves are not counted as cache. ValueError for widths outside 2..16 bits.
    """

    name: ClassVar[str] = "kv_quant"

    key_bits: int = 8
    value_bits: int = 8

    def __post_init__(self) -> None:
        QuantScheme(self.key_bits)
        QuantScheme(self.value_bits)

    def plan(self, model: torch.nn.Module) -> list[LayerChange]:
        """Every attention that is asked for."""
        return [change for change, _ in self._found(model)]

    def apply_(self, model: torch.nn.Module, batches: Sequence[Batch]) -> list[LayerChange]:
        """Put the rounding in; nothing is learned from data."""
        found = list(self._found(model))
        for _, act in found:
            act()
        return [change for change, _ in found]

    def _found(self, model: torch.nn.Module) -> Iterator[tuple[LayerChange, Callable[[], None]]]:
        base = find_base(model)
        if base is None:
            known = f"none of the networks with a known cache ({', '.join(FAMILIES)})"
            yield LayerChange("", self.name, type(model).__name__, skipped=known), _nothing
            return
        place = base.family.value.rpartition(".")[0]
        for layer_path, layer in base.layers():
            path, attention = f"{layer_path}.{place}", layer.get_submodule(place)
            if not matches(path, self.layers):
                continue
            kind = type(attention).__name__
            reason = "named in skip" if matches(path, self.skip) else cache_obstacle(base, attention)
            if not reason and hasattr(attention, "key_quant"):
                reason = "quantised already"
            change = "" if reason else f"cached keys INT{self.key_bits}, values INT{self.value_bits} per token and head"
            act = _nothing if reason else _Change(attention, self.key_bits, self.value_bits)
            yield LayerChange(path, self.name, kind, change, reason), act


@dataclass(frozen=True)
class _Change:
    attention: torch.nn.Module
    key_bits: int
    value_bits: int

    def __call__(self) -> None:
        self.attention.add_module("key_quant", CacheQuantiser(self.key_bits))
        self.attention.add_module("value_quant", CacheQuantiser(self.value_bits))
        change_cached_(self.attention)


class CacheQuantiser(torch.nn.Module):
    """(..., head width) to the nearest values that integers with a scale per vector stand for."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.cache_scheme = QuantScheme(bits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return rounded(x, self.cache_scheme)


def _nothing() -> None:
    """What a skipped layer needs."""
