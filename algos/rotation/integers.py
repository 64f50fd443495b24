"""The rotation on quantised activations, as a chip runs it, with gradients for training through it."""

from __future__ import annotations

import torch

from accelsim.schemes import FixedRatio, RotationScales, RotationScheme, Window
from algos.rotation.rotate import hadamard_product, rotate


class QuantisedRotation(torch.nn.Module):
    """x -> x Q with integer inputs and outputs: scales s_in and s_out, saturating at both ends.

    In eval mode and in training the values are those of the integer unit; the gradient is that of the
    floating-point rotation (straight through). `output_scale` over `input_scale` is rounded to what the
    requantisers can do, so the outputs' true scale is within 2^-16 of it.
    """

    def __init__(
        self,
        scheme: RotationScheme,
        input_scale: float,
        output_scale: float,
        *,
        input_bits: int = 8,
        output_bits: int = 8,
        fraction_bits: int = 4,
    ) -> None:
        super().__init__()
        self.rotation_scales = RotationScales.from_ratio(
            scheme,
            input_scale / output_scale,
            input_bits=input_bits,
            output_bits=output_bits,
            fraction_bits=fraction_bits,
        )
        self.rotation_scheme = scheme
        self.input_scale, self.output_scale = input_scale, output_scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        limit = 2 ** (self.rotation_scales.input_bits - 1) - 1
        integers = torch.floor(x.detach().double() / self.input_scale + 0.5).clamp(-limit, limit)
        exact = (self.integers(integers) * self.output_scale).to(x.dtype)
        if not torch.is_grad_enabled():
            return exact
        smooth = rotate(x, self.rotation_scheme)
        return smooth + (exact - smooth).detach()

    def integers(self, q: torch.Tensor) -> torch.Tensor:
        """Integers (..., width), of any type, to int64 integers."""
        scales, scheme = self.rotation_scales, self.rotation_scales.scheme
        signs = torch.tensor(scheme.signs, dtype=torch.float64, device=q.device)
        y = (q.double() * signs).long()
        for number, windows in enumerate(scheme.stages):
            start, end = windows[0].start, windows[-1].start + windows[-1].size
            mixed = _mixed(y[..., start:end], windows)
            outside = [y[..., :start], y[..., end:]]
            if number + 1 < len(scheme.stages):
                assert scales.between is not None
                mixed = _times(mixed, scales.between)
                outside = [part << scales.fraction_bits for part in outside]
            else:
                mixed = _times(mixed, scales.last)
                outside = [part if scales.kept is None else _times(part, scales.kept) for part in outside]
            y = torch.cat((outside[0], mixed, outside[1]), -1)
        limit = 2 ** (scales.output_bits - 1) - 1
        return y.clamp(-limit, limit)


def _mixed(part: torch.Tensor, windows: tuple[Window, ...]) -> torch.Tensor:
    """The windows' Hadamard products; float64 holds every sum exactly."""
    blocks = part.double().unflatten(-1, (len(windows), windows[0].order, windows[0].points))
    return hadamard_product(blocks, windows[0], inverse=False).flatten(-3).long()


def _times(values: torch.Tensor, ratio: FixedRatio) -> torch.Tensor:
    """values x multiplier / 2^shift in int64, rounded half up."""
    return (values * ratio.multiplier + (1 << ratio.shift >> 1)) >> ratio.shift
