"""Folding a norm's gain, bias and mean into the linear layers around it, so that a rotation passes through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch

Tensors = Callable[[torch.Tensor], torch.Tensor]


def is_foldable(norm: torch.nn.Module) -> bool:
    """Whether the module is x / rms(x) (or centred and the same), times a gain, plus a bias."""
    if isinstance(norm, torch.nn.LayerNorm | torch.nn.RMSNorm):
        return len(norm.normalized_shape) == 1
    return type(norm).__name__ in ("LlamaRMSNorm", "MistralRMSNorm", "Qwen2RMSNorm")


def subtracts_mean(norm: torch.nn.Module) -> bool:
    """Whether the norm centres its input."""
    return isinstance(norm, torch.nn.LayerNorm)


def fold_gain_(norm: torch.nn.Module, readers: Iterable[torch.nn.Linear]) -> None:
    """Move the norm's gain and bias into the linears that read it; the norm keeps ones and zeros."""
    gain, bias = getattr(norm, "weight", None), getattr(norm, "bias", None)
    with torch.no_grad():
        for linear in readers:
            weight = linear.weight.double()
            if bias is not None and bool((bias != 0).any()):
                moved = weight @ bias.double()
                if linear.bias is None:
                    linear.bias = torch.nn.Parameter(moved.to(linear.weight.dtype))
                else:
                    linear.bias.copy_(linear.bias.double() + moved)
            if gain is not None:
                linear.weight.copy_(weight * gain.double())
        if gain is not None:
            gain.fill_(1)
        if bias is not None:
            bias.zero_()


def plain_norm(norm: torch.nn.Module, width: int) -> torch.nn.RMSNorm:
    """x / rms(x) with the norm's epsilon and type, nothing else; it works in the type of its input."""
    eps = getattr(norm, "variance_epsilon", None) or getattr(norm, "eps", None)
    return torch.nn.RMSNorm(width, eps=eps, elementwise_affine=False).train(norm.training)


def centred(x: torch.Tensor) -> torch.Tensor:
    """x minus its mean over the last axis."""
    return x - x.mean(-1, keepdim=True)


def along_(parameter: torch.Tensor, axis: int, change: Tensors) -> None:
    """Apply `change`, which works on the last axis, along another one, in double precision and in place."""
    with torch.no_grad():
        moved = change(parameter.double().movedim(axis, -1))
        parameter.copy_(moved.movedim(-1, axis))


def written(module: torch.nn.Module, width: int) -> Sequence[tuple[torch.Tensor, int]]:
    """The parameters with which a module adds to a stream of this width, and their axis along it.

    Raises ValueError for a parameter that is none of linear, convolution, embedding or plain token.
    """
    found: list[tuple[torch.Tensor, int]] = []
    for part in module.modules():
        own = dict(part.named_parameters(recurse=False))
        outputs = isinstance(part, torch.nn.Linear | torch.nn.Conv2d)
        for name, parameter in own.items():
            axis = 0 if outputs else parameter.dim() - 1
            if parameter.shape[axis] != width or (not outputs and isinstance(part, torch.nn.LayerNorm)):
                raise ValueError(f"{type(part).__name__}.{name} does not write vectors of {width} values")
            found.append((parameter, axis))
    return found
