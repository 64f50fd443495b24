"""Tables by dynamic programming: of all tables of a coefficient format, those of least squared error.

`per_scale` is exact for 8-bit inputs: every cut between codes and every line of the format is
weighed, and of all formats the best on the mean over the scales is taken. `shared` starts from the
exact optimum over the codes of all scales together, cut alike in all of them; then breakpoints are
chosen anew for each scale (exactly, for the lines at hand) and lines moved while the mean falls. With
16-bit inputs cuts lie on at most 256 codes a scale, and `shared` weighs only these codes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from accelsim.schemes import FixedPoint, LutScheme, LutTable
from accelsim.schemes.lut import InputBits, Mode
from accelsim.schemes.lut_functions import LutFunction
from algos.gqa_lut.polish import settled
from algos.gqa_lut.segments import Floats, Ints, best_cuts, best_line, limits, moments, run_errors

INT8_SHIFTS = tuple(range(7))
MAX_INTEGER_BITS = 3
MAX_CUTS = 256
NEVER = 1 << 62


@dataclass(frozen=True, eq=False)
class Codes:
    """The input codes of one scale inside the function's range, with x, f(x) and where cuts may lie."""

    shift: int
    q: Ints
    x: Floats
    y: Floats
    cuts: Ints
    """Indices into q, from 0 to its length."""
    fills: bool
    """Whether the last code is the largest there is, at which no segment can start."""

    def thinned(self) -> Codes:
        """The codes at the cuts alone, where these are fewer than the codes."""
        if self.q.size <= MAX_CUTS:
            return self
        at = self.cuts[:-1]
        return Codes(self.shift, self.q[at], self.x[at], self.y[at], np.arange(at.size + 1), False)


@dataclass(frozen=True, eq=False)
class Lines:
    """Codes of k and b by entry."""

    k: Ints
    b: Ints


def formats(bits: int) -> tuple[FixedPoint, ...]:
    """The coefficient formats of a width that are tried: up to three integer bits."""
    return tuple(FixedPoint(integer, bits - 1 - integer) for integer in range(min(MAX_INTEGER_BITS, bits - 2) + 1))


def search(
    function: LutFunction,
    entries: int = 8,
    *,
    mode: Mode = "per_scale",
    shifts: Sequence[int] = INT8_SHIFTS,
    input_bits: InputBits = 8,
    coefficient_bits: int | None = None,
) -> LutScheme:
    """The scheme of least mean over `shifts` of the mean squared error on all codes in the range.

    k and b have `coefficient_bits` each (default: `input_bits`), split into integer and fraction as
    suits the function. Raises ValueError for no shifts, a shift whose codes all lie outside the
    range, or what `LutScheme` refuses.
    """
    groups = [codes_of(function, shift, input_bits) for shift in sorted(set(shifts))]
    if not groups:
        raise ValueError("no shifts to search tables for")
    width = coefficient_bits or input_bits
    best: tuple[float, FixedPoint, FixedPoint, list[LutTable]] | None = None
    for slope, intercept in product(formats(width), repeat=2):
        bounds = limits(slope, intercept)
        error, tables = (_per_scale if mode == "per_scale" else _shared)(groups, entries, bounds)
        if best is None or error < best[0]:
            best = error, slope, intercept, tables
    assert best is not None
    _, slope, intercept, tables = best
    return LutScheme(
        function.name, entries, input_bits, slope, intercept, function.low, function.high, mode, function.outside,
        tuple(tables), function.reduction,
    )  # fmt: skip


def codes_of(function: LutFunction, shift: int, input_bits: int) -> Codes:
    """The codes of one scale; ValueError if none lies in the range."""
    highest = (1 << (input_bits - 1)) - 1
    first = max(math.ceil(math.ldexp(function.low, shift)), -highest - 1)
    last = min(math.floor(math.ldexp(function.high, shift)), highest)
    if first > last:
        raise ValueError(f"{function.name}: no {input_bits}-bit code of shift {shift} lies in its range")
    q = np.arange(first, last + 1, dtype=np.int64)
    x = np.ldexp(q.astype(np.float64), -shift)
    cuts = _cuts(q.size)
    if last == highest:
        cuts = cuts[cuts != q.size - 1]
    return Codes(shift, q, x, function.of(x), cuts, last == highest)


def _cuts(points: int) -> Ints:
    """Indices from 0 to `points`, all of them or evenly spread ones."""
    return np.unique(np.linspace(0, points, min(points, MAX_CUTS) + 1).round().astype(np.int64))


def _per_scale(groups: Sequence[Codes], entries: int, bounds: Floats) -> tuple[float, list[LutTable]]:
    errors, tables = [], []
    for codes in groups:
        sums = moments(codes.x, codes.y, np.full(codes.q.size, 1 / codes.q.size))
        error, starts = best_cuts(run_errors(sums, codes.cuts, bounds), entries)
        lines = _lines(sums, codes.cuts[starts], entries, bounds)
        firsts = [int(codes.q[codes.cuts[start]]) for start in starts[1:]]
        firsts += [NEVER] * (entries - 1 - len(firsts))  # unused entries repeat the last line
        errors.append(error)
        tables.append(_table(codes, lines, firsts))
    return float(np.mean(errors)), tables


def _shared(whole: Sequence[Codes], entries: int, bounds: Floats) -> tuple[float, list[LutTable]]:
    groups = [codes.thinned() for codes in whole]
    x = np.concatenate([codes.x for codes in groups])
    y = np.concatenate([codes.y for codes in groups])
    weight = np.concatenate([np.full(codes.q.size, 1 / codes.q.size / len(groups)) for codes in groups])
    merged, where = np.unique(x, return_inverse=True)
    weights: Floats = np.bincount(where, weight).astype(np.float64)
    values = np.empty_like(merged)
    values[where] = y
    sums = moments(merged, values, weights)
    cuts = _cuts(merged.size)
    _, starts = best_cuts(run_errors(sums, cuts, bounds), entries)
    lines = _lines(sums, cuts[starts], entries, bounds)
    offsets = np.cumsum([0, *(codes.q.size for codes in groups)])
    fills = np.array([codes.fills for codes in groups])
    error, k, b, first_on = settled(x, y, weight, offsets, fills, lines.k, lines.b, bounds)
    tables = []
    for codes, thin, starts in zip(whole, groups, first_on, strict=True):
        firsts = [int(thin.q[start]) if start < thin.q.size else NEVER for start in starts[1:]]
        tables.append(_table(codes, Lines(k, b), firsts))
    return error, tables


def _lines(sums: Floats, starts: Ints, entries: int, bounds: Floats) -> Lines:
    """Best line of each run that starts at these points; the last one again for entries without a run."""
    ends = [*starts[1:], sums.shape[0] - 1]
    found = [best_line(sums[end] - sums[start], bounds) for start, end in zip(starts, ends, strict=True)]
    found += [found[-1]] * (entries - len(found))
    return Lines(np.array([k for _, k, _ in found], np.int64), np.array([b for _, _, b in found], np.int64))


def _table(codes: Codes, lines: Lines, firsts: Sequence[int]) -> LutTable:
    """The table whose entries 1.. start at these codes, or NEVER within the range."""
    last = int(codes.q[-1])
    never = last if codes.fills else last + 1  # a breakpoint at the largest code never fires
    starts = [never if first == NEVER else min(first, last - codes.fills) for first in firsts]
    k, b = (tuple(int(code) for code in part) for part in (lines.k, lines.b))
    return LutTable(codes.shift, k, b, tuple(starts))
