"""Linear layers with integer weights and activations whose scale is found at run time, token by token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from accelsim.schemes import QuantScheme
from algos.changes import LayerChange
from algos.layers import candidates, replace_
from algos.quantiser import SMALLEST, round_half_up
from algos.scheme_config import Batch, SchemeConfig


@dataclass(frozen=True, kw_only=True)
class TokenQuantConfig(SchemeConfig):
    """Weights with a scale per output channel, activations with one per token (dynamic), both symmetric.

    The largest magnitude sets a scale, so nothing saturates and nothing is calibrated. ValueError for
    widths outside 2..16 bits.
    """

    name: ClassVar[str] = "token_quant"

    weight_bits: int = 8
    activation_bits: int = 8

    def __post_init__(self) -> None:
        QuantScheme(self.weight_bits, "channel")
        QuantScheme(self.activation_bits)

    def plan(self, model: torch.nn.Module) -> list[LayerChange]:
        """Every linear layer that is asked for."""
        return [change for change, _ in self._found(model)]

    def apply_(self, model: torch.nn.Module, batches: Sequence[Batch]) -> list[LayerChange]:
        """Put the layers in; nothing is learned from data."""
        found = list(self._found(model))
        for change, linear in found:
            if not change.skipped:
                replace_(model, linear, TokenQuantLinear(linear, self.weight_bits, self.activation_bits))
        return [change for change, _ in found]

    def _found(self, model: torch.nn.Module) -> Iterator[tuple[LayerChange, torch.nn.Linear]]:
        what = f"linear layer on integers, W{self.weight_bits} A{self.activation_bits} per token"
        for path, module, skipped in candidates(model, (torch.nn.Linear,), self.layers, self.skip):
            assert isinstance(module, torch.nn.Linear)
            reason = skipped or ("" if path else "is the whole model")
            kind = type(module).__name__
            yield LayerChange(path, self.name, kind, "" if reason else what, reason), module


class TokenQuantLinear(torch.nn.Module):
    """(..., in) -> (..., out); gradients pass straight through the rounding."""

    def __init__(self, linear: torch.nn.Linear, weight_bits: int, activation_bits: int) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.weight_scheme = QuantScheme(weight_bits, "channel")
        self.activation_scheme = QuantScheme(activation_bits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Quantised."""
        return torch.nn.functional.linear(
            rounded(x, self.activation_scheme), rounded(self.weight, self.weight_scheme), self.bias
        )

    def exported(self, x: torch.Tensor) -> torch.Tensor:
        """The one op it is."""
        return torch.nn.functional.linear(x, self.weight, self.bias)


def rounded(x: torch.Tensor, scheme: QuantScheme) -> torch.Tensor:
    """The nearest that integers with a scale per vector of the last axis stand for."""
    scale = x.detach().abs().amax(-1, keepdim=True).clamp_min(SMALLEST) / scheme.qmax
    return round_half_up(x / scale) * scale
