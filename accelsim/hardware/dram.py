"""Off-chip memory: energy by the bit, time by the burst. Its constants never scale with the logic node."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from accelsim.hardware import tables
from accelsim.hardware.block import Action, Block, Cost, or_user
from accelsim.spec import models

FS_PER_NS = 1_000_000
BITS_PER_BYTE = 8


@dataclass(frozen=True, kw_only=True)
class Dram(Block):
    """Action `access` per bit. `leakage_mw` is background power: refresh and standby."""

    kind: str
    burst_bytes: int
    fs_per_byte: Fraction
    """Time of one byte at peak bandwidth x row-hit efficiency, femtoseconds, exact."""
    latency_fs: int
    """Time from a request to its first bit, femtoseconds; not part of `transfer_fs`."""

    def moved_bits(self, bits: int) -> int:
        """Bits that cross the pins for one contiguous transfer of `bits`: whole bursts."""
        if bits < 0:
            raise ValueError(f"{self.name}: cannot move {bits} bits")
        burst_bits = self.burst_bytes * BITS_PER_BYTE
        return -(-bits // burst_bits) * burst_bits

    def transfer_fs(self, bits: int) -> int:
        """Femtoseconds the pins are busy with one contiguous transfer of `bits`, rounded up."""
        return math.ceil(self.moved_bits(bits) // BITS_PER_BYTE * self.fs_per_byte)


def build_dram(spec: models.Dram) -> Dram:
    """The memory of a spec, named `dram`."""
    line = tables.row("dram", "kind", spec.kind)
    energy = or_user(spec.energy_pj_per_bit, tables.cost(line, "energy_pj_per_bit"))
    # 10^9 bytes per second are bytes per ns; the decimal text keeps 25.6 exact.
    bytes_per_ns = Fraction(repr(spec.bandwidth_gb_per_s)) * Fraction(repr(spec.row_hit_efficiency))
    return Dram(
        name="dram",
        actions={"access": Action(energy, "bit")},
        area_mm2=Cost(0.0, "excluded: DRAM die is not accelerator area", "derived"),
        leakage_mw=or_user(spec.background_power_mw, tables.cost(line, "background_power_mw")),
        die="dram",
        kind=spec.kind,
        burst_bytes=spec.burst_bytes,
        fs_per_byte=FS_PER_NS / bytes_per_ns,
        latency_fs=round(spec.latency_ns * FS_PER_NS),
    )
