"""What stands around one accelerator in a decoding system: other chips, the link to them, a stacked memory."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

WeightStore = Literal["dram", "stack", "nowhere"]

FS_PER_NS = 10**6
FS_PER_US = 10**9


@dataclass(frozen=True)
class Link:
    """One chip's receiver: 10^9 bytes a second, latency of a transfer, energy of a bit received."""

    bandwidth_gb_per_s: float
    latency_ns: float
    energy_pj_per_bit: float

    def transfer_fs(self, bits: int) -> int:
        """Time of so many bits, rounded up."""
        return -int(-bits * FS_PER_NS // (8 * self.bandwidth_gb_per_s))

    @property
    def latency_fs(self) -> int:
        return round(self.latency_ns * FS_PER_NS)


@dataclass(frozen=True)
class StackedMemory:
    """Memory dies on the logic die, for weights: bits a cycle of its own clock, latency of a read, energy of a bit."""

    capacity_bits: int
    bits_per_cycle: int
    clock_mhz: float
    latency_ns: float
    energy_pj_per_bit: float

    def transfer_fs(self, bits: int) -> int:
        """Time of so many bits in whole cycles."""
        return -(-bits // self.bits_per_cycle) * round(FS_PER_US / self.clock_mhz)

    @property
    def latency_fs(self) -> int:
        return round(self.latency_ns * FS_PER_NS)


@dataclass(frozen=True)
class System:
    """`chips` alike, and each one's `stacked` memory. It holds the weights whose owner and name match a pattern of
    `in_stack`, such as `draft/*.layers.*`, in equal shares; all others are in DRAM. Reading weights that match
    `uncharged` takes no time and no energy, and is no bits: for comparisons with numbers that leave them out."""

    chips: int = 1
    link: Link | None = None
    stacked: StackedMemory | None = None
    in_stack: tuple[str, ...] = ()
    uncharged: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.chips > 1 and self.link is None:
            raise ValueError(f"{self.chips} chips and no link between them")
        if self.in_stack and self.stacked is None:
            raise ValueError("weights for a stacked memory, and there is none")

    def store(self, owner: str, weight: str) -> WeightStore:
        """Where a weight is read from."""
        name = f"{owner}/{weight}"
        for patterns, store in ((self.uncharged, "nowhere"), (self.in_stack, "stack")):
            if any(fnmatchcase(name, pattern) for pattern in patterns):
                return store  # type: ignore[return-value]
        return "dram"


ONE_CHIP = System()
