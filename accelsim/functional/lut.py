"""Table look-ups on integers, bit for bit what the unit computes.

What a result means is in `accelsim.schemes.lut`; a result comes with the number F of its fraction
bits, and `requantised` brings it to a stored width. Everything is int64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import user_error
from accelsim.schemes import LutScheme

Ints = NDArray[np.int64]
MAX_WIDE_BITS = 62
MAX_LIFT = 30
_POWERS = np.array([1 << bit for bit in range(MAX_WIDE_BITS + 1)], np.int64)


@dataclass(frozen=True, eq=False)
class LookedUp:
    """`values` x 2^-`fraction_bits`; the latter one number, or one per value after a range reduction."""

    values: Ints
    fraction_bits: Ints

    def real(self) -> NDArray[np.float64]:
        """What the integers stand for, exactly."""
        return np.ldexp(self.values.astype(np.float64), -self.fraction_bits)


def look_up(scheme: LutScheme, codes: NDArray[np.integer], shift: int) -> LookedUp:
    """The function at 2^-shift x codes, of any shape.

    UserError for codes that are no integers of the scheme's input width, or a shift without a table.
    """
    if shift not in scheme.shifts:
        fix = f"search the table for it, or use {', '.join(map(str, scheme.shifts))}"
        raise user_error(scheme.function, "shift", str(shift), fix)
    q = _in_range(scheme, codes, scheme.lowest_code, scheme.highest_code)
    if scheme.outside == "clamp":
        q = q.clip(*scheme.usable_codes(shift))
    table = scheme.table(shift)
    segment = np.searchsorted(np.array(scheme.segment_starts(table), np.int64), q, side="right")
    lift_k, lift_b = scheme.lifts(shift)
    k, b = (np.array(part, np.int64)[segment] for part in (table.slopes, table.intercepts))
    return LookedUp((k * q << lift_k) + (b << lift_b), np.array(scheme.fraction_bits(shift), np.int64))


def look_up_reduced(scheme: LutScheme, values: NDArray[np.integer], shift: int) -> LookedUp:
    """The function at 2^-shift x values of up to 62 bits, through the scheme's range reduction.

    `scale`: values >= 1 are shifted until they fill the table's codes (rounded half up where bits go,
    saturated at the largest code). `floor`: the whole part of an input of any sign becomes a shift of
    the result. UserError for values outside these, or a scheme without the table it needs.
    """
    if scheme.reduction is None:
        raise user_error(scheme.function, "reduction", "none", "give its scheme one, or use look_up")
    lowest = 1 if scheme.reduction.kind == "scale" else -(1 << MAX_WIDE_BITS)
    wide = _in_range(scheme, values, lowest, (1 << MAX_WIDE_BITS) - 1)
    table_shift = scheme.reduced_shift
    if scheme.reduction.kind == "floor":
        return _floor_reduced(scheme, wide, shift, table_shift)
    group = scheme.reduction.input_bits
    bits = np.searchsorted(_POWERS, wide, side="right")
    room = scheme.input_bits - 1 - bits
    up = room - (room - (table_shift - shift)) % group
    codes = np.where(up >= 0, wide << up.clip(0), _rounded(wide, (-up).clip(0)))
    found = look_up(scheme, codes.clip(None, scheme.highest_code), table_shift)
    groups = (table_shift - shift - up) // group
    return LookedUp(found.values, found.fraction_bits + scheme.reduction.output_bits * groups)


def requantised(found: LookedUp, shift: int, bits: int, signed: bool = True) -> Ints:
    """Codes of scale 2^-shift: rounded half up, saturated to `bits`. ValueError for a lift of over 30 bits."""
    down = found.fraction_bits - shift
    if int(np.max(-down, initial=0)) > MAX_LIFT:
        raise ValueError(f"results are too coarse for scale 2^-{shift}")
    lifted = found.values << (-down).clip(0)
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    return _rounded(lifted, down.clip(0, MAX_WIDE_BITS)).clip(low, high)


def _floor_reduced(scheme: LutScheme, wide: Ints, shift: int, table_shift: int) -> LookedUp:
    if shift > table_shift:  # finer than the table's codes
        wide, shift = _rounded(wide, np.array(shift - table_shift)), table_shift
    if shift < 0:
        raise user_error(scheme.function, "shift", str(shift), "use 0 or more: a coarser input is a whole number")
    whole = wide >> shift
    codes = (wide - (whole << shift)) << (table_shift - shift)
    found = look_up(scheme, codes, table_shift)
    return LookedUp(found.values, found.fraction_bits - whole)


def _rounded(values: Ints, shift: Ints) -> Ints:
    """values / 2^shift, half up."""
    half = np.where(shift > 0, np.int64(1) << (shift - 1).clip(0), 0)
    result: Ints = (values + half) >> shift
    return result


def _in_range(scheme: LutScheme, codes: NDArray[np.integer], low: int, high: int) -> Ints:
    if not np.issubdtype(codes.dtype, np.integer):
        raise user_error(scheme.function, "input", f"numbers of type {codes.dtype}", "give integers")
    if codes.size and not low <= int(codes.min()) <= int(codes.max()) <= high:
        found = f"numbers from {codes.min()} to {codes.max()}"
        raise user_error(scheme.function, "input", found, f"keep them within {low}..{high}")
    return codes.astype(np.int64)
