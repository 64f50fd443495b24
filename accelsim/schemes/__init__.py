"""Shared definitions: what the algorithm trains with is what the hardware is charged for."""

from accelsim.schemes.codebook import CodebookBits, CodebookScheme
from accelsim.schemes.fixed_point import FixedPoint
from accelsim.schemes.hadamard_orders import construction
from accelsim.schemes.lut import LutScheme, LutTable, RangeReduction
from accelsim.schemes.psum import PsumScheme
from accelsim.schemes.psum_scales import PsumScales
from accelsim.schemes.quant import QuantScales, QuantScheme
from accelsim.schemes.rotation import RotationScheme, Window
from accelsim.schemes.rotation_scales import FixedRatio, RotationScales

__all__ = [
    "CodebookBits",
    "CodebookScheme",
    "FixedPoint",
    "FixedRatio",
    "LutScheme",
    "LutTable",
    "PsumScales",
    "PsumScheme",
    "QuantScales",
    "QuantScheme",
    "RangeReduction",
    "RotationScales",
    "RotationScheme",
    "Window",
    "construction",
]
