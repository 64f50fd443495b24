"""APSQ, additive partial sum quantisation (arXiv 2505.03748): sums requantised each time they are stored.

Tp_n is the exact product of reduction tile n (the last may be ragged), b the stored bits, gs the group
size, alpha_n = 2^k_n in units of the integer products, qmax = 2^(b-1) - 1:

    additive(n) = n mod gs == 0 or n == T-1
    t_n = A + Tp_n  if additive(n) else Tp_n
    q_n = clamp(floor(t_n / alpha_n + 1/2), -qmax, qmax)
    A   = alpha_n q_n  if additive(n) else A + alpha_n q_n
    out = alpha_{T-1} q_{T-1}

One tile alone (T = 1) never leaves the accumulator and is exact. k_n = max(0, round(log2 s_n)), one per
step and layer. Calibration takes, step by step on what the steps before leave, the k_n of the smallest
squared error; training learns log2 s_n, straight through the rounding (LSQ, arXiv 1902.08153, with its
gradient factor 1 / sqrt(N qmax)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from accelsim.schemes import PsumScales, PsumScheme
from algos.apsq_kernels import apsq_gradients, apsq_sums
from algos.psums import FLOAT32_INTEGERS, Psums
from algos.quant import QuantConfig

MAX_SHIFT = 24
TURNED_ROWS = 64
"""From so many rows on, a transposed right operand is not copied: the rows become the columns of the pass."""
SAMPLED_ROWS = 64
"""Rows that calibration keeps of each batch and layer, evenly spaced; four times as many columns."""
CLAMPING_SHIFTS = 4
"""How far below the shift that clamps nothing calibration looks."""


@dataclass(frozen=True, kw_only=True)
class ApsqConfig(QuantConfig):
    """`QuantConfig` with partial sums of `bits` bits, `group_size` alive per output, stored every `k_tile` products.

    ValueError outside 2..15 bits, group sizes 1..16 or k_tile < 1.
    """

    name: ClassVar[str] = "apsq"

    bits: int = 8
    group_size: int = 1
    k_tile: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.scheme.is_apsq:
            raise ValueError(f"psums of {self.bits} bits are not requantised: use the scheme quant")

    @property
    def scheme(self) -> PsumScheme:
        """What the hardware is charged for."""
        return PsumScheme(self.bits, self.group_size, self.k_tile)

    def make_psums(self, reductions: int | None) -> Psums:
        """Sums requantised every `k_tile` products."""
        return ApsqPsums(self.scheme, reductions)

    def describe(self, reductions: int | None) -> str:
        """Widths, and how many steps the accumulation takes."""
        steps = "" if reductions is None else f", {-(-reductions // self.k_tile)} steps of {self.k_tile}"
        return f"{super().describe(reductions)}, psums of {self.bits} bits, group size {self.group_size}{steps}"


class ApsqPsums(Psums):
    """Requantised sums; `log2_scale[n]` is the log2 of alpha_n before it is rounded.

    With `reductions` None the number of steps is what calibration meets; an accumulation may be shorter,
    never longer.
    """

    passes = 1

    def __init__(self, scheme: PsumScheme, reductions: int | None) -> None:
        super().__init__()
        assert scheme.k_tile is not None
        self.scheme, self.tile = scheme, scheme.k_tile
        steps = 0 if reductions is None else -(-reductions // self.tile)
        self.log2_scale = torch.nn.Parameter(torch.full((steps,), math.nan))
        self.ready = steps == 1
        self._samples: list[tuple[torch.Tensor, torch.Tensor]] | None = None

    @property
    def qmax(self) -> int:
        """The largest psum stored."""
        assert self.scheme is not None
        return int(2 ** (self.scheme.bits - 1) - 1)

    @property
    def group_size(self) -> int:
        """How many psums of an output are alive at once."""
        assert self.scheme is not None
        return self.scheme.group_size

    def scales(self, steps: int | None = None) -> PsumScales:
        """The shifts of all steps, or of an accumulation of so many, as the integer execution takes them.

        ValueError before calibration, or for more steps than there are.
        """
        assert self.scheme is not None
        shifts = self._shifts(self.log2_scale.numel() if steps is None else steps)
        return PsumScales(self.scheme, tuple(int(shift) for shift in shifts) if len(shifts) > 1 else ())

    def forward(self, left: torch.Tensor, right: torch.Tensor, largest: int) -> torch.Tensor:
        """Requantised sums (..., m, n); exact ones while calibration takes its samples."""
        steps = -(-left.shape[-1] // self.tile)
        if self._samples is not None:
            self._sample(left, right)
        if self._samples is not None or steps == 1:
            return super().forward(left, right, largest)
        shifts = self._shifts(steps)
        bound = self.tile * largest + self.group_size * self.qmax * 2 ** int(max(shifts))
        kind = torch.float32 if bound <= FLOAT32_INTEGERS // 2 else torch.float64
        turned = right.mT.is_contiguous() and left.shape[-2] >= TURNED_ROWS  # a weight as it is stored
        first, second = (right.mT, left.mT) if turned else (left, right)
        sums = _Apsq.apply(
            first.reshape(-1, *first.shape[-2:]).to(kind), second.reshape(-1, *second.shape[-2:]).to(kind),
            self.log2_scale[:steps], self.tile, self.group_size, self.qmax,
        )  # fmt: skip
        sums = sums.reshape(*left.shape[:-2], *sums.shape[-2:])
        result: torch.Tensor = sums.mT if turned else sums
        return result

    def _shifts(self, steps: int) -> list[float]:
        if not self.ready:
            raise ValueError("no psum scales yet: run algos.calibrate_(model, data), or load a calibrated state")
        if steps > self.log2_scale.numel():
            raise ValueError(
                f"{steps} steps of psums, and scales of {self.log2_scale.numel()}: calibrate on longer data"
            )
        return [float(shift) for shift in _rounded(self.log2_scale.detach()[:steps])]

    def start(self, number: int) -> None:
        """Keep samples of the operands; the sums are exact meanwhile."""
        self._samples = []

    def end(self, number: int) -> None:
        """Choose every step's shift. ValueError if no data came by."""
        samples, self._samples = self._samples, None
        if not samples:
            raise ValueError("the layer saw no data")
        steps = max(-(-left.shape[-1] // self.tile) for left, _ in samples)
        if self.log2_scale.numel() not in (0, steps):
            raise ValueError(f"{steps} steps of psums in a layer of {self.log2_scale.numel()}")
        shifts = _least_squares(samples, steps, self.tile, self.group_size, self.qmax)
        self.log2_scale = torch.nn.Parameter(torch.tensor(shifts, device=self.log2_scale.device))
        self.ready = True

    def _sample(self, left: torch.Tensor, right: torch.Tensor) -> None:
        """Some rows of left with some columns of right; of a batch, some pairs."""
        assert self._samples is not None
        left = left.detach().reshape(-1, *left.shape[-2:])
        right = right.detach().reshape(-1, *right.shape[-2:])
        pairs = _spaced(len(left), max(1, SAMPLED_ROWS // min(left.shape[1], SAMPLED_ROWS)))
        left = left[pairs][:, _spaced(left.shape[1], SAMPLED_ROWS)]
        right = right[pairs][:, :, _spaced(right.shape[2], 4 * SAMPLED_ROWS)]
        if self._samples and torch.equal(self._samples[-1][1], right):
            right = self._samples[-1][1]  # a layer's weight: kept once
        self._samples.append((left, right))

    def _load_from_state_dict(self, state_dict: dict[str, torch.Tensor], prefix: str, *rest: object) -> None:
        stored = state_dict.get(f"{prefix}log2_scale")
        if stored is not None and not self.log2_scale.numel():
            self.log2_scale = torch.nn.Parameter(torch.empty_like(stored))
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self.ready = self.log2_scale.is_meta or not bool(self.log2_scale.isnan().any())


class _Apsq(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        left: torch.Tensor, right: torch.Tensor, log2_scale: torch.Tensor, tile: int, group: int, qmax: int,
    ) -> torch.Tensor:  # fmt: skip
        alphas = torch.exp2(_rounded(log2_scale)).to(left.dtype)
        ctx.save_for_backward(left, right, log2_scale, alphas)
        ctx.settings = (tile, group, qmax)
        sums = apsq_sums(_array(left), _array(right), _array(alphas), tile, group, qmax)
        return torch.from_numpy(sums)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        left, right, log2_scale, alphas = ctx.saved_tensors
        tile, group, qmax = ctx.settings
        gradient = _array(gradients[0].to(left.dtype))
        of_left, of_right, of_alphas = apsq_gradients(
            _array(left), _array(right), _array(alphas), tile, group, qmax, gradient
        )
        factor = 1 / math.sqrt(gradient.size * qmax)
        inside = log2_scale >= 0  # below, the shift stays 0 whatever the scale
        of_log2 = torch.from_numpy(of_alphas).to(log2_scale) * alphas.to(log2_scale) * math.log(2) * factor * inside
        return torch.from_numpy(of_left), torch.from_numpy(of_right), of_log2, None, None, None


def _array(tensor: torch.Tensor) -> NDArray[np.floating]:
    array: NDArray[np.floating] = tensor.detach().contiguous().numpy()
    return array


def _rounded(log2_scale: torch.Tensor) -> torch.Tensor:
    return torch.floor(log2_scale + 0.5).clamp(0, MAX_SHIFT)


def _spaced(count: int, most: int) -> torch.Tensor:
    return torch.arange(count) if count <= most else torch.linspace(0, count - 1, most).round().long()


def _least_squares(
    samples: list[tuple[torch.Tensor, torch.Tensor]], steps: int, tile: int, group: int, qmax: int
) -> list[float]:
    """The shift of every step with the smallest squared error of alpha q against t, over all samples."""
    held = [torch.zeros(*left.shape[:2], right.shape[2], dtype=torch.float64) for left, right in samples]
    shifts: list[float] = []
    for step in range(steps):
        totals: dict[int, torch.Tensor] = {}
        for number, (left, right) in enumerate(samples):
            first, last = step * tile, min((step + 1) * tile, left.shape[2])
            if first >= last:
                continue
            products = torch.matmul(left[:, :, first:last].double(), right[:, first:last].double())
            additive = step % group == 0 or last == left.shape[2]
            totals[number] = products + held[number] if additive else products
        largest = max(float(total.abs().max()) for total in totals.values())
        lossless = max(0, math.ceil(math.log2(max(largest, 1) / qmax)))
        tried = range(max(0, lossless - CLAMPING_SHIFTS), min(lossless, MAX_SHIFT) + 1)
        best = min(tried, key=lambda shift: _squared_error(totals, shift, qmax))
        shifts.append(float(best))
        for number, total in totals.items():
            value = _stored(total, best, qmax)
            additive = step % group == 0 or (step + 1) * tile >= samples[number][0].shape[2]
            held[number] = value if additive else held[number] + value
    return shifts


def _stored(total: torch.Tensor, shift: int, qmax: int) -> torch.Tensor:
    """alpha q of sums."""
    return torch.floor(total / 2**shift + 0.5).clamp(-qmax, qmax) * 2**shift


def _squared_error(totals: dict[int, torch.Tensor], shift: int, qmax: int) -> float:
    return sum(float((total - _stored(total, shift, qmax)).square().sum()) for total in totals.values())
