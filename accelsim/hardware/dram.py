"""Off-chip memory: energy by the bit and the row, time by the burst. Its constants never scale with the logic node."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from accelsim.hardware import tables
from accelsim.hardware.block import Block, Cost, or_user
from accelsim.hardware.dram_energy import split
from accelsim.hardware.dram_interface import Fact, build_interface
from accelsim.hardware.run_length import RunLength
from accelsim.spec.dram import Dram as DramSpec

FS_PER_NS = 1_000_000
BITS_PER_BYTE = 8


@dataclass(frozen=True, kw_only=True)
class Dram(Block):
    """Actions `access` (columns) and `io` (pins) per bit, `activate` per `row_bits`. `leakage_mw` is
    background power: refresh and standby."""

    kind: str
    timing: str | None
    """The preset whose timing table the interface comes from."""
    burst_bytes: int
    fs_per_byte: Fraction
    """Time of one byte at peak bandwidth x efficiency, femtoseconds, exact."""
    latency_fs: int
    """Time from a request to its first bit, femtoseconds; not part of `transfer_fs`."""
    row_bits: int
    """Bits that one `activate` serves: a row, or 1 where no timing table says how long rows are."""
    pj_per_bit: Cost
    """All three actions together, for a stream that uses whole rows."""
    facts: tuple[Fact, ...]
    """Bandwidth, burst, efficiency and latency with their origins."""
    run_length: RunLength | None = None
    """How activations with zeros are compressed."""

    def moved_bits(self, bits: int) -> int:
        """Bits that cross the pins for one contiguous transfer of `bits`: whole bursts."""
        if bits < 0:
            raise ValueError(f"{self.name}: cannot move {bits} bits")
        burst_bits = self.burst_bytes * BITS_PER_BYTE
        return -(-bits // burst_bits) * burst_bits

    def transfer_fs(self, bits: int) -> int:
        """Femtoseconds the pins are busy with one contiguous transfer of `bits`, rounded up."""
        return math.ceil(self.moved_bits(bits) // BITS_PER_BYTE * self.fs_per_byte)

    def activations(self, moved_bits: int) -> int:
        """How often `activate` is charged for so many bits, moved in address order."""
        return -(-moved_bits // self.row_bits)

    def transfer_pj(self, moved_bits: int) -> float:
        """Energy of moving so many bits in address order, pJ."""
        counts = {"activate": self.activations(moved_bits), "access": moved_bits, "io": moved_bits}
        return math.fsum(count * self.actions[name].energy_pj.value for name, count in counts.items())


def build_dram(spec: DramSpec, where: str) -> Dram:
    """The memory of a spec, named `dram`; `where` stands in front of a UserError's faults."""
    line = tables.row("dram", "kind", spec.kind)
    energy = or_user(spec.energy_pj_per_bit, tables.cost(line, "energy_pj_per_bit"))
    pins = build_interface(spec, where)
    row_bits = None if pins.row_bytes is None else pins.row_bytes * BITS_PER_BYTE
    return Dram(
        name="dram",
        actions=split(line, energy, row_bits),
        area_mm2=Cost(0.0, "excluded: DRAM die is not accelerator area", "derived"),
        leakage_mw=or_user(spec.background_power_mw, tables.cost(line, "background_power_mw")),
        die="dram",
        kind=spec.kind,
        timing=spec.timing,
        burst_bytes=pins.burst_bytes,
        fs_per_byte=FS_PER_NS / (pins.peak_bytes_per_ns * pins.efficiency),
        latency_fs=round(pins.latency_ns * FS_PER_NS),
        row_bits=row_bits or 1,
        pj_per_bit=energy,
        facts=pins.facts,
        run_length=None if spec.run_length is None else RunLength(spec.run_length.run_bits, spec.run_length.word_bits),
    )
