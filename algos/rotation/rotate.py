"""Rotating tensors along their last axis, in floating point, and the module that does it at run time."""

from __future__ import annotations

from functools import lru_cache

import torch

from accelsim.schemes import RotationScheme, Window
from accelsim.schemes.hadamard import hadamard

RADIX = 64
"""A fast Walsh-Hadamard transform runs as products with this matrix, which beats butterflies of single adds."""


class OnlineRotation(torch.nn.Module):
    """x -> x Q along the last axis (x Q^T if `inverse`), for activations that no weight can take the rotation of."""

    def __init__(self, scheme: RotationScheme, *, inverse: bool = False) -> None:
        super().__init__()
        self.rotation_scheme, self.inverse = scheme, inverse

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch._C.DisableTorchFunction():  # its products are not those of an attention around it
            return (unrotate if self.inverse else rotate)(x, self.rotation_scheme)

    def extra_repr(self) -> str:
        scheme = self.rotation_scheme
        return f"width={scheme.width}, points={scheme.points}, order={scheme.order}, local={scheme.local}"


def rotate(x: torch.Tensor, scheme: RotationScheme) -> torch.Tensor:
    """x Q of a tensor (..., width) for the orthogonal Q of the scheme; a new tensor of x's type."""
    y = _flip(x, scheme)
    for stage in scheme.stages:
        y = _stage(y, stage, inverse=False)
    return y


def unrotate(x: torch.Tensor, scheme: RotationScheme) -> torch.Tensor:
    """x Q^T: what `rotate` did, undone."""
    y = x
    for stage in reversed(scheme.stages):
        y = _stage(y, stage, inverse=True)
    return _flip(y, scheme)


def fwht(x: torch.Tensor) -> torch.Tensor:
    """H x along the last axis, whose length is a power of two, in Sylvester's order and without a scale."""
    points = x.shape[-1]
    if points <= RADIX:
        return x @ _matrix(points, x.dtype, x.device)
    y = x.unflatten(-1, (points // RADIX, RADIX)) @ _matrix(RADIX, x.dtype, x.device)
    return fwht(y.transpose(-1, -2)).transpose(-1, -2).flatten(-2)


def hadamard_product(x: torch.Tensor, window: Window, *, inverse: bool) -> torch.Tensor:
    """(H_order x H_points) x, or its transpose, of (..., n, order, points); unscaled, so exact on small integers."""
    y = fwht(x)
    if window.order == 1:
        return y
    matrix = _matrix(window.order, x.dtype, x.device)
    return (matrix.mT if inverse else matrix) @ y


def _flip(x: torch.Tensor, scheme: RotationScheme) -> torch.Tensor:
    return x if scheme.seed is None else x * _signs(scheme, x.dtype, x.device)


def _stage(x: torch.Tensor, windows: tuple[Window, ...], *, inverse: bool) -> torch.Tensor:
    first = windows[0]
    end = first.start + first.size * len(windows)
    part = x[..., first.start : end].unflatten(-1, (len(windows), first.order, first.points))
    mixed = hadamard_product(part, first, inverse=inverse).flatten(-3) * first.size**-0.5
    if first.size * len(windows) == x.shape[-1]:
        return mixed
    return torch.cat((x[..., : first.start], mixed, x[..., end:]), -1)


@lru_cache(maxsize=64)
def _matrix(order: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    return torch.tensor(hadamard(order), dtype=dtype, device=device)


@lru_cache(maxsize=64)
def _signs(scheme: RotationScheme, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    return torch.tensor(scheme.signs, dtype=dtype, device=device)
