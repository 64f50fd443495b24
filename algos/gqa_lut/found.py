"""The schemes that layers need, each searched once in the life of the process."""

from __future__ import annotations

from functools import cache

from accelsim.schemes import LutScheme
from accelsim.schemes.lut import InputBits, Mode
from accelsim.schemes.lut_functions import FUNCTIONS, LutFunction
from algos.gqa_lut.exact import search

ACTIVATION_REACH = 8.0
"""Tables of functions without end are made for [-8, 8]: beyond it the outer lines are their asymptotes."""
SHIFTS: dict[int, tuple[int, ...]] = {8: tuple(range(7)), 16: tuple(range(7, 13))}


@cache
def activation_scheme(name: str, entries: int, mode: Mode, bits: InputBits) -> LutScheme:
    """Tables of an activation for every scale its inputs may have."""
    function = FUNCTIONS[name]
    if function.outside == "extend":
        function = LutFunction(name, function.of, -ACTIVATION_REACH, ACTIVATION_REACH, "extend")
    return search(function, entries, mode=mode, shifts=SHIFTS[bits], input_bits=bits)


@cache
def exp_scheme(entries: int, mode: Mode, base_2: bool = False) -> LutScheme:
    """exp of 8-bit codes on (-8, 0); or 2^x of 8-bit codes on [0, 1)."""
    if base_2:
        return search(FUNCTIONS["exp2"], entries, mode=mode, shifts=(7,))
    return search(FUNCTIONS["exp"], entries, mode=mode)


@cache
def row_scheme(name: str, entries: int, bits: InputBits) -> LutScheme:
    """The reciprocal or rsqrt of wide numbers, reduced into one table of codes of so many bits."""
    function = FUNCTIONS[name]
    return search(function, entries, shifts=(bits - 1 - int(function.high).bit_length() + 1,), input_bits=bits)
