"""The GQA-LUT scheme of `compress_`: activations, softmaxes and norms by table."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from accelsim.schemes.lut import Mode
from algos.attention import attended, is_attention
from algos.calibrate import calibrate_
from algos.changes import LayerChange
from algos.gqa_lut.found import activation_scheme, exp_scheme, row_scheme
from algos.gqa_lut.modules import LutActivation, LutLayer, LutNorm, LutSoftmax
from algos.layers import matches, replace_
from algos.scheme_config import Batch, SchemeConfig

ACTIVATIONS = {
    "GELU": "gelu", "GELUActivation": "gelu", "NewGELUActivation": "gelu", "FastGELUActivation": "gelu",
    "PytorchGELUTanh": "gelu", "GELUTanh": "gelu", "SiLU": "silu", "SiLUActivation": "silu", "Hardswish": "hardswish",
    "Sigmoid": "sigmoid", "Tanh": "tanh", "Softplus": "softplus",
}  # fmt: skip
_SOFTMAXES = (torch.softmax, functional.softmax, torch.Tensor.softmax)
MAX_ROW = 1 << 20
"""Channels of a norm: the sum of more squares could leave 62 bits."""


@dataclass(frozen=True, kw_only=True)
class GqaLutConfig(SchemeConfig):
    """Table size and mode, width of an activation's codes, and of the codes of 1/x and 1/sqrt(x).

    `activations`, `softmax` and `norms` say which are replaced; a softmax inside an attention module is
    found there. `base_2` takes its exp as 2^x, reduced to [0, 1): the plain table's absolute error of
    about 0.002 an element adds up over a long row. ValueError for impossible sizes.
    """

    name: ClassVar[str] = "gqa_lut"

    entries: int = 8
    mode: Mode = "per_scale"
    bits: Literal[8, 16] = 8
    row_bits: Literal[8, 16] = 16
    activations: bool = True
    softmax: bool = True
    base_2: bool = True
    norms: bool = True

    def __post_init__(self) -> None:
        if not 2 <= self.entries <= 256:
            raise ValueError(f"{self.entries} entries are outside 2..256")

    def plan(self, model: torch.nn.Module) -> list[LayerChange]:
        """Every activation, softmax, norm and attention that is asked for."""
        return [self._change(*found) for found in self._found(model)]

    def apply_(self, model: torch.nn.Module, batches: Sequence[Batch]) -> list[LayerChange]:
        """Put the layers in, then calibrate them; without batches they wait for `calibrate_`."""
        found = list(self._found(model))
        changes = [self._change(*each) for each in found]
        for _, module, reason in found:
            if not reason:
                self._compress_(model, module)
        if batches:
            calibrate_(model, batches)
        return changes

    def _found(self, model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module, str]]:
        for path, module in model.named_modules():
            if not matches(path, self.layers) or not self._knows(module):
                continue
            reason = "named in skip" if matches(path, self.skip) else _obstacle(module)
            yield path, module, reason or ("" if path else "is the whole model")

    def _knows(self, module: torch.nn.Module) -> bool:
        if isinstance(module, torch.nn.Softmax) or is_attention(module):
            return self.softmax
        if _is_norm(module):
            return self.norms
        return self.activations and type(module).__name__ in ACTIVATIONS

    def _change(self, path: str, module: torch.nn.Module, reason: str) -> LayerChange:
        kind = type(module).__name__
        if reason:
            return LayerChange(path, self.name, kind, skipped=reason)
        what = f"{self.entries} entries, {self.mode}"
        if kind in ACTIVATIONS:
            return LayerChange(path, self.name, kind, f"{ACTIVATIONS[kind]} by table, {what}, INT{self.bits}")
        part = "1/sqrt(x)" if _is_norm(module) else "exp, 1/x"
        return LayerChange(path, self.name, kind, f"{part} by table, {what}, rows INT{self.row_bits}")

    def _compress_(self, model: torch.nn.Module, module: torch.nn.Module) -> None:
        device = next((parameter.device for parameter in model.parameters()), None)
        if isinstance(module, torch.nn.Softmax):
            replace_(model, module, self._softmax(-1 if module.dim is None else module.dim, device))
        elif is_attention(module):
            layer = self._softmax(-1, device)
            layer.train(module.training)
            _route_softmax_(module, layer)
        elif _is_norm(module):
            replace_(model, module, self._norm(module, device))
        else:
            scheme = activation_scheme(ACTIVATIONS[type(module).__name__], self.entries, self.mode, self.bits)
            replace_(model, module, LutActivation(scheme, module, device))

    def _softmax(self, dim: int, device: torch.device | None) -> LutSoftmax:
        reciprocal = row_scheme("reciprocal", self.entries, self.row_bits)
        return LutSoftmax(exp_scheme(self.entries, self.mode, self.base_2), reciprocal, dim, device)

    def _norm(self, module: torch.nn.Module, device: torch.device | None) -> LutNorm:
        weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
        scheme = row_scheme("rsqrt", self.entries, self.row_bits)
        return LutNorm(scheme, module, weight, bias, _eps(module), isinstance(module, torch.nn.LayerNorm), device)


def _is_norm(module: torch.nn.Module) -> bool:
    return isinstance(module, torch.nn.LayerNorm) or type(module).__name__.endswith("RMSNorm")


def _eps(module: torch.nn.Module) -> float:
    found = next((getattr(module, name) for name in ("eps", "variance_epsilon") if hasattr(module, name)), None)
    return float(torch.finfo(torch.float32).eps if found is None else found)


def _obstacle(module: torch.nn.Module) -> str:
    if isinstance(module, LutLayer) or isinstance(getattr(module, "softmax_0", None), LutLayer):
        return "is by table already"
    if isinstance(module, torch.nn.MultiheadAttention):
        return "computes its softmax in one fused call"
    if isinstance(module, torch.nn.Softplus) and (module.beta, module.threshold) != (1, 20):
        return f"has beta {module.beta}"
    if not _is_norm(module):
        return ""
    shape = getattr(module, "normalized_shape", None) or tuple(getattr(module, "weight", torch.empty(0)).shape)
    if len(shape) != 1:
        return f"normalises over {len(shape)} axes"
    if "Gemma" in type(module).__name__:
        return "adds 1 to its gain"
    return f"normalises {shape[0]} channels, over {MAX_ROW}" if shape[0] > MAX_ROW else ""


def _route_softmax_(attention: torch.nn.Module, layer: LutSoftmax) -> None:
    """From now on the attention's softmaxes go through this layer, `softmax_0` of it."""
    attention.add_module("softmax_0", layer)
    kind = type(attention)

    def forward(self: torch.nn.Module, *args: object, **kwargs: object) -> object:
        with _SoftmaxRouter(self):
            return kind.forward(self, *args, **kwargs)

    attention.__class__ = type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})


class _SoftmaxRouter(TorchFunctionMode):
    """Softmaxes over the last axis go through the layer; a fused attention is written out first."""

    def __init__(self, attention: torch.nn.Module) -> None:
        super().__init__()
        self._layer = attention.softmax_0

    def __torch_function__(
        self, func: Callable[..., object], types: object, args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:  # fmt: skip
        given = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            return attended(torch.matmul, self._softmax, *args, **given)  # type: ignore[arg-type]
        if func in _SOFTMAXES:
            bound = inspect.signature(_arguments).bind_partial(*args, **given).arguments
            return self._softmax(bound["input"], bound.get("dim"), bound.get("dtype"))
        return func(*args, **given)

    def _softmax(self, x: torch.Tensor, dim: int | None = -1, dtype: torch.dtype | None = None) -> torch.Tensor:
        if dim not in (-1, x.dim() - 1):
            raise ValueError(f"softmax over axis {dim}, not the last: skip this attention")
        result: torch.Tensor = self._layer(x if dtype is None else x.to(dtype))
        return result


def _arguments(input: torch.Tensor, dim: int, _stacklevel: int = 3, dtype: torch.dtype | None = None) -> None:
    """The arguments of functional.softmax."""
