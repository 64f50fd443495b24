"""Run-length codes between chip and DRAM: pairs of a run of zeros and the value behind it, as many as fill a word.

Eyeriss (JSSC 2017, Section V) packs three pairs of 5 + 16 bits in 64. Zeros are taken to fall anywhere: a pair then
covers 1 + min(run, 2^run_bits - 1) values, (1 - z^(2^run_bits)) / (1 - z) in the mean where a share z is zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from accelsim.hardware.sram import Width

DENOMINATOR = 1024


@dataclass(frozen=True)
class RunLength:
    """Bits of a run and of the word that pairs are packed into."""

    run_bits: int
    word_bits: int

    def width(self, value_bits: int, zeros: float) -> Width:
        """Bits a value takes in the mean, to a 1024th: `value_bits` where the code would take more.

        ValueError for a share outside 0 to 1.
        """
        if not 0 <= zeros <= 1:
            raise ValueError(f"a share of zeros is from 0 to 1, not {zeros}")
        pairs = self.word_bits // (self.run_bits + value_bits)
        longest = 2**self.run_bits
        covered = longest if zeros == 1 else (1 - zeros**longest) / (1 - zeros)
        if pairs == 0 or self.word_bits / pairs / covered >= value_bits:
            return value_bits
        return Fraction(max(1, round(self.word_bits / pairs / covered * DENOMINATOR)), DENOMINATOR)
