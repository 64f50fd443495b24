"""Softmax and norms on integers, their exp, 1/x and 1/sqrt(x) by table; reductions over the last axis.

    softmax   d = q - max q;  e = exp(2^-s d), 16 bits;  p = e x reciprocal(sum e)
              by 2^x: codes are of x log2 e, the factor folded into their scale, and e = 2^(2^-s d)
    norm      d = 16 q - round(16 mean q)  (RMS: no mean);  y = d x rsqrt(mean d^2 + eps)

Sums are exact; rounding is half up, but of mean d^2, which is rounded down. Codes of results have
`OUT_BITS`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.functional.lut import Ints, LookedUp, look_up, look_up_reduced, requantised
from accelsim.schemes import LutScheme

EXP_SHIFT = 15
"""An exponential is kept as an unsigned 16-bit code of scale 2^-15."""
PROBABILITY_SHIFT = 15
NORM_SHIFT = 10
"""Of a norm's results, up to 1024 channels; see `norm_shift`."""
CENTRE_BITS = 4
OUT_BITS = 16


def softmax_codes(exp: LutScheme, reciprocal: LutScheme, codes: NDArray[np.integer], shift: int) -> Ints:
    """Softmax of 2^-shift x codes, in codes of scale 2^-15; UserError as the look-ups have it.

    Codes may be as wide as an accumulator: only differences to a row's largest are looked up. `exp` is a
    table of exp, whose lowest code stands for every difference below it, or one of 2^x with its `floor`
    reduction, which has no lowest.
    """
    q = codes.astype(np.int64)
    below = q - q.max(axis=-1, keepdims=True)
    if exp.reduction is None:
        powers = look_up(exp, np.maximum(below, exp.lowest_code), shift)
    else:
        powers = look_up_reduced(exp, below, shift)
    e = requantised(powers, EXP_SHIFT, OUT_BITS, signed=False)
    inverse = look_up_reduced(reciprocal, np.maximum(e.sum(axis=-1, keepdims=True), 1), EXP_SHIFT)
    product = LookedUp(e * inverse.values, EXP_SHIFT + inverse.fraction_bits)
    return requantised(product, PROBABILITY_SHIFT, OUT_BITS, signed=False)


def norm_codes(rsqrt: LutScheme, codes: NDArray[np.integer], shift: int, eps: float, centred: bool = True) -> Ints:
    """LayerNorm (`centred`) or RMSNorm of 2^-shift x codes before gain and bias, in codes of scale 2^-`norm_shift`."""
    lifted = codes.astype(np.int64) << CENTRE_BITS
    length = lifted.shape[-1]
    if centred:
        lifted = lifted - (2 * lifted.sum(axis=-1, keepdims=True) + length) // (2 * length)
    fine = shift + CENTRE_BITS
    square = (lifted * lifted).sum(axis=-1, keepdims=True) // length + eps_code(eps, fine)
    inverse = look_up_reduced(rsqrt, np.maximum(square, 1), 2 * fine)
    return requantised(LookedUp(lifted * inverse.values, fine + inverse.fraction_bits), norm_shift(length), OUT_BITS)


def norm_shift(length: int) -> int:
    """The finest scale whose codes hold sqrt(length), which a normalised value cannot exceed.

    >>> [norm_shift(length) for length in (1, 1024, 1025, 4096, 4097)]
    [10, 10, 9, 9, 8]
    """
    return NORM_SHIFT - max(0, ((length - 1).bit_length() - 2 * (OUT_BITS - 1 - NORM_SHIFT) + 1) // 2)


def eps_code(eps: float, fine: int) -> int:
    """eps in units of 2^-2 fine, half up."""
    return int(np.floor(np.ldexp(eps, 2 * fine) + 0.5))
