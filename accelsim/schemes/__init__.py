"""Shared definitions: what the algorithm trains with is what the hardware is charged for."""

from accelsim.schemes.psum import PsumScheme
from accelsim.schemes.psum_scales import PsumScales
from accelsim.schemes.quant import QuantScales, QuantScheme

__all__ = ["PsumScales", "PsumScheme", "QuantScales", "QuantScheme"]
