"""Integer rotation as a rotation unit does it: butterflies, +-1 accumulation, and a fixed-point requantiser."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.functional.arrangement import Ints
from accelsim.schemes import FixedRatio, RotationScales, Window
from accelsim.schemes.hadamard import hadamard


def rotate_integers(scales: RotationScales, values: NDArray[np.integer]) -> Ints:
    """Integers (..., width) through every stage of the rotation, requantised; int64 of the same shape.

    Sums are exact. Rounding is half up (add half, shift right arithmetically); outputs saturate at
    +-(2^(output_bits - 1) - 1). Raises ValueError for another width or a value beyond `input_bits`.
    """
    scheme, width = scales.scheme, scales.scheme.width
    if values.ndim == 0 or values.shape[-1] != width:
        raise ValueError(f"the rotation is {width} wide, its input has shape {values.shape}")
    bound = 1 << (scales.input_bits - 1)
    if values.size and (values.min() < -bound or values.max() >= bound):
        raise ValueError(f"a value of the input needs more than {scales.input_bits} bits")
    rows = values.reshape(-1, width).astype(np.int64) * scheme.signs
    stages = scheme.stages
    for number, windows in enumerate(stages):
        for window in windows:
            _mix(rows, window.start, window.points, hadamard(window.order))
        if number + 1 < len(stages):
            inside = _inside(windows, width)
            assert scales.between is not None
            _requantise(rows, inside, scales.between)
            rows[:, ~inside] <<= scales.fraction_bits
    inside = _inside(stages[-1], width)
    _requantise(rows, inside, scales.last)
    if scales.kept is not None:
        _requantise(rows, ~inside, scales.kept)
    limit = (1 << (scales.output_bits - 1)) - 1
    return np.clip(rows, -limit, limit).reshape(values.shape)


def _inside(windows: tuple[Window, ...], width: int) -> NDArray[np.bool_]:
    """Which channels the windows mix."""
    inside = np.zeros(width, bool)
    for window in windows:
        inside[window.start : window.start + window.size] = True
    return inside


def _requantise(rows: Ints, channels: NDArray[np.bool_], ratio: FixedRatio) -> None:
    half = 1 << ratio.shift >> 1
    rows[:, channels] = (rows[:, channels] * ratio.multiplier + half) >> ratio.shift


@numba.njit(cache=True)
def _mix(rows: Ints, start: int, points: int, signs: NDArray[np.int8]) -> None:
    """(H_order x H_points) on channels start.. of every row, in place."""
    order = len(signs)
    summed = np.empty(order, np.int64)
    for row in rows:
        for block in range(order):
            first = start + block * points
            half = 1
            while half < points:
                for low in range(0, points, 2 * half):
                    for channel in range(first + low, first + low + half):
                        upper, lower = row[channel], row[channel + half]
                        row[channel], row[channel + half] = upper + lower, upper - lower
                half *= 2
        if order == 1:
            continue
        for point in range(start, start + points):
            for target in range(order):
                total = 0
                for block in range(order):
                    value = row[point + block * points]
                    total += value if signs[target, block] > 0 else -value
                summed[target] = total
            for block in range(order):
                row[point + block * points] = summed[block]
