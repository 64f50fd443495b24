"""How partial sums are stored between two visits of the accumulator."""

from __future__ import annotations

from dataclasses import dataclass

PLAIN_BITS_FROM = 16
MAX_PSUM_BITS = 64
MAX_GROUP_SIZE = 16


@dataclass(frozen=True)
class PsumScheme:
    """Stored width of a partial sum and, below 16 bits, its APSQ group size.

    `bits` >= 16 is a plain accumulator of that width (group size 1). `bits` < 16 is APSQ (arXiv
    2505.03748): every stored partial sum is requantised, and `group_size` of them stay live per
    output. `k_tile` fixes how many reduction elements are summed between two stores; None leaves
    that to the array. Raises ValueError outside 2..64 bits, group sizes 1..16 or k_tile < 1.
    """

    bits: int
    group_size: int = 1
    k_tile: int | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= MAX_PSUM_BITS:
            raise ValueError(f"psum bits {self.bits} is outside 2..{MAX_PSUM_BITS}")
        if not 1 <= self.group_size <= MAX_GROUP_SIZE:
            raise ValueError(f"psum group_size {self.group_size} is outside 1..{MAX_GROUP_SIZE}")
        if not self.is_apsq and self.group_size != 1:
            raise ValueError(
                f"psum group_size {self.group_size} needs bits below {PLAIN_BITS_FROM}; "
                f"{self.bits} bits is a plain accumulator (group_size 1)"
            )
        if self.k_tile is not None and self.k_tile < 1:
            raise ValueError(f"psum k_tile {self.k_tile} is below 1")

    @property
    def is_apsq(self) -> bool:
        """Whether stored partial sums are requantised (below 16 bits)."""
        return self.bits < PLAIN_BITS_FROM

    def live_per_output(self, psum_stores: int) -> int:
        """Stored partial sums alive at once per output: min(group_size, stores), 0 without stores."""
        return min(self.group_size, psum_stores)
