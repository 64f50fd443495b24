"""Chips alike and the link between them. The transceiver of a chip is a queue of its own: one gather at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from accelsim.hardware.block import Action, Block, Cost
from accelsim.spec import stacked

FS_PER_NS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class ChipLink(Block):
    """Action `receive` per bit that a chip receives, the sender's part included."""

    fs_per_byte: Fraction
    latency_fs: int

    def transfer_fs(self, bits: int) -> int:
        """Femtoseconds to receive so many bits, latency left out, rounded up."""
        return math.ceil(Fraction(bits, 8) * self.fs_per_byte)

    @property
    def energy_pj_per_bit(self) -> float:
        """Energy of a bit received, pJ."""
        return self.actions["receive"].energy_pj.value


@dataclass(frozen=True)
class ChipSystem:
    """`chips` chips of the machine; `link` is each one's receiver, None for one chip alone."""

    chips: int = 1
    link: ChipLink | None = None


ONE_CHIP = ChipSystem()


def build_system(spec: stacked.System | None) -> ChipSystem:
    """The system of a spec; one chip where it says nothing. The link's transceiver has no area of its own."""
    if spec is None or spec.link is None:
        return ONE_CHIP
    link = ChipLink(
        name="link",
        actions={"receive": Action(Cost(spec.link.energy_pj_per_bit, "spec", "user"), "bit")},
        area_mm2=Cost(0.0, "not modelled: transceiver", "assumed"),
        leakage_mw=Cost(0.0, "not modelled: transceiver", "assumed"),
        fs_per_byte=FS_PER_NS / Fraction(repr(spec.link.bandwidth_gb_per_s)),
        latency_fs=round(spec.link.latency_ns * FS_PER_NS),
    )
    return ChipSystem(spec.chips, link)
