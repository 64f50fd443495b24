"""Integer weights and activations for linear layers, convolutions and attention products."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from accelsim.schemes import QuantScheme
from accelsim.schemes.quant import Granularity
from algos.attention import PRODUCTS, is_attention, route_products_
from algos.calibrate import calibrate_
from algos.changes import LayerChange
from algos.layers import matches, replace_
from algos.product_layers import Product, QuantConv2d, QuantLinear, QuantMatmul
from algos.psums import Psums
from algos.quantiser import Quantiser
from algos.scheme_config import Batch, SchemeConfig


@dataclass(frozen=True, kw_only=True)
class QuantConfig(SchemeConfig):
    """Widths of weights and activations; scales are calibrated, and learned if the model is trained on.

    `attention` says whether the products inside attention modules are quantised too (both operands
    with `activation_bits`). ValueError for widths outside 2..16 bits.
    """

    name: ClassVar[str] = "quant"

    weight_bits: int = 8
    activation_bits: int = 8
    weight_granularity: Granularity = "channel"
    attention: bool = True

    def __post_init__(self) -> None:
        QuantScheme(self.weight_bits, self.weight_granularity)
        QuantScheme(self.activation_bits)

    def plan(self, model: torch.nn.Module) -> list[LayerChange]:
        """Every linear layer, convolution and attention that is asked for."""
        return [self._change(path, module, reason) for path, module, reason in self._found(model)]

    def apply_(self, model: torch.nn.Module, batches: Sequence[Batch]) -> list[LayerChange]:
        """Put the layers in, then calibrate them; without batches they wait for `calibrate_`."""
        found = list(self._found(model))
        changes = [self._change(path, module, reason) for path, module, reason in found]
        for _, module, reason in found:
            if not reason:
                self._compress_(model, module)
        if batches:
            calibrate_(model, batches)
        return changes

    def make_psums(self, reductions: int | None) -> Psums:
        """How a layer that sums so many products (None: as many as its operands have) keeps partial sums."""
        return Psums()

    def describe(self, reductions: int | None) -> str:
        """The settings of such a layer, for the report."""
        return f"W{self.weight_bits} A{self.activation_bits}"

    def _found(self, model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module, str]]:
        """Path, module and reason to skip it ("" for none) of every layer that is asked for."""
        fused: set[torch.nn.Module] = set()
        for path, module in model.named_modules():
            if isinstance(module, torch.nn.MultiheadAttention):
                fused |= set(module.modules()) - {module}
            if not (_is_layer(module) or (self.attention and is_attention(module))) or not matches(path, self.layers):
                continue
            reason = "named in skip" if matches(path, self.skip) else _obstacle(module)
            if module in fused:
                reason = "its MultiheadAttention never calls it"
            yield path, module, reason or ("is the whole model" if not path else "")

    def _change(self, path: str, module: torch.nn.Module, reason: str) -> LayerChange:
        kind = type(module).__name__
        if reason:
            return LayerChange(path, self.name, kind, skipped=reason)
        return LayerChange(path, self.name, kind, f"{_what(module)}, {self.describe(_reductions(module))}")

    def _compress_(self, model: torch.nn.Module, module: torch.nn.Module) -> None:
        reductions = _reductions(module)
        if not _is_layer(module):
            route_products_(module, [self._matmul(module) for _ in range(PRODUCTS)])
            return
        weight = module.weight
        assert isinstance(weight, torch.nn.Parameter)
        by_columns = not isinstance(module, torch.nn.Linear | torch.nn.Conv2d)
        channels = weight.shape[1] if by_columns else weight.shape[0]
        activation = Quantiser(QuantScheme(self.activation_bits), device=weight.device)
        weights = Quantiser(QuantScheme(self.weight_bits, self.weight_granularity), channels, weight.device)
        psums = self.make_psums(reductions)
        if isinstance(module, torch.nn.Conv2d):
            replace_(model, module, QuantConv2d(module, activation, weights, psums))
        else:
            bias = module.bias
            assert bias is None or isinstance(bias, torch.nn.Parameter)
            replace_(model, module, QuantLinear(weight, bias, by_columns, activation, weights, psums))

    def _matmul(self, attention: torch.nn.Module) -> QuantMatmul:
        device = next((parameter.device for parameter in attention.parameters()), None)
        left, right = (Quantiser(QuantScheme(self.activation_bits), device=device) for _ in range(2))
        product = QuantMatmul(left, right, self.make_psums(None))
        product.train(attention.training)
        return product


def _is_layer(module: torch.nn.Module) -> bool:
    """Linear, 2-D convolution, or the linear layer with a transposed weight that GPT-2 calls Conv1D."""
    return isinstance(module, torch.nn.Linear | torch.nn.Conv2d) or (
        type(module).__name__ == "Conv1D" and hasattr(module, "nf")
    )


def _obstacle(module: torch.nn.Module) -> str:
    if isinstance(module, torch.nn.MultiheadAttention):
        return "computes its products in one fused call"
    if isinstance(module, torch.nn.Conv2d) and module.padding_mode != "zeros":
        return f"pads with {module.padding_mode}, not with zeros"
    if isinstance(module, torch.nn.Conv2d | torch.nn.Linear) and hasattr(module, "parametrizations"):
        return "its weight is parametrised"
    if any(isinstance(child, Product) for child in module.children()) and is_attention(module):
        return "" if not hasattr(module, "product_0") else "its products are quantised already"
    return ""


def _reductions(module: torch.nn.Module) -> int | None:
    """How many products one output sums; None where the data say."""
    if isinstance(module, torch.nn.Conv2d):
        return int(module.weight[0].numel())
    if isinstance(module, torch.nn.Linear):
        return int(module.in_features)
    return int(module.weight.shape[0]) if _is_layer(module) else None


def _what(module: torch.nn.Module) -> str:
    if isinstance(module, torch.nn.Conv2d):
        return "convolution on integers"
    return "linear layer on integers" if _is_layer(module) else f"{PRODUCTS} products on integers"
