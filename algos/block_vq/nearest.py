"""Round to nearest on a uniform grid per output channel: what codebooks have to beat at equal bits."""

from __future__ import annotations

import torch

from algos.block_vq.layer import CLIP_RATIOS
from algos.quantiser import SMALLEST, round_half_up

PARAMETER_BITS = 16
"""Of the step and of the lowest level, both stored per output channel."""


class GridLinear(torch.nn.Module):
    """y = x W^T + b, W[n, k] one of 2^bits levels low[n] + step[n] x (0, 1, ...).

    The row's range is the one of 12 clips of its extremes that loses least, weighted with E[x^2] of the
    input channels (`second_moment`, (in,)) if given. Weights, steps and lowest levels can be trained: the
    gradient passes straight through the rounding.
    """

    def __init__(self, linear: torch.nn.Linear, bits: int, second_moment: torch.Tensor | None) -> None:
        super().__init__()
        self.levels = 2**bits - 1
        self.stored_bits = linear.weight.numel() * bits + 2 * PARAMETER_BITS * linear.out_features
        self.raw, self.bias = linear.weight, linear.bias
        weight = linear.weight.detach()
        moment = torch.ones_like(weight[0]) if second_moment is None else second_moment.to(weight)
        lows, highs = weight.amin(1, keepdim=True), weight.amax(1, keepdim=True)
        best, least = (lows, (highs - lows) / self.levels), torch.full_like(lows, torch.inf)
        for ratio in CLIP_RATIOS:
            low, step = lows * ratio, ((highs - lows) * ratio / self.levels).clamp_min(SMALLEST)
            error = ((self._rounded(weight, low, step) - weight).square() * moment).sum(1, keepdim=True)
            best = tuple(torch.where(error < least, new, old) for new, old in zip((low, step), best, strict=True))
            least = torch.minimum(error, least)
        self.low, self.step = (torch.nn.Parameter(value) for value in best)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, self._rounded(self.raw, self.low, self.step), self.bias)

    def _rounded(self, weight: torch.Tensor, low: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        return round_half_up(((weight - low) / step).clamp(0, self.levels)) * step + low
