"""Linear layers, convolutions and attention products on integers.

    y = (sums + round(bias / s)) s        s = s_x s_w, sums of integers q_x q_w as `algos.psums` has them

Reduction order: the last axis of a linear layer's input; r, s, c of a convolution, c fastest, as arrays
flatten it.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from accelsim.schemes import PsumScheme, QuantScheme
from algos.psums import Psums
from algos.quantiser import Quantiser, round_half_up


class Product(torch.nn.Module):
    """What the layers share: a quantiser for each operand, a rule for psums, and calibration.

    Calibration: ranges of the operands in the first pass, which runs unquantised; then what `psums` needs.
    """

    def __init__(self, activation: Quantiser, weight: Quantiser, psums: Psums) -> None:
        super().__init__()
        self.activation_quantiser, self.weight_quantiser, self.psums = activation, weight, psums
        self._observed: tuple[Quantiser, ...] = ()
        self.calibration_passes = 1 + psums.passes

    @property
    def activation_scheme(self) -> QuantScheme:
        """How the ifmap is stored."""
        return self.activation_quantiser.scheme

    @property
    def weight_scheme(self) -> QuantScheme:
        """How the weight operand is stored."""
        return self.weight_quantiser.scheme

    @property
    def psum_scheme(self) -> PsumScheme | None:
        """How partial sums are stored; None leaves that to the array."""
        return self.psums.scheme

    def start_calibration(self, number: int) -> None:
        """Pass 0 observes operands, the others psums."""
        if number:
            self.psums.start(number - 1)
        else:
            self._observed = self._observes()

    def end_calibration(self, number: int) -> None:
        """Take the scales that the pass was for. ValueError if it saw no data."""
        if number:
            self.psums.end(number - 1)
            return
        for quantiser in self._observed:
            quantiser.settle()
        self._observed = ()

    def _observes(self) -> tuple[Quantiser, ...]:
        """The quantisers whose operands are data."""
        return (self.activation_quantiser,)

    @property
    def _largest(self) -> int:
        return self.activation_scheme.qmax * self.weight_scheme.qmax


class Weighted(Product):
    """A product with a weight: its one input is data."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Quantised; unquantised while ranges are observed."""
        if self._observed:
            self.activation_quantiser.observe(x)
            return self.exported(x)
        sums, scale = self.integers(x)
        return (sums * scale).to(x.dtype)

    def integers(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums with bias, which are integers, and the scale of each output channel."""
        raise NotImplementedError

    def exported(self, x: torch.Tensor) -> torch.Tensor:
        """The one op it is."""
        raise NotImplementedError


class QuantLinear(Weighted):
    """(..., in) -> (..., out). `by_columns` says that the weight is (in, out), not (out, in)."""

    def __init__(
        self, weight: torch.nn.Parameter, bias: torch.nn.Parameter | None, by_columns: bool,
        activation: Quantiser, weights: Quantiser, psums: Psums,
    ) -> None:  # fmt: skip
        super().__init__(activation, weights, psums)
        self.weight, self.bias, self.by_columns = weight, bias, by_columns
        weights.observe(self._matrix())
        weights.settle()

    def integers(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums with bias (..., out), which are integers, and the scale of each column."""
        with torch._C.DisableTorchFunction():  # these products are not an attention's own
            left, x_scale = self.activation_quantiser(_wide(x))
            right, w_scale = self.weight_quantiser(_wide(self._matrix()))
            sums = self.psums(left.reshape(-1, x.shape[-1]), right.t(), self._largest)
            scale = x_scale * w_scale.reshape(-1)
            if self.bias is not None:
                sums = sums + round_half_up(_wide(self.bias) / scale)
            return sums.reshape(*x.shape[:-1], right.shape[0]), scale

    def exported(self, x: torch.Tensor) -> torch.Tensor:
        """The one op it is."""
        return functional.linear(x, self._matrix(), self.bias)

    def _matrix(self) -> torch.Tensor:
        return self.weight.t() if self.by_columns else self.weight


class QuantConv2d(Weighted):
    """(n, c, h, w) -> (n, filters, p, q), zero-padded, of the shape and strides of `conv`."""

    def __init__(self, conv: torch.nn.Conv2d, activation: Quantiser, weights: Quantiser, psums: Psums) -> None:
        super().__init__(activation, weights, psums)
        self.weight, self.bias = conv.weight, conv.bias
        self.stride, self.padding, self.dilation, self.groups = conv.stride, conv.padding, conv.dilation, conv.groups
        self._pads = tuple(conv._reversed_padding_repeated_twice)
        weights.observe(self.weight)
        weights.settle()

    def integers(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums with bias (n, filters, p, q), which are integers, and the scale of each filter, (filters, 1, 1)."""
        with torch._C.DisableTorchFunction():
            image, x_scale = self.activation_quantiser(_wide(x))
            filters, w_scale = self.weight_quantiser(_wide(self.weight))
            padded = functional.pad(image, self._pads)
            columns = functional.unfold(padded, self.weight.shape[2:], self.dilation, 0, self.stride)
            channels, taps = filters.shape[1], filters.shape[2] * filters.shape[3]
            columns = columns.reshape(x.shape[0], self.groups, channels, taps, -1).transpose(2, 3).flatten(2, 3)
            rows = filters.reshape(self.groups, -1, channels, taps).transpose(2, 3).flatten(2)
            sums = self.psums(rows.expand(x.shape[0], *rows.shape), columns, self._largest)
            scale = x_scale * w_scale.reshape(-1, 1)
            sums = sums.reshape(x.shape[0], filters.shape[0], -1)
            if self.bias is not None:
                sums = sums + round_half_up(_wide(self.bias)[:, None] / scale)
            return sums.reshape(*sums.shape[:2], *self._positions(padded)), scale[..., None]

    def exported(self, x: torch.Tensor) -> torch.Tensor:
        """The one op it is."""
        return functional.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def _positions(self, padded: torch.Tensor) -> list[int]:
        shape = zip(padded.shape[2:], self.weight.shape[2:], self.stride, self.dilation, strict=True)
        return [(size - dilation * (kernel - 1) - 1) // stride + 1 for size, kernel, stride, dilation in shape]


class QuantMatmul(Product):
    """left (..., m, k) x right (..., k, n) -> (..., m, n), both of them activations."""

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Quantised; unquantised while ranges are observed."""
        if self._observed:
            self.activation_quantiser.observe(left)
            self.weight_quantiser.observe(right)
            return self.exported(left, right)
        sums, scale = self.integers(left, right)
        return (sums * scale).to(left.dtype)

    def integers(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums (..., m, n), which are integers, and their scale."""
        with torch._C.DisableTorchFunction():
            rows, left_scale = self.activation_quantiser(_wide(left))
            columns, right_scale = self.weight_quantiser(_wide(right))
            return self.psums(rows, columns, self._largest), left_scale * right_scale

    def exported(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """The one op it is."""
        return torch.matmul(left, right)

    def _observes(self) -> tuple[Quantiser, ...]:
        return self.activation_quantiser, self.weight_quantiser


def _wide(x: torch.Tensor) -> torch.Tensor:
    """Integers of 16 bits and their scales are not held by half precision."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
