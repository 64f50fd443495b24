"""Shared definitions: what the algorithm trains with is what the hardware is charged for."""

from accelsim.schemes.fixed_point import FixedPoint
from accelsim.schemes.lut import LutScheme, LutTable, RangeReduction
from accelsim.schemes.psum import PsumScheme
from accelsim.schemes.psum_scales import PsumScales
from accelsim.schemes.quant import QuantScales, QuantScheme

__all__ = [
    "FixedPoint", "LutScheme", "LutTable", "PsumScales", "PsumScheme", "QuantScales", "QuantScheme", "RangeReduction",
]  # fmt: skip
