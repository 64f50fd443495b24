"""How the sums of integer products come about: exactly, here; `algos.apsq` requantises them on the way."""

from __future__ import annotations

import torch

from accelsim.schemes import PsumScheme

FLOAT32_INTEGERS = 2**24
"""Integers up to here are exact in float32."""


class Psums(torch.nn.Module):
    """Exact sums of left (..., m, k) x right (..., k, n), integers in floating tensors.

    `passes`, `start` and `end` are the layer's calibration, once its operands are calibrated.
    """

    scheme: PsumScheme | None = None
    passes = 0

    def forward(self, left: torch.Tensor, right: torch.Tensor, largest: int) -> torch.Tensor:
        """Sums (..., m, n), exact in eval mode; no product of two integers exceeds `largest`."""
        kind = left.dtype if self.training else exact_type(left.shape[-1] * largest)
        return torch.matmul(left.to(kind), right.to(kind))

    def start(self, number: int) -> None:
        """Exact sums learn nothing."""

    def end(self, number: int) -> None:
        """Exact sums learn nothing."""


def exact_type(largest: int) -> torch.dtype:
    """The floating type that holds integers up to `largest` exactly."""
    return torch.float32 if largest <= FLOAT32_INTEGERS else torch.float64
