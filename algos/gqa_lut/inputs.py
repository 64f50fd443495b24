"""Inputs of a table as codes of a power-of-two scale that is chosen from data and then learned."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from algos.quantiser import round_half_up


class PowerOfTwoCodes(torch.nn.Module):
    """x as codes of scale 2^-shift; shift = round(`exponent`), a parameter, held within `shifts`.

    The gradient passes straight through both roundings: of a code inside its range to x, and of all
    codes to the exponent (LSQ, arXiv 1902.08153, with the scale rounded to a power of two). Until the
    exponent is set it is NaN and a forward raises ValueError.
    """

    def __init__(self, bits: int, shifts: Sequence[int], device: torch.device | None = None) -> None:
        super().__init__()
        self.bits, self.shifts = bits, tuple(sorted(shifts))
        self.exponent = torch.nn.Parameter(torch.full((), math.nan, device=device))

    @property
    def shift(self) -> int:
        """s of the scale 2^-s. ValueError before there is one."""
        if bool(self.exponent.isnan()):
            raise ValueError("no scale yet: run algos.calibrate_(model, data), or load a calibrated state")
        nearest = math.floor(float(self.exponent.detach()) + 0.5)
        return min(max(nearest, self.shifts[0]), self.shifts[-1])

    def set(self, shift: int) -> None:
        """Take this shift."""
        with torch.no_grad():
            self.exponent.fill_(float(shift))

    def codes(self, x: torch.Tensor, shift: int) -> torch.Tensor:
        """int64 codes at any shift, half up, saturated."""
        limit = 1 << (self.bits - 1)
        steps = x.detach().double() * 2.0**shift
        return steps.add_(0.5).floor_().clamp_(-limit, limit - 1).long()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """int64 codes, and x as they have it (float64), differentiable in x and the exponent."""
        shift = self.shift
        limit = 1 << (self.bits - 1)
        nearest = self.exponent + (shift - self.exponent).detach()
        scale = torch.exp2(-nearest.double())
        value = round_half_up((x.double() / scale).clamp(-limit, limit - 1)) * scale
        return self.codes(x, shift), value


def largest_fitting(largest: float, bits: int, shifts: Sequence[int]) -> int:
    """The finest of these shifts at which codes of so many bits hold `largest`; the coarsest if none does."""
    limit = (1 << (bits - 1)) - 1
    return max((shift for shift in shifts if largest * 2.0**shift <= limit), default=min(shifts))
