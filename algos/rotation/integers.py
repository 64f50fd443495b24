"""The rotation on quantised activations, as a chip runs it, with gradients for training through it."""

from __future__ import annotations

import math

import torch

from accelsim.schemes import FixedRatio, RotationScales, RotationScheme, Window
from algos.rotation.rotate import hadamard_product, rotate


class QuantisedRotation(torch.nn.Module):
    """x -> x Q with integer inputs and outputs: scales s_in and s_out, saturating at both ends.

    In eval mode and in training the values are those of the integer unit; the gradient is that of the
    floating-point rotation (straight through). Scales are calibrated (`algos.calibrate_`) to the largest
    magnitudes seen, or given to `set_scales`; their ratio is rounded to what the requantisers can do,
    within 2^-16 of it. A forward before that raises ValueError.
    """

    calibration_passes = 1

    def __init__(
        self, scheme: RotationScheme, *, input_bits: int = 8, output_bits: int = 8, fraction_bits: int = 4
    ) -> None:
        super().__init__()
        self.rotation_scheme = scheme
        self.input_bits, self.output_bits, self.fraction_bits = input_bits, output_bits, fraction_bits
        self.scales: torch.Tensor
        self.register_buffer("scales", torch.full((2,), math.nan, dtype=torch.float64))
        self._largest: torch.Tensor | None = None

    def set_scales(self, input_scale: float, output_scale: float) -> None:
        """Real values of one integer step of the inputs and of the outputs."""
        self.scales.copy_(torch.tensor((input_scale, output_scale), dtype=torch.float64))

    @property
    def rotation_scales(self) -> RotationScales:
        """What the integer unit is set to. ValueError before there are scales."""
        input_scale, output_scale = self.scales.tolist()
        if math.isnan(input_scale):
            raise ValueError("no scales yet: run algos.calibrate_(model, data), or load a calibrated state")
        bits = {"input_bits": self.input_bits, "output_bits": self.output_bits, "fraction_bits": self.fraction_bits}
        return RotationScales.from_ratio(self.rotation_scheme, input_scale / output_scale, **bits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Quantised; unquantised while ranges are observed."""
        with torch._C.DisableTorchFunction():  # its products are not those of an attention around it
            smooth = rotate(x, self.rotation_scheme)
            if self._largest is not None:
                seen = torch.stack((x.detach().abs().max(), smooth.detach().abs().max())).double()
                self._largest = torch.maximum(self._largest, seen.cpu())
                return smooth
            limit = 2 ** (self.input_bits - 1) - 1
            integers = torch.floor(x.detach().double() / self.scales[0] + 0.5).clamp(-limit, limit)
            exact = (self.integers(integers) * self.scales[1]).to(x.dtype)
            return smooth + (exact - smooth).detach() if torch.is_grad_enabled() else exact

    def start_calibration(self, number: int) -> None:
        """The next forwards are observed."""
        self._largest = torch.zeros(2, dtype=torch.float64)

    def end_calibration(self, number: int) -> None:
        """Take the largest magnitudes seen. ValueError when there were none."""
        largest, self._largest = self._largest, None
        if largest is None or not float(largest.min()) > 0:
            raise ValueError("the layer saw no data")
        input_scale, output_scale = largest.tolist()
        self.set_scales(
            input_scale / (2 ** (self.input_bits - 1) - 1), output_scale / (2 ** (self.output_bits - 1) - 1)
        )

    def integers(self, q: torch.Tensor) -> torch.Tensor:
        """Integers (..., width), of any type, to int64 integers."""
        scales, scheme = self.rotation_scales, self.rotation_scheme
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
