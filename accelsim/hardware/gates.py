"""Datapaths counted in standard cells, at the cell areas of Nangate's 45 nm open cell library (X1 drive).

    multiplier    b x b partial products (AND), b^2 - 2b full and b half adders; signed ones alike (Baugh-Wooley)
    adder         a full adder a bit            register    a flip-flop a bit
    to integers   a minifloat's significand shifted to its fixed point: an AND a bit and level, zeros moving in
    minifloat     E exponent and M mantissa bits, no infinities: significands of M + 1 bits, spans of 2^E - 2 places

Only ratios of these counts are compared with other libraries, whose scale is one constant a source. What the
simulator charges comes from `accelsim.hardware.arithmetic`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

AND_UM2, FULL_ADDER_UM2, HALF_ADDER_UM2, FLIP_FLOP_UM2, XOR_UM2 = 1.064, 4.256, 2.660, 4.522, 1.596
"""AND2_X1, FA_X1, HA_X1, DFF_X1, XOR2_X1 (OpenROAD-flow-scripts, nangate45 LEF: widths x 1.4 um)."""


@dataclass(frozen=True)
class Minifloat:
    """Sign, `exponent_bits` and `mantissa_bits`."""

    exponent_bits: int
    mantissa_bits: int

    @property
    def bits(self) -> int:
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def significand_bits(self) -> int:
        return self.mantissa_bits + 1

    @property
    def span(self) -> int:
        """Places between the smallest and the largest exponent, subnormals sharing the smallest."""
        return (1 << self.exponent_bits) - 2


def register_um2(bits: int) -> float:
    """Flip-flops."""
    return bits * FLIP_FLOP_UM2


def adder_um2(bits: int) -> float:
    """A ripple adder."""
    return bits * FULL_ADDER_UM2


def multiplier_um2(bits: int) -> float:
    """An array multiplier of two operands of `bits`."""
    return bits * bits * AND_UM2 + max(0, bits * bits - 2 * bits) * FULL_ADDER_UM2 + bits * HALF_ADDER_UM2


def zero_filled_shifter_um2(width: int, places: int) -> float:
    """A shifter by 0 to `places` whose free bits are zero."""
    return width * math.ceil(math.log2(places + 1)) * AND_UM2


def registered_adder_um2(bits: int) -> float:
    """Two operands and their sum in registers."""
    return adder_um2(bits) + register_um2(3 * bits + 1)


def registered_multiplier_um2(bits: int) -> float:
    """Two operands and their product in registers."""
    return multiplier_um2(bits) + register_um2(4 * bits)


def mac_um2(bits: int, accumulator_bits: int) -> float:
    """A multiply-accumulate with registers for two operands and the accumulator."""
    return multiplier_um2(bits) + adder_um2(accumulator_bits) + register_um2(2 * bits + accumulator_bits)


def float_adder_um2(number: Minifloat) -> float:
    """Both operands to integers, their sum; operands and sum in registers."""
    width = number.significand_bits + number.span
    shifters = 2 * zero_filled_shifter_um2(width, number.span)
    return shifters + adder_um2(width + 1) + register_um2(3 * number.bits + 1)


def float_multiplier_um2(number: Minifloat) -> float:
    """Significands multiplied, exponents added; operands and a product of their width in registers."""
    exponent = adder_um2(number.exponent_bits + 1)
    return multiplier_um2(number.significand_bits) + exponent + XOR_UM2 + register_um2(3 * number.bits)


def float_mac_um2(number: Minifloat, accumulator_bits: int) -> float:
    """The product to an integer, signed, and added to a fixed-point accumulator."""
    span = 2 * number.span
    width = 2 * number.significand_bits + span
    product = multiplier_um2(number.significand_bits) + adder_um2(number.exponent_bits + 1)
    aligned = zero_filled_shifter_um2(width, span) + width * XOR_UM2
    return product + aligned + adder_um2(accumulator_bits) + register_um2(2 * number.bits + accumulator_bits)


def serial_mac_full_adders(input_bits: int, weight_bits: int, guard_bits: int) -> int:
    """Full-adder cycles of a bit-serial product: an adder as wide as weight and guard bits, a cycle an input bit."""
    return input_bits * (weight_bits + guard_bits)
