"""GQA-LUT (DAC 2024): errors of its tables and of those searched here, and area and power of its units.

Error of a table at scale 2^-s: the mean squared difference from the function in float64 over every
INT8 code whose value lies in the function's range; computed by the integer look-up. The published
figures are read for the comparison only.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from accelsim.functional.lut import look_up, look_up_reduced
from accelsim.hardware.arithmetic import UM2_PER_MM2, logic_leakage_mw
from accelsim.hardware.lut_gates import LutShape, gates_area_um2, gates_energy_pj, lane_total
from accelsim.hardware.technology import Process
from accelsim.schemes import LutScheme
from accelsim.schemes.lut_functions import FUNCTIONS, LutFunction

SHIFTS = tuple(range(7))
PROCESS = Process(node_nm=28.0, voltage_v=0.9, clock_mhz=500.0)
PJ_MHZ_PER_MW = 1e3
EXP_DEPTH = 8
BASE_2_SHIFT = 11
"""Fraction bits of the base-2 exponent: 16-bit codes reach 2^-16 of 1."""
UNITS = (*(("int", bits, entries) for bits in (8, 16, 32) for entries in (8, 16)), ("float", 32, 8), ("float", 32, 16))

SearchKey = tuple[str, int, str]
"""Function, entries, method."""


@dataclass(frozen=True)
class ErrorRow:
    """Errors of one way to a table. `limit` rows have a mean only, and no format."""

    function: str
    entries: int
    method: str
    formats: str
    """sign|integer|fraction of slopes, then of intercepts."""
    mse: tuple[float, ...]
    """At scales 2^0, 2^-1, ... 2^-6."""
    mean_mse: float
    gain: float
    """The authors' mean over this one."""
    confidence: str


@dataclass(frozen=True)
class Base2Row:
    """exp as 2^(x log2 e) by so many segments of 2^x on [0, 1); beside it a reference."""

    segments: int
    mse: float
    reference_mse: float
    confidence: str


@dataclass(frozen=True)
class UnitRow:
    """One lane of a look-up unit; published figures and deviations are None where nothing is published."""

    number: str
    bits: int
    entries: int
    area_um2: float
    published_area_um2: float | None
    area_deviation: float | None
    power_mw: float
    published_power_mw: float | None
    power_deviation: float | None
    parts_um2: dict[str, float]


def cells() -> list[tuple[str, int]]:
    """Every (function, entries) that there are published tables to compare with."""
    return list(_published_errors())


def error_rows(searched: Mapping[SearchKey, LutScheme]) -> list[ErrorRow]:
    """The authors' tables, then what was searched, then the facts' limits, by function and entries."""
    rows = []
    for (name, entries), line in _published_errors().items():
        authors = float(line["mean"])
        given = tuple(float(line[f"s{shift}"]) for shift in SHIFTS)
        rows.append(ErrorRow(name, entries, "authors", "1|1|6", given, authors, 1.0, line["confidence"]))
        for (function, size, method), scheme in searched.items():
            if (function, size) == (name, entries):
                errors = tuple(mean_squared_error(scheme, FUNCTIONS[name], shift) for shift in SHIFTS)
                mean = float(np.mean(errors))
                formats = f"{scheme.slope} {scheme.intercept}"
                rows.append(ErrorRow(name, entries, method, formats, errors, mean, authors / mean, "computed"))
        for column, method in (("rechosen", "shared, any range"), ("floor", "per_scale, any range")):
            limit = float(line[column])
            rows.append(ErrorRow(name, entries, method, "2^-6 grid", (), limit, authors / limit, "derived"))
    return rows


def mean_squared_error(scheme: LutScheme, function: LutFunction, shift: int) -> float:
    """Over every input code of scale 2^-shift in the scheme's range."""
    first, last = scheme.usable_codes(shift)
    codes = np.arange(first, last + 1)
    target = function.of(np.ldexp(codes.astype(np.float64), -shift))
    return float(np.mean((look_up(scheme, codes, shift).real() - target) ** 2))


def base_2_rows(schemes: Mapping[int, LutScheme]) -> list[Base2Row]:
    """Mean squared error of exp on (-8, 0), the factor log2 e folded into the scale, over every input code."""
    known = {int(line["segments"]): line for line in _lines("gqa_lut_base_2.csv")}
    codes = np.arange(-math.floor(EXP_DEPTH * math.log2(math.e) * 2**BASE_2_SHIFT), 1)
    target = np.exp2(np.ldexp(codes.astype(np.float64), -BASE_2_SHIFT))
    rows = []
    for segments, scheme in schemes.items():
        found = look_up_reduced(scheme, codes, BASE_2_SHIFT).real()
        line = known[segments]
        mse = float(np.mean((found - target) ** 2))
        rows.append(Base2Row(segments, mse, float(line["reference_mse"]), line["confidence"]))
    return rows


def unit_rows() -> list[UnitRow]:
    """8 and 16 entries at INT8, INT16, INT32 and FP32, 28 nm 0.9 V 500 MHz; power is of a look-up every cycle."""
    rows = []
    for number, bits, entries in UNITS:
        shape = LutShape(entries, bits, bits, bits, "float" if number == "float" else "int")
        parts = gates_area_um2(shape, PROCESS)
        area = lane_total(parts)
        leakage = logic_leakage_mw(area.scaled(1 / UM2_PER_MM2, "um2 to mm2")).value
        power = lane_total(gates_energy_pj(shape, PROCESS)).value * PROCESS.clock_mhz / PJ_MHZ_PER_MW + leakage
        line = _published_units().get((number, bits, entries))
        known_area = None if line is None else float(line["area_um2"])
        known_power = None if line is None else float(line["power_mw"])
        rows.append(
            UnitRow(
                number, bits, entries, area.value, known_area, _deviation(area.value, known_area), power, known_power,
                _deviation(power, known_power), {name: cost.value for name, cost in parts.items()},
            )
        )  # fmt: skip
    return rows


def _deviation(ours: float, published: float | None) -> float | None:
    return None if published is None else ours / published - 1


@cache
def _published_errors() -> dict[tuple[str, int], dict[str, str]]:
    return {(line["function"], int(line["entries"])): line for line in _lines("gqa_lut_errors.csv")}


@cache
def _published_units() -> dict[tuple[str, int, int], dict[str, str]]:
    lines = _lines("gqa_lut_units.csv")
    return {(line["number"], int(line["bits"]), int(line["entries"])): line for line in lines}


def _lines(name: str) -> list[dict[str, str]]:
    text = (files("accelsim.reproduce") / "data" / name).read_text()
    return list(csv.DictReader(text.splitlines()))
