"""A tensor to integers and back: calibrated or learned scales, straight-through gradients.

q = clamp(round half up(x / s), -qmax, qmax)        x ~ s q
dq/dx = 1/s inside the clamp, else 0; ds is multiplied by 1 / sqrt(N qmax)    (LSQ, arXiv 1902.08153)
"""

from __future__ import annotations

import math

import torch

from accelsim.schemes import QuantScales, QuantScheme

SMALLEST = 1e-12


class Quantiser(torch.nn.Module):
    """Integers of a tensor under a scheme, with one scale or one per first-axis channel.

    log2 of the scale is what is learned, so that an optimiser's step is relative to it. Until calibrated
    (`observe`, `settle`) it is NaN and a forward raises ValueError.
    """

    def __init__(self, scheme: QuantScheme, channels: int = 1, device: torch.device | None = None) -> None:
        super().__init__()
        self.scheme = scheme
        shape = (channels,) if scheme.granularity == "channel" else ()
        self.log2_scale = torch.nn.Parameter(torch.full(shape, math.nan, device=device))
        self._largest: torch.Tensor | None = None
        self.ready = False

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Integers (in x's floating type and shape) and the scale, both differentiable.

        A scale per channel has the shape (channels, 1, ...) of x's number of axes.
        """
        if not self.ready:
            raise ValueError("no scales yet: run algos.calibrate_(model, data), or load a calibrated state")
        qmax = self.scheme.qmax
        scale = self.scale.to(x.dtype)
        if self.training:
            scale = _scaled_gradient(scale, 1 / math.sqrt(x.numel() / scale.numel() * qmax))
        scale = scale.reshape(self._shape(x))
        return round_half_up(torch.clamp(x / scale, -qmax, qmax)), scale

    @property
    def scale(self) -> torch.Tensor:
        """s: one number, or (channels,)."""
        return torch.exp2(self.log2_scale)

    def observe(self, x: torch.Tensor) -> None:
        """Widen the range to what x holds."""
        axes = tuple(range(1, x.dim())) if self.log2_scale.dim() else tuple(range(x.dim()))
        largest = x.detach().abs().amax(axes) if axes else x.detach().abs()
        self._largest = largest if self._largest is None else torch.maximum(self._largest, largest)

    def settle(self) -> None:
        """Take the smallest scale that clamps nothing observed. ValueError if nothing was."""
        if self._largest is None:
            raise ValueError("the layer saw no data")
        with torch.no_grad():
            self.log2_scale.copy_((self._largest / self.scheme.qmax).clamp_min(SMALLEST).log2())
        self._largest, self.ready = None, True

    def scales(self) -> QuantScales:
        """The scales as numbers."""
        return QuantScales(self.scheme, tuple(float(scale) for scale in self.scale.detach().reshape(-1).double()))

    def _shape(self, x: torch.Tensor) -> tuple[int, ...]:
        return (-1, *(1 for _ in range(x.dim() - 1))) if self.log2_scale.dim() else ()

    def _load_from_state_dict(self, state_dict: dict[str, torch.Tensor], prefix: str, *rest: object) -> None:
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self.ready = self.log2_scale.is_meta or not bool(self.log2_scale.isnan().any())


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
        return torch.floor(x + 0.5)

    @staticmethod
    def backward(ctx: object, *gradients: torch.Tensor) -> torch.Tensor:
        return gradients[0]


def round_half_up(x: torch.Tensor) -> torch.Tensor:
    """The nearest integers, halves up; the gradient passes straight through."""
    result: torch.Tensor = _Round.apply(x)
    return result


def _scaled_gradient(x: torch.Tensor, factor: float) -> torch.Tensor:
    """x, whose gradient is multiplied by `factor`."""
    return (x - x * factor).detach() + x * factor
