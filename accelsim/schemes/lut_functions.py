"""The functions that have tables, as GQA-LUT (DAC 2024) ranges them where it names them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.schemes.lut import Outside, RangeReduction

Floats = NDArray[np.float64]
_erf = np.vectorize(math.erf, otypes=[np.float64])


@dataclass(frozen=True)
class LutFunction:
    """A function of one number, in float64, and the range [low, high] its tables are made for."""

    name: str
    of: Callable[[Floats], Floats]
    low: float
    high: float
    outside: Outside = "clamp"
    reduction: RangeReduction | None = None


def _sigmoid(x: Floats) -> Floats:
    return 0.5 * (1 + np.tanh(0.5 * x))


FUNCTIONS: dict[str, LutFunction] = {
    function.name: function
    for function in (
        LutFunction("gelu", lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))), -4, 4, "extend"),
        LutFunction("silu", lambda x: x * _sigmoid(x), -4, 4, "extend"),
        LutFunction("hardswish", lambda x: x * np.clip(x + 3, 0, 6) / 6, -4, 4, "extend"),
        LutFunction("softplus", lambda x: np.logaddexp(0, x), -4, 4, "extend"),
        LutFunction("sigmoid", _sigmoid, -8, 8),
        LutFunction("tanh", np.tanh, -4, 4),
        LutFunction("exp", np.exp, -8, 0),
        LutFunction("reciprocal", np.reciprocal, 0.5, 4, reduction=RangeReduction("scale", 3, 3)),
        LutFunction("rsqrt", lambda x: 1 / np.sqrt(x), 0.25, 4, reduction=RangeReduction("scale", 4, 2)),
        LutFunction("exp2", np.exp2, 0, 1, reduction=RangeReduction("floor")),
    )
}
