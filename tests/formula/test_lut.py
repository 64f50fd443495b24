"""LUT schemes, their integer look-up and their searches against fractions and exhaustive search."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import UserError
from accelsim.functional.lut import look_up, look_up_reduced, requantised
from accelsim.schemes import FixedPoint, LutScheme, LutTable, RangeReduction
from accelsim.schemes.lut_functions import FUNCTIONS, LutFunction
from algos.gqa_lut.exact import formats, search
from algos.gqa_lut.genetic import Genetics, genetic_search
from algos.gqa_lut.segments import assigned, best_line, limits, moments
from tests.reference.lut import best_error, best_error_recursive, lattice_errors, nearest_half_up, table_value

INT8 = np.arange(-128, 128)
SMALL = LutTable(2, (1, -3), (0, 5), (4,))
EXP2 = search(FUNCTIONS["exp2"], 4, shifts=(7,))
SCHEME = LutScheme("f", 2, 8, FixedPoint(1, 6), FixedPoint(0, 7), -4, 4, "per_scale", "extend", (SMALL,))


@st.composite
def schemes(draw: st.DrawFn, input_bits: int) -> LutScheme:
    """Random tables, most of them of no function."""
    entries = draw(st.integers(2, 9))
    slope, intercept = (
        FixedPoint(draw(st.integers(0, 2)), draw(st.integers(2, 7 if input_bits == 8 else 12))) for _ in range(2)
    )
    highest = 2 ** (input_bits - 1) - 1
    tables = []
    for shift in sorted(draw(st.sets(st.integers(-2, input_bits - 2), min_size=1, max_size=3))):
        numbers = [
            tuple(draw(st.lists(st.integers(low, high), min_size=count, max_size=count)))
            for low, high, count in (
                (slope.lowest, slope.highest, entries),
                (intercept.lowest, intercept.highest, entries),
                (-highest - 1, highest, entries - 1),
            )
        ]
        tables.append(LutTable(shift, numbers[0], numbers[1], tuple(sorted(numbers[2]))))
    outside = draw(st.sampled_from(("extend", "clamp")))
    return LutScheme("random", entries, input_bits, slope, intercept, -4.5, 3.75, "per_scale", outside, tuple(tables))  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(schemes(8))
def test_every_int8_code_is_k_x_plus_b(scheme: LutScheme) -> None:
    plain = json.loads(json.dumps(scheme.to_dict()))
    for shift in scheme.shifts:
        found = look_up(scheme, INT8, shift)
        for code, value in zip(INT8.tolist(), found.values.tolist(), strict=True):
            assert Fraction(value) / Fraction(2) ** int(found.fraction_bits) == table_value(plain, code, shift)


@settings(max_examples=100, deadline=None)
@given(schemes(16), st.integers(0, 2**32 - 1), st.integers(0, 16), st.sampled_from((8, 16)))
def test_int16_codes_and_their_requantisation(scheme: LutScheme, seed: int, out_shift: int, out_bits: int) -> None:
    """1,000 codes and more over the examples; the narrow results saturate."""
    plain = scheme.to_dict()
    codes = np.random.default_rng(seed).integers(-(2**15), 2**15, 12)
    limit = 2 ** (out_bits - 1)
    for shift in scheme.shifts:
        found = look_up(scheme, codes, shift)
        stored = requantised(found, out_shift, out_bits)
        for code, value, narrow in zip(codes.tolist(), found.values.tolist(), stored.tolist(), strict=True):
            real = table_value(plain, code, shift)
            assert Fraction(value) / Fraction(2) ** int(found.fraction_bits) == real
            assert narrow == min(max(nearest_half_up(real * 2**out_shift), -limit), limit - 1)


@settings(max_examples=50, deadline=None)
@given(schemes(8))
def test_schemes_survive_json(scheme: LutScheme) -> None:
    text = json.dumps(scheme.to_dict())
    assert LutScheme.from_dict(json.loads(text)) == scheme
    assert scheme.at(scheme.shifts[0]).shifts == scheme.shifts[:1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tables": (replace(SMALL, slopes=(1, 128)),)}, "slopes hold 128, outside -128..127"),
        ({"tables": (replace(SMALL, intercepts=(-129, 0)),)}, "intercepts hold -129"),
        ({"tables": (replace(SMALL, breakpoints=(128,)),)}, "breakpoints hold 128"),
        ({"tables": (replace(SMALL, breakpoints=(1, 2)),)}, "2 breakpoints for 2 entries"),
        ({"tables": (replace(SMALL, shift=40),)}, "shift 40"),
        ({"tables": (SMALL, SMALL)}, "ascending shifts"),
        ({"tables": ()}, "at least one"),
        ({"low": 3, "high": 1}, "range"),
        ({"entries": 1}, "entries"),
        ({"input_bits": 9}, "input_bits 9"),
        ({"mode": "both"}, "mode 'both'"),
        ({"low": 1.3, "high": 1.4}, "no input code"),
        ({"mode": "shared", "tables": (SMALL, LutTable(3, (1, 1), (0, 5), (4,)))}, "one set"),
        ({"tables": (replace(SMALL, shift=30),), "low": -4e-8}, "bits, accumulators have 32"),
    ],
)
def test_impossible_schemes_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SCHEME, **change)  # type: ignore[arg-type]


def test_no_code_overflows_the_accumulator() -> None:
    """A scheme at the edge of 32 bits is accepted, and its largest result fits."""
    edge = replace(SCHEME, tables=(LutTable(24, (127, -128), (127, -128), (0,)),), low=-4e-6)
    values = look_up(edge, INT8, 24).values
    assert -(2**31) <= values.min() <= values.max() < 2**31
    assert max(-values.min(), values.max()) >= 2**30


@pytest.mark.parametrize(
    "bad", [{"tables": 3}, {"slope": {"integer_bits": 1}}, {"extra": 1}, {"reduction": {"kind": "x"}}]
)
def test_foreign_dicts_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"LUT scheme|no list|kind|reduction"):
        LutScheme.from_dict(SCHEME.to_dict() | bad)
    with pytest.raises(ValueError, match="needs the key"):
        LutScheme.from_dict({"slope": {"integer_bits": 1, "fraction_bits": 6}})


def test_wrong_inputs_are_the_users_mistake() -> None:
    with pytest.raises(UserError, match=r"f: shift: 5[\s\S]*use 2"):
        look_up(SCHEME, INT8, 5)
    with pytest.raises(UserError, match=r"keep them within -128..127"):
        look_up(SCHEME, np.array([128]), 2)
    with pytest.raises(UserError, match="give integers"):
        look_up(SCHEME, np.array([0.5]), 2)
    with pytest.raises(UserError, match="reduction"):
        look_up_reduced(SCHEME, np.array([1]), 2)


@pytest.mark.parametrize(("name", "bits", "tolerance"), [
    ("reciprocal", 8, 0.055), ("reciprocal", 16, 0.02), ("rsqrt", 8, 0.055), ("rsqrt", 16, 0.02),
])  # fmt: skip
def test_reduction_by_scale_reaches_all_magnitudes(name: str, bits: int, tolerance: float) -> None:
    """Within the table's own relative error, and that of `bits` leading bits, from 2^-60 to 2^60."""
    function = FUNCTIONS[name]
    scheme = search(function, 8, shifts=(bits - 3,), input_bits=bits)  # type: ignore[arg-type]
    rng = np.random.default_rng(3)
    wide = np.array([int(rng.integers(1, 2**16)) << int(lift) for lift in rng.integers(0, 45, 1500)])
    for shift in (-3, 0, 7, 30):
        real = look_up_reduced(scheme, wide, shift).real()
        expected = function.of(np.ldexp(wide.astype(np.float64), -shift))
        assert np.abs(real / expected - 1).max() < tolerance


def test_reduction_by_scale_follows_its_rule_exactly() -> None:
    """f(x') at the shifted, half-up rounded, saturated code, times a power of two."""
    scheme = search(FUNCTIONS["rsqrt"], 8, shifts=(5,))
    plain = scheme.to_dict()
    rng = np.random.default_rng(4)
    values = rng.integers(1, 2**40, 1200) >> rng.integers(0, 40, 1200)
    values = np.maximum(values, 1)
    found = look_up_reduced(scheme, values, 3)
    for value, result, bits in zip(values.tolist(), found.values.tolist(), found.fraction_bits.tolist(), strict=True):
        x = Fraction(value, 8)
        groups = next(i for i in range(-9, 12) if Fraction(1, 4) <= x / Fraction(16) ** i < 4)
        code = min(nearest_half_up(x / Fraction(16) ** groups * 32), 127)
        assert Fraction(result) / Fraction(2) ** bits == table_value(plain, code, 5) / Fraction(4) ** groups


@settings(max_examples=300, deadline=None)
@given(st.integers(-(2**20), 2**10), st.integers(0, 20))
def test_reduction_by_whole_part(value: int, shift: int) -> None:
    found = look_up_reduced(EXP2, np.array([value]), shift)
    x = Fraction(value, 2**shift)
    if shift > 7:
        x = Fraction(nearest_half_up(x * 128), 128)
    whole = math.floor(x)
    expected = table_value(EXP2.to_dict(), int((x - whole) * 128), 7) * Fraction(2) ** whole
    assert Fraction(int(found.values[0])) / Fraction(2) ** int(found.fraction_bits[0]) == expected


def test_impossible_reductions() -> None:
    for arguments in (("scale", 0, 3), ("floor", 1, 1), ("halve", 1, 1)):
        with pytest.raises(ValueError, match="reduction"):
            RangeReduction(*arguments)  # type: ignore[arg-type]


def _lattice(form: FixedPoint) -> np.ndarray:
    return np.arange(form.lowest, form.highest + 1) * form.step


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 9), st.integers(0, 2**32 - 1), st.integers(0, 2), st.integers(0, 2), st.sampled_from((0.1, 1, 5)))
def test_best_line_against_the_whole_lattice(
    points: int, seed: int, k_integer: int, b_integer: int, size: float
) -> None:
    rng = np.random.default_rng(seed)
    x, y = np.sort(rng.uniform(-size, size, points)), rng.uniform(-3, 3, points)
    slope, intercept = FixedPoint(k_integer, 3), FixedPoint(b_integer, 4)
    error, k, b = best_line(moments(x, y, np.ones(points))[-1], limits(slope, intercept))
    expected = lattice_errors(x, y, (_lattice(slope), _lattice(intercept))).min()
    assert error == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert ((k * slope.step * x + b * intercept.step - y) ** 2).sum() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.booleans(), st.integers(0, 2**32 - 1))
def test_breakpoints_against_every_assignment(points: int, entries: int, fills: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = np.sort(rng.uniform(-1, 1, points)), rng.uniform(-1, 1, points)
    k, b = rng.uniform(-1, 1, entries), rng.uniform(-1, 1, entries)
    error, lines = assigned(x, y, k, b, fills)
    ways = [
        way
        for way in itertools.combinations_with_replacement(range(entries), points)
        if not (fills and points > 1 and way[-1] != way[-2])
    ]
    errors = [sum((k[line] * x[i] + b[line] - y[i]) ** 2 for i, line in enumerate(way)) for way in ways]
    assert error == pytest.approx(min(errors), abs=1e-12)
    assert tuple(lines) in ways


@pytest.mark.parametrize("name", ["gelu", "exp", "reciprocal", "tanh", "softplus"])
@pytest.mark.parametrize("entries", [2, 3])
def test_per_scale_is_the_best_of_all_tables(name: str, entries: int) -> None:
    """5-bit coefficients, up to nine codes: all cuts, all lines, all formats."""
    function = FUNCTIONS[name]
    shifts = (0,) if name != "exp" else (-1, 0)
    scheme = search(function, entries, shifts=shifts, coefficient_bits=5)
    assert scheme.slope.bits == scheme.intercept.bits == 5
    best = np.inf
    for slope, intercept in itertools.product(formats(5), repeat=2):
        lattice = (_lattice(slope), _lattice(intercept))
        errors = [
            best_error(_codes(scheme, shift), function.of, shift, entries, lattice, 127) for shift in scheme.shifts
        ]
        best = min(best, float(np.mean(errors)))
    assert np.mean([_error(scheme, function, shift) for shift in shifts]) == pytest.approx(best, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("name", ["gelu", "hardswish", "exp", "reciprocal", "rsqrt", "sigmoid", "silu"])
def test_per_scale_8_bits_8_entries_is_the_optimum_of_its_format(name: str) -> None:
    """At scales where a slow recursion is quick; s = 6 has codes up to the largest one."""
    function = FUNCTIONS[name]
    scheme = search(function, 8)
    lattice = (_lattice(scheme.slope), _lattice(scheme.intercept))
    for shift in (0, 1, 2):
        best = best_error_recursive(_codes(scheme, shift), function.of, shift, 8, lattice, 127)
        assert _error(scheme, function, shift) == pytest.approx(best, rel=1e-9, abs=1e-15)


def test_largest_code_starts_no_segment() -> None:
    """A function that jumps there alone cannot be met, though two lines would do."""
    function = LutFunction("step", lambda x: np.where(x >= 127 / 32, 1.0, 0.0), -4, 4)
    for mode in ("shared", "per_scale"):
        scheme = search(function, 2, mode=mode, shifts=(5,))  # type: ignore[arg-type]
        assert 127 not in scheme.segment_starts(scheme.tables[0])
        assert _error(scheme, function, 5) > 1e-4


def test_shared_lies_between_the_separate_optimum_and_the_alike_cut_one() -> None:
    for name in ("gelu", "exp"):
        function = FUNCTIONS[name]
        separate, shared = search(function, 8), search(function, 8, mode="shared")
        assert len({(table.slopes, table.intercepts) for table in shared.tables}) == 1
        errors = [np.mean([_error(s, function, shift) for shift in range(7)]) for s in (separate, shared)]
        assert errors[0] <= errors[1] < 2 * errors[0]


def test_a_users_own_function_in_16_bits() -> None:
    cube = LutFunction("cube", lambda x: 0.5 * x**3, -1, 1)
    for mode in ("shared", "per_scale"):
        found = search(cube, 16, mode=mode, shifts=(12, 15), input_bits=16)  # type: ignore[arg-type]
        assert found.slope.bits == 16
        assert all(_error(found, cube, shift) < 1e-6 for shift in (12, 15))


def test_asymptotes_hold_beyond_the_range() -> None:
    for name, slope in (("gelu", 1), ("silu", 1), ("softplus", 1), ("hardswish", 1)):
        wide = LutFunction(name, FUNCTIONS[name].of, -8, 8, "extend")
        for mode in ("shared", "per_scale"):
            found = look_up(search(wide, 8, mode=mode, shifts=(0, 1, 2)), INT8, 0).real()  # type: ignore[arg-type]
            assert np.abs(found - wide.of(INT8.astype(float)))[INT8 > 8].max() < 0.05 * 128 * slope
            assert np.abs(found[INT8 < -8]).max() < 0.05 * 128


def test_searches_without_codes_or_shifts_are_refused() -> None:
    with pytest.raises(ValueError, match="no shifts"):
        search(FUNCTIONS["gelu"], 8, shifts=())
    with pytest.raises(ValueError, match="no 8-bit code of shift 9"):
        search(FUNCTIONS["reciprocal"], 8, shifts=(9,))


def test_genetic_search_repeats_with_its_seed_and_improves() -> None:
    function = FUNCTIONS["silu"]
    quick = Genetics(generations=3)
    first, again, other = (
        genetic_search(function, 8, seed=seed, genetics=Genetics(generations=50)) for seed in (1, 1, 2)
    )
    assert first == again != other
    few, many = (
        np.mean([_error(genetic_search(function, 8, seed=seed, genetics=each), function, 5) for seed in range(4)])
        for each in (quick, Genetics())
    )
    assert many < 0.7 * few


def test_rounding_mutation_leaves_breakpoints_on_coarse_grids() -> None:
    """Alone, rounding puts what survives on multiples of 1/64; noise, as published, takes most of it off again."""

    def on_grid(genetics: Genetics) -> float:
        share = []
        for seed in range(2):
            scheme = genetic_search(FUNCTIONS["silu"], 8, seed=seed, genetics=genetics, shifts=(12,), input_bits=16)
            share += [point % 2**6 == 0 for point in scheme.tables[0].breakpoints]
        return float(np.mean(share))

    assert on_grid(Genetics(noise=0)) > 0.9
    assert on_grid(Genetics(noise=0, fraction_bits=())) < 0.1
    assert on_grid(Genetics()) > on_grid(Genetics(fraction_bits=())) + 0.15


def _codes(scheme: LutScheme, shift: int) -> list[int]:
    low, high = math.ceil(scheme.low * 2.0**shift), math.floor(scheme.high * 2.0**shift)
    return list(range(max(low, -128), min(high, 127) + 1))


def _error(scheme: LutScheme, function: LutFunction, shift: int) -> float:
    low, high = scheme.usable_codes(shift)
    codes = np.arange(low, high + 1)
    return float(np.mean((look_up(scheme, codes, shift).real() - function.of(codes * 2.0**-shift)) ** 2))
