"""APSQ as a plain loop over tiles in torch: what the fused pass is checked against and timed beside."""

from __future__ import annotations

import torch


def naive_apsq(
    left: torch.Tensor, right: torch.Tensor, alphas: torch.Tensor, tile: int, group: int, qmax: int
) -> torch.Tensor:
    """(..., m, k) x (..., k, n) requantised tile by tile; gradients by autograd, straight through the rounding."""
    steps, held = len(alphas), torch.zeros((), dtype=left.dtype)
    for step in range(steps):
        columns = slice(step * tile, (step + 1) * tile)
        additive = step % group == 0 or step == steps - 1
        total = left[..., columns] @ right[..., columns, :]
        total = total + held if additive else total
        clamped = torch.clamp(total / alphas[step], -qmax, qmax)
        stored = clamped + (torch.floor(clamped + 0.5) - clamped).detach()
        held = stored * alphas[step] if additive else held + stored * alphas[step]
    return held
