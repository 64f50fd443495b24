"""What takes the place of an activation, a softmax or a norm: the same function on integers, by table.

In both modes a forward gives exactly what the integers stand for; gradients pass straight through:
an activation has the slope of its segment, a softmax or norm the gradient of the function itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional

from accelsim.schemes import LutScheme
from algos.gqa_lut.inputs import PowerOfTwoCodes, largest_fitting
from algos.gqa_lut.torch_lut import TorchLut, requantise

ROW_BITS, SCORE_BITS = 16, 32
LOG2_E = math.log2(math.e)
ROW_SHIFTS = tuple(range(-4, 13))
EXP_SHIFT, PROBABILITY_SHIFT, NORM_SHIFT, CENTRE_BITS = 15, 15, 10, 4
CACHED = 1 << 18
"""Scores that are worked on at once, so that their integers stay in a processor's cache."""
UNSIGNED, SIGNED = (0, (1 << ROW_BITS) - 1), (-(1 << (ROW_BITS - 1)), (1 << (ROW_BITS - 1)) - 1)


class LutLayer(torch.nn.Module):
    """What they share: input codes, and calibration in one pass that runs the plain function."""

    calibration_passes = 1

    def __init__(self, plain: Callable[..., torch.Tensor], codes: PowerOfTwoCodes) -> None:
        super().__init__()
        self.input_codes = codes
        self._original = [plain]  # in a list: its parameters are this layer's own, or none
        self._observing = False

    @property
    def lut_schemes(self) -> tuple[LutScheme, ...]:
        """The tables that the layer looks up in, at its own scale where they depend on it."""
        raise NotImplementedError

    def exported(self, x: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        """The plain function, which is what the op is called on a chip."""
        return self._original[0](x, *args, **kwargs)

    def start_calibration(self, number: int) -> None:
        """The next forwards are seen and run plainly."""
        self._observing = True

    def end_calibration(self, number: int) -> None:
        """Choose the scale. ValueError if no data were seen."""
        self._observing = False
        self.input_codes.set(self._chosen())

    def forward(self, x: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        """The function by table, of x's shape and type; more arguments are the plain function's own."""
        if self._observing:
            self._observe(x.detach())
            return self.exported(x, *args, **kwargs)
        return self._by_table(x)

    def _observe(self, x: torch.Tensor) -> None:
        raise NotImplementedError

    def _chosen(self) -> int:
        raise NotImplementedError

    def _by_table(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class LutActivation(LutLayer):
    """A function of one number. Its scale is the one of least squared error on the data seen."""

    def __init__(self, scheme: LutScheme, plain: Callable[..., torch.Tensor], device: torch.device | None = None):
        super().__init__(plain, PowerOfTwoCodes(scheme.input_bits, scheme.shifts, device))
        self.lut = TorchLut(scheme, device)
        self._errors: dict[int, float] = {}

    @property
    def lut_schemes(self) -> tuple[LutScheme, ...]:
        """The table of the layer's scale."""
        return (self.lut.scheme.at(self.input_codes.shift),)

    def integers(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Input codes, results, and the results' fraction bits."""
        codes = self.input_codes.codes(x, self.input_codes.shift)
        found, bits, _ = self.lut(codes, self.input_codes.shift)
        return codes, found, bits

    def _by_table(self, x: torch.Tensor) -> torch.Tensor:
        shift, scheme = self.input_codes.shift, self.lut.scheme
        if not torch.is_grad_enabled():
            return self._values(x, shift).to(x.dtype)
        codes, value = self.input_codes(x)
        found, bits, segment = self.lut(codes, shift)
        slope = self.lut.slopes[scheme.shifts.index(shift)][segment] * scheme.slope.step
        if scheme.outside == "clamp":
            low, high = (code * 2.0**-shift for code in scheme.usable_codes(shift))
            value = value.clamp(low, high)
        straight = slope * value
        result = found.double() * 2.0**-bits + (straight - straight.detach())
        return result.to(x.dtype)

    def _observe(self, x: torch.Tensor) -> None:
        target = self.exported(x).double()
        for shift in self.lut.scheme.shifts:
            error = float(self._values(x, shift).sub_(target).square_().sum())
            self._errors[shift] = self._errors.get(shift, 0.0) + error

    def _values(self, x: torch.Tensor, shift: int) -> torch.Tensor:
        """What the results stand for, float64; each code is looked up once."""
        lowest, highest = self.lut.scheme.lowest_code, self.lut.scheme.highest_code
        found, bits, _ = self.lut(torch.arange(lowest, highest + 1, device=x.device), shift)
        return (found.double() * 2.0**-bits)[self.input_codes.codes(x, shift).sub_(lowest)]

    def _chosen(self) -> int:
        if not self._errors:
            raise ValueError("the layer saw no data")
        best = min(self._errors, key=self._errors.__getitem__)
        self._errors = {}
        return best


class LutSoftmax(LutLayer):
    """Softmax over the last axis, as `accelsim.functional.lut_rows.softmax_codes` has it.

    Scores are codes of the accumulator's width, since only their differences to the largest are small: for
    an `exp` table of exp, of the finest scale at which its codes reach the low end of its range; for one
    of 2^x, x log2 e in codes of the table's scale.
    """

    def __init__(
        self, exp: LutScheme, reciprocal: LutScheme, dim: int = -1, device: torch.device | None = None
    ) -> None:
        self_reducing = exp.reduction is not None
        shifts = (exp.reduced_shift,) if self_reducing else exp.shifts
        super().__init__(_softmax, PowerOfTwoCodes(SCORE_BITS, shifts, device))
        self.base_2 = self_reducing
        self.exp, self.reciprocal, self.dim = TorchLut(exp, device), TorchLut(reciprocal, device), dim
        self.input_codes.set(max(shift for shift in shifts if math.ldexp(exp.low, shift) >= exp.lowest_code))

    @property
    def lut_schemes(self) -> tuple[LutScheme, ...]:
        """exp at the layer's scale; the reciprocal."""
        return self.exp.scheme.at(self.input_codes.shift), self.reciprocal.scheme.at(
            self.reciprocal.scheme.reduced_shift
        )

    def integers(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Codes of the scores and of the probabilities; the last axis is the one summed over."""
        shift = self.input_codes.shift
        q = self.input_codes.codes(x.double() * LOG2_E if self.base_2 else x, shift)
        below = q - q.amax(-1, keepdim=True)
        powers = self._powers(shift)
        e = powers[below.clamp_min_(1 - len(powers)).add_(len(powers) - 1)]
        inverse, inverse_bits = self.reciprocal.reduced(e.sum(-1, keepdim=True).clamp_min(1), EXP_SHIFT)
        return q, requantise(e * inverse, EXP_SHIFT + inverse_bits - PROBABILITY_SHIFT, *UNSIGNED)

    def _powers(self, shift: int) -> torch.Tensor:
        """The exponential of every difference up to 0; of those below the first it is the first's."""
        lowest = -(EXP_SHIFT + 3) << shift if self.base_2 else self.exp.scheme.lowest_code  # 2^-18 is code 0
        below = torch.arange(lowest, 1, device=self.exp.slopes.device)
        bits: torch.Tensor | int
        if self.base_2:
            found, bits = self.exp.whole_reduced(below)
        else:
            found, bits, _ = self.exp(below, shift)
        return requantise(found, bits - EXP_SHIFT, *UNSIGNED)

    def _by_table(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.movedim(self.dim, -1)
        pieces = rows.reshape(-1, rows.shape[-1]).split(max(1, CACHED // rows.shape[-1]))
        values = [(self.integers(piece)[1].double() * 2.0**-PROBABILITY_SHIFT).to(x.dtype) for piece in pieces]
        found = torch.cat(values).reshape(rows.shape).movedim(-1, self.dim)
        return _with_gradient(found, functional.softmax(x, self.dim)) if x.requires_grad else found

    def end_calibration(self, number: int) -> None:
        """Nothing depends on data."""
        self._observing = False

    def _observe(self, x: torch.Tensor) -> None:
        pass


class LutNorm(LutLayer):
    """LayerNorm or RMSNorm over the last axis, as `accelsim.functional.lut_rows.norm_codes` has it.

    `weight` and `bias` are the replaced layer's, applied after the integers. The scale is the finest
    that clamps nothing seen.
    """

    def __init__(
        self, rsqrt: LutScheme, plain: Callable[..., torch.Tensor], weight: torch.nn.Parameter | None,
        bias: torch.nn.Parameter | None, eps: float, centred: bool, device: torch.device | None = None,
    ) -> None:  # fmt: skip
        super().__init__(plain, PowerOfTwoCodes(ROW_BITS, ROW_SHIFTS, device))
        self.rsqrt, self.weight, self.bias, self.eps, self.centred = TorchLut(rsqrt, device), weight, bias, eps, centred
        self._largest: float | None = None

    @property
    def lut_schemes(self) -> tuple[LutScheme, ...]:
        """1/sqrt(x) at the one scale of reduced inputs."""
        return (self.rsqrt.scheme.at(self.rsqrt.scheme.reduced_shift),)

    def integers(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Codes of the inputs and of the normalised values, before gain and bias."""
        shift = self.input_codes.shift
        q = self.input_codes.codes(x, shift)
        length, lifted = q.shape[-1], q << CENTRE_BITS
        if self.centred:
            doubled = 2 * lifted.sum(-1, keepdim=True) + length
            lifted = lifted - torch.div(doubled, 2 * length, rounding_mode="floor")
        fine = shift + CENTRE_BITS
        square = torch.div((lifted * lifted).sum(-1, keepdim=True), length, rounding_mode="floor")
        square = square + int(self.eps * 4.0**fine + 0.5)
        inverse, bits = self.rsqrt.reduced(square.clamp_min(1), 2 * fine)
        return q, requantise(lifted * inverse, fine + bits - _norm_shift(length), *SIGNED)

    def _by_table(self, x: torch.Tensor) -> torch.Tensor:
        _, codes = self.integers(x)
        centre = x.mean(-1, keepdim=True) if self.centred else 0.0
        centred = x - centre
        straight = centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + self.eps)
        y = _with_gradient((codes.double() * 2.0 ** -_norm_shift(x.shape[-1])).to(x.dtype), straight)
        y = y if self.weight is None else y * self.weight
        return y if self.bias is None else y + self.bias

    def _observe(self, x: torch.Tensor) -> None:
        self._largest = max(self._largest or 0.0, float(x.abs().amax()))

    def _chosen(self) -> int:
        if self._largest is None:
            raise ValueError("the layer saw no data")
        largest, self._largest = self._largest, None
        return largest_fitting(largest, ROW_BITS, ROW_SHIFTS)


def _norm_shift(channels: int) -> int:
    """Normalised values reach sqrt(channels): +-32 at first, twice as far for every four times as many channels."""
    doublings = 0
    while channels > 1024 << 2 * doublings:
        doublings += 1
    return NORM_SHIFT - doublings


def _softmax(x: torch.Tensor, dim: int = -1) -> torch.Tensor:
    return functional.softmax(x, dim)


def _with_gradient(value: torch.Tensor, straight: torch.Tensor) -> torch.Tensor:
    """The value, with the gradient of `straight`; exactly the value."""
    return value.detach() + (straight - straight.detach())
