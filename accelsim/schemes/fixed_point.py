"""A signed fixed-point format: one sign bit, integer bits, fraction bits."""

from __future__ import annotations

from dataclasses import dataclass

MAX_BITS = 32


@dataclass(frozen=True)
class FixedPoint:
    """sign | integer | fraction, two's complement: value = code x 2^-fraction_bits.

    Raises ValueError for negative counts or more than 32 bits in all.
    """

    integer_bits: int
    fraction_bits: int

    def __post_init__(self) -> None:
        for name in ("integer_bits", "fraction_bits"):
            value = getattr(self, name)
            if type(value) is not int or value < 0:
                raise ValueError(f"{name} {value!r} is not an integer of 0 and more")
        if self.bits > MAX_BITS:
            raise ValueError(f"{self.bits} bits are more than {MAX_BITS}")

    @property
    def bits(self) -> int:
        """Stored width, sign included."""
        return 1 + self.integer_bits + self.fraction_bits

    @property
    def lowest(self) -> int:
        """Smallest code."""
        return -(1 << (self.bits - 1))

    @property
    def highest(self) -> int:
        """Largest code."""
        return (1 << (self.bits - 1)) - 1

    @property
    def step(self) -> float:
        """Value of one code."""
        return 2.0**-self.fraction_bits

    def __str__(self) -> str:
        return f"1|{self.integer_bits}|{self.fraction_bits}"
