"""Piecewise-linear tables on integers (GQA-LUT, DAC 2024, arXiv 2403.19591).

With x = 2^-s q, q an input code and s the table's shift, segment i holds for p_(i-1) <= q < p_i and

    y = k_i x + b_i = (k_code q << k_lift) + (b_code << b_lift), in units of 2^-F,
    F = max(k_fraction + s, b_fraction), k_lift = F - k_fraction - s, b_lift = F - b_fraction.

A breakpoint at the largest input code never fires. The outer segments have no end. k and b are the
same for every s in mode `shared`, as published; in mode `per_scale` each s has a table of its own.
Breakpoints always belong to one s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Literal, get_args

from accelsim.schemes.fixed_point import FixedPoint

InputBits = Literal[8, 16]
Mode = Literal["shared", "per_scale"]
Outside = Literal["extend", "clamp"]
Reducing = Literal["scale", "floor"]
MAX_ENTRIES = 256
SHIFTS = range(-16, 33)
ACCUMULATOR_BITS = {8: 32, 16: 48}
"""Width of k q + b that the unit has, by the width of its inputs."""


@dataclass(frozen=True)
class RangeReduction:
    """How an input beyond the table's range is brought into it, exactly but for its own rounding.

    `scale`: f(2^(input_bits i) x) = 2^(-output_bits i) f(x), as 1/x (3, 3) and 1/sqrt(x) (4, 2) have it.
    `floor`: f(i + x) = 2^i f(x), as 2^x has it; both widths are 0. Raises ValueError otherwise.
    """

    kind: Reducing
    input_bits: int = 0
    output_bits: int = 0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Reducing):
            raise ValueError(f"reduction kind {self.kind!r} is none of {', '.join(get_args(Reducing))}")
        is_scale = self.kind == "scale"
        if is_scale != (1 <= self.input_bits <= 8) or is_scale != (1 <= self.output_bits <= 8):
            raise ValueError(f"{self.kind} reduction by {self.input_bits} and {self.output_bits} bits is impossible")


@dataclass(frozen=True)
class LutTable:
    """The registers of a unit for inputs of scale 2^-shift: codes of k, b and breakpoints, ascending."""

    shift: int
    slopes: tuple[int, ...]
    intercepts: tuple[int, ...]
    breakpoints: tuple[int, ...]


@dataclass(frozen=True)
class LutScheme:
    """A function as tables, one for each input scale it is used with; [low, high] is what they were made for.

    `outside` says what an input beyond [low, high] does: `extend` leaves it to the outer segments,
    `clamp` saturates its code first. Raises ValueError when a code does not fit its format, when a
    result could overflow the accumulator (32 bits for 8-bit inputs, 48 for 16), or when `shared`
    tables differ in k or b.
    """

    function: str
    entries: int
    input_bits: InputBits
    slope: FixedPoint
    intercept: FixedPoint
    low: float
    high: float
    mode: Mode
    outside: Outside
    tables: tuple[LutTable, ...]
    reduction: RangeReduction | None = None

    def __post_init__(self) -> None:
        if type(self.entries) is not int or not 2 <= self.entries <= MAX_ENTRIES:
            raise ValueError(f"{self.entries!r} entries are outside 2..{MAX_ENTRIES}")
        for name, value, allowed in (
            ("input_bits", self.input_bits, get_args(InputBits)),
            ("mode", self.mode, get_args(Mode)),
            ("outside", self.outside, get_args(Outside)),
        ):
            if value not in allowed:
                raise ValueError(f"{name} {value!r} is none of {', '.join(map(str, allowed))}")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"range [{self.low!r}, {self.high!r}] is empty or endless")
        shifts = [table.shift for table in self.tables]
        if not shifts or sorted(set(shifts)) != shifts:
            raise ValueError(f"tables have to have ascending shifts, at least one; these have {shifts}")
        for table in self.tables:
            self._check(table)
        if self.mode == "shared" and len({(table.slopes, table.intercepts) for table in self.tables}) > 1:
            raise ValueError("shared tables have one set of slopes and intercepts")

    def segment_starts(self, table: LutTable) -> tuple[int, ...]:
        """First code of each segment after the first; one past the largest code for what never fires."""
        off = self.highest_code
        return tuple(off + 1 if point == off else point for point in table.breakpoints)

    @property
    def lowest_code(self) -> int:
        """Smallest input code."""
        return -(1 << (self.input_bits - 1))

    @property
    def highest_code(self) -> int:
        """Largest input code."""
        return (1 << (self.input_bits - 1)) - 1

    @property
    def shifts(self) -> tuple[int, ...]:
        """The input scales 2^-s that there are tables for, ascending in s."""
        return tuple(table.shift for table in self.tables)

    def table(self, shift: int) -> LutTable:
        """The table for inputs of scale 2^-shift; ValueError naming the shifts there are."""
        for table in self.tables:
            if table.shift == shift:
                return table
        raise ValueError(f"{self.function} has no table for shift {shift}: {', '.join(map(str, self.shifts))}")

    def at(self, shift: int) -> LutScheme:
        """The same scheme with the table of one shift alone: what a layer of that scale loads."""
        return replace(self, tables=(self.table(shift),))

    def fraction_bits(self, shift: int) -> int:
        """F: a result for inputs of scale 2^-shift is in units of 2^-F."""
        return max(self.slope.fraction_bits + shift, self.intercept.fraction_bits)

    def lifts(self, shift: int) -> tuple[int, int]:
        """How far k q and b are shifted left to be in units of 2^-F."""
        bits = self.fraction_bits(shift)
        return bits - self.slope.fraction_bits - shift, bits - self.intercept.fraction_bits

    def usable_codes(self, shift: int) -> tuple[int, int]:
        """First and last input code whose value lies in [low, high]."""
        first = max(math.ceil(math.ldexp(self.low, shift)), self.lowest_code)
        return first, min(math.floor(math.ldexp(self.high, shift)), self.highest_code)

    @property
    def reduced_shift(self) -> int:
        """The shift whose codes fill [0, high): an input reduced into the range is looked up there.

        ValueError for a scheme without a reduction, or whose `high` is no power of two.
        """
        fraction, exponent = math.frexp(self.high)
        if self.reduction is None or fraction != 0.5:
            raise ValueError(f"{self.function} over [{self.low:g}, {self.high:g}] has no range reduction")
        return self.input_bits - exponent

    @property
    def table_bits(self) -> int:
        """Bits of all registers of one table: slopes, intercepts, breakpoints."""
        return self.entries * (self.slope.bits + self.intercept.bits) + self.breakpoint_bits

    @property
    def breakpoint_bits(self) -> int:
        """Bits of the breakpoints of one table."""
        return (self.entries - 1) * self.input_bits

    @property
    def reload_bits(self) -> int:
        """What changing to another input scale loads: the whole table, or breakpoints where k and b are shared."""
        return self.table_bits if self.mode == "per_scale" else self.breakpoint_bits

    def to_dict(self) -> dict[str, object]:
        """Plain numbers, text and lists for JSON or YAML."""
        return {key: value for key, value in _plain(asdict(self)).items() if key != "reduction" or value}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> LutScheme:
        """What `to_dict` made; ValueError for anything else."""
        try:
            values = dict(data)
            slope, intercept = (FixedPoint(**_mapping(values.pop(name))) for name in ("slope", "intercept"))
            tables = tuple(_table(_mapping(table)) for table in _sequence(values.pop("tables")))
            reduction = values.pop("reduction", None)
            reduced = None if reduction is None else RangeReduction(**_mapping(reduction))  # type: ignore[arg-type]
            return cls(slope=slope, intercept=intercept, tables=tables, reduction=reduced, **values)  # type: ignore[arg-type]
        except KeyError as error:
            raise ValueError(f"a LUT scheme needs the key {error}") from None
        except TypeError as error:
            raise ValueError(f"a LUT scheme cannot be made from this: {error}") from None

    def _check(self, table: LutTable) -> None:
        where = f"{self.function}, shift {table.shift}"
        if type(table.shift) is not int or table.shift not in SHIFTS:
            raise ValueError(f"shift {table.shift!r} is not an integer in {SHIFTS.start}..{SHIFTS.stop - 1}")
        for name, codes, count, low, high in (
            ("slopes", table.slopes, self.entries, self.slope.lowest, self.slope.highest),
            ("intercepts", table.intercepts, self.entries, self.intercept.lowest, self.intercept.highest),
            ("breakpoints", table.breakpoints, self.entries - 1, self.lowest_code, self.highest_code),
        ):
            if len(codes) != count:
                raise ValueError(f"{where}: {len(codes)} {name} for {self.entries} entries")
            for code in codes:
                if type(code) is not int or not low <= code <= high:
                    raise ValueError(f"{where}: {name} hold {code!r}, outside {low}..{high}")
        if list(table.breakpoints) != sorted(table.breakpoints):
            raise ValueError(f"{where}: breakpoints do not ascend")
        first, last = self.usable_codes(table.shift)
        if first > last:
            raise ValueError(f"{where}: no input code lies in [{self.low:g}, {self.high:g}]")
        room, needed = ACCUMULATOR_BITS[self.input_bits], self._result_bits(table)
        if needed > room:
            raise ValueError(f"{where}: results need {needed} bits, accumulators have {room}")

    def _result_bits(self, table: LutTable) -> int:
        """Width of the largest result over the codes each segment serves."""
        lift_k, lift_b = self.lifts(table.shift)
        ends = (self.lowest_code, self.highest_code)
        if self.outside == "clamp":
            ends = self.usable_codes(table.shift)
        starts = (ends[0], *self.segment_starts(table))
        stops = (*starts[1:], ends[1] + 1)
        bits = 1
        for k, b, start, stop in zip(table.slopes, table.intercepts, starts, stops, strict=True):
            served = range(max(start, ends[0]), min(stop, ends[1] + 1))
            for code in (*served[:1], *served[-1:]):
                for part in (k * code << lift_k, b << lift_b, (k * code << lift_k) + (b << lift_b)):
                    bits = max(bits, (part if part >= 0 else ~part).bit_length() + 1)
        return bits


def _plain(value: dict[str, object]) -> dict[str, object]:
    """Tuples as lists, throughout."""
    return {key: _listed(item) for key, item in value.items()}


def _listed(value: object) -> object:
    if isinstance(value, tuple):
        return [_listed(item) for item in value]
    return _plain(value) if isinstance(value, dict) else value


def _mapping(value: object) -> dict[str, int]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{value!r} is no mapping")
    return dict(value)


def _sequence(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is no list")
    return value


def _table(value: Mapping[str, object]) -> LutTable:
    if set(value) != {"shift", "slopes", "intercepts", "breakpoints"}:
        raise ValueError(f"a table is {{shift, slopes, intercepts, breakpoints}}, not {sorted(value)}")
    slopes, intercepts, points = (tuple(_sequence(value[name])) for name in ("slopes", "intercepts", "breakpoints"))
    return LutTable(value["shift"], slopes, intercepts, points)  # type: ignore[arg-type]
