"""What becomes of a partial sum when it leaves the accumulator: exact integers throughout.

Step n (0..T-1) is an output's n-th visit of the accumulator and Tp_n what that visit adds up. With b
stored bits, qmax = 2^(b-1) - 1, group size gs and alpha_n = 2^k_n (APSQ, arXiv 2505.03748):

    additive(n) = n mod gs == 0 or n == T-1
    t   = A + Tp_n  if additive(n) else Tp_n
    q_n = clamp(round_half_up(t / alpha_n), -qmax, qmax)
    A   = alpha_n q_n  if additive(n) else A + alpha_n q_n
    out = alpha_{T-1} q_{T-1}

A is not stored: its q_j are, in bank j mod gs of the psum memory, and an additive step reads them all.
Plain psums are the same with gs = 1, alpha = 1 and no rounding. An output with T = 1 never leaves the
accumulator and is exact under every scheme.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from accelsim.errors import UserError, user_error
from accelsim.functional.arrangement import Ints
from accelsim.functional.tiles import Index
from accelsim.schemes import PsumScales, PsumScheme


@dataclass(frozen=True)
class Step:
    """A tile of outputs at the end of a visit: `summed` products per output so far, and the sums held."""

    number: int
    last: bool
    summed: int
    index: Index
    total: Ints


class PsumRule(Protocol):
    """How sums are stored between two steps."""

    group_size: int

    def store(self, step: int, total: Ints) -> Ints:
        """The integers that stand for `total` after `step`."""
        ...

    def value(self, step: int, stored: Ints) -> Ints:
        """What integers stored after `step` stand for."""
        ...

    def see(self, step: Step) -> None:
        """Told of every step before its sums are stored."""
        ...


def steps_read(step: int, last: bool, group_size: int) -> range:
    """The earlier steps whose stored sums an output's `step` adds to its own."""
    beyond = step % group_size
    if step and not beyond:
        return range(step - group_size, step)
    return range(step - beyond, step) if last else range(0)


def requantise(total: Ints, shift: int, bits: int) -> Ints:
    """Round half up (add, arithmetic shift right by `shift`), saturate at +-(2^(bits-1) - 1)."""
    limit = 2 ** (bits - 1) - 1
    return np.clip(rounded(total, shift), -limit, limit)


def rounded(total: Ints, shift: int) -> Ints:
    """total / 2^shift, rounded half up."""
    if shift == 0:
        return total
    result: Ints = (total + (1 << (shift - 1))) >> shift
    return result


class SumRange:
    """The smallest and largest sum an accumulator held, against its width."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self._low = self._high = 0

    def see(self, total: Ints) -> None:
        self._low = min(self._low, int(total.min()))
        self._high = max(self._high, int(total.max()))

    @property
    def needed_bits(self) -> int:
        """Two's complement bits that hold every sum seen."""
        return 1 + max((-self._low - 1).bit_length() if self._low else 0, self._high.bit_length())

    def check(self, op: str, setting: str, what: str) -> None:
        """UserError naming the op and the bits it needs if a sum was too wide."""
        if self.needed_bits > self.bits:
            found = f"{what} need {self.needed_bits} bits, {self.bits} hold them"
            raise user_error(op, setting, found, f"use {self.needed_bits} bits or more, or smaller operands")


class PlainPsums:
    """Sums stored as they are."""

    group_size = 1

    def __init__(self, scheme: PsumScheme, op: str) -> None:
        self._range = SumRange(scheme.bits)
        self._k_tile = KTile(scheme, op)
        self._op = op

    def store(self, step: int, total: Ints) -> Ints:
        return total

    def value(self, step: int, stored: Ints) -> Ints:
        return stored

    def see(self, step: Step) -> None:
        self._range.see(step.total)
        self._k_tile.check(step)

    def check(self, steps: int) -> None:
        """UserError if a sum was too wide for the scheme."""
        self._range.check(self._op, "psum.bits", "its partial sums")


class ApsqPsums:
    """Sums requantised at every step; `saturated` counts those that were clamped."""

    def __init__(self, scheme: PsumScheme, scales: PsumScales | None, accumulator_bits: int, op: str) -> None:
        self.group_size = scheme.group_size
        self.saturated = 0
        self._bits = scheme.bits
        self._range = SumRange(accumulator_bits)
        self._k_tile = KTile(scheme, op)
        self._shifts = None if scales is None else scales.shifts
        self._op = op

    def store(self, step: int, total: Ints) -> Ints:
        shift = self._shift(step)
        stored = requantise(total, shift, self._bits)
        self.saturated += int(np.count_nonzero(stored != rounded(total, shift)))
        return stored

    def value(self, step: int, stored: Ints) -> Ints:
        result: Ints = stored << self._shift(step)
        return result

    def see(self, step: Step) -> None:
        self._range.see(step.total)
        self._k_tile.check(step)

    def check(self, steps: int) -> None:
        """UserError if a sum was too wide for the accumulator, or the scales are for other than `steps` steps."""
        self._range.check(self._op, "array.accumulator_bits", "its sums in the accumulator")
        if steps > 1 and self._shifts is not None and len(self._shifts) != steps:
            raise self._wrong_steps(f"{steps}")

    def _shift(self, step: int) -> int:
        if self._shifts is None:
            found = f"psums of {self._bits} bits without scales"
            raise user_error(self._op, "scales", found, "give the op's trained scales, or calibrate some")
        if step >= len(self._shifts):
            raise self._wrong_steps(f"{step + 1} or more")
        return self._shifts[step]

    def _wrong_steps(self, steps: str) -> UserError:
        found = f"scales of {len(self._shifts or ())} steps; the mapping has {steps}"
        return user_error(self._op, "scales", found, "calibrate scales on this mapping")


class KTile:
    """A scheme's `k_tile`: psums leave the accumulator after exactly that many products."""

    def __init__(self, scheme: PsumScheme, op: str) -> None:
        self._wanted, self._op = scheme.k_tile, op

    def check(self, step: Step) -> None:
        """UserError if this visit summed another number; the last one may be shorter, a single one is free."""
        if self._wanted is None or (step.last and not step.number):
            return
        due = (step.number + 1) * self._wanted
        if step.summed > due or (step.summed < due and not step.last):
            found = f"psums that leave after {step.summed} products, not {due}, at step {step.number}"
            raise user_error(self._op, "psum.k_tile", found, "train the scheme with the mapping's reduction tile")
