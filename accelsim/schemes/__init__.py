"""Shared definitions: what the algorithm trains with is what the hardware is charged for."""

from accelsim.schemes.codebook import CodebookBits, CodebookScheme
from accelsim.schemes.hadamard import construction, hadamard
from accelsim.schemes.psum import PsumScheme
from accelsim.schemes.psum_scales import PsumScales
from accelsim.schemes.quant import QuantScales, QuantScheme
from accelsim.schemes.rotation import RotationScheme, Window
from accelsim.schemes.rotation_scales import FixedRatio, RotationScales

__all__ = [
    "CodebookBits",
    "CodebookScheme",
    "FixedRatio",
    "PsumScales",
    "PsumScheme",
    "QuantScales",
    "QuantScheme",
    "RotationScales",
    "RotationScheme",
    "Window",
    "construction",
    "hadamard",
]
