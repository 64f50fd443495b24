"""The two matrix products inside an attention module, as layers of their own.

An attention that has been changed runs as before, except that its products of two activations go through
its layers `product_0` and `product_1`, in the order it makes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

PRODUCTS = 2
_MATMULS = (torch.matmul, torch.bmm, torch.Tensor.matmul, torch.Tensor.bmm, torch.Tensor.__matmul__)


def is_attention(module: torch.nn.Module) -> bool:
    """Whether the module is called an attention and none below it is: the one that multiplies."""
    below = [child for child in module.modules() if child is not module]
    return _named_so(module) and not any(_named_so(child) for child in below)


def _named_so(module: torch.nn.Module) -> bool:
    return type(module).__name__.lower().endswith("attention")


def route_products_(attention: torch.nn.Module, products: Sequence[torch.nn.Module]) -> None:
    """From now on the attention's products go through these two layers."""
    for number, product in enumerate(products):
        attention.add_module(f"product_{number}", product)
    kind = type(attention)

    def forward(self: torch.nn.Module, *args: object, **kwargs: object) -> object:
        with _Router(self):
            return kind.forward(self, *args, **kwargs)

    attention.__class__ = type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})


class _Router(TorchFunctionMode):
    def __init__(self, attention: torch.nn.Module) -> None:
        super().__init__()
        self._attention = attention
        self._made = 0

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        if func is functional.scaled_dot_product_attention:
            return attended(self._product, torch.softmax, *args, **(kwargs or {}))  # type: ignore[arg-type]
        if func in _MATMULS and not any(isinstance(arg, torch.nn.Parameter) for arg in args):
            return self._product(*args)
        return func(*args, **(kwargs or {}))

    def _product(self, *operands: object) -> torch.Tensor:
        if self._made == PRODUCTS:
            raise ValueError(f"{type(self._attention).__name__} makes over {PRODUCTS} products; skip it")
        layer = getattr(self._attention, f"product_{self._made}")
        self._made += 1
        result: torch.Tensor = layer(*operands)
        return result


def attended(
    product: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    softmax: Callable[[torch.Tensor, int], torch.Tensor],
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """scaled_dot_product_attention, written out as torch documents it."""
    if enable_gqa:
        times = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(times, -3), value.repeat_interleave(times, -3)
    scores = product(query, key.mT) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
        scores = scores.masked_fill(~allowed, -math.inf)
    if attn_mask is not None:
        masked = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, -math.inf) if masked else scores + attn_mask
    weights = functional.dropout(softmax(scores, -1), dropout_p)
    return product(weights, value)
