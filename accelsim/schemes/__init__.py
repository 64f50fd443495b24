"""Shared definitions: what the algorithm trains with is what the hardware is charged for."""

from accelsim.schemes.psum import PsumScheme

__all__ = ["PsumScheme"]
