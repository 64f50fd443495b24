"""Memory dies stacked on the logic die, a second store for weights: ReRAM, or DRAM or SRAM in its place.

Words of a weight, each as wide as a die's port, are interleaved over all dies and, in a die, over its banks.
A transfer of w words takes

    ceil(w / dies) x max(port clock period, bank cycle / banks)   + latency + crossing cycles of the core clock

A weight is written once, before anything runs: what that takes is in the report's table of weights, and no
part of a run. Energy and density of ReRAM and DRAM dies are as published at their own node and are never scaled;
SRAM dies are of the logic die's process (CACTI 7, a bank as one array).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from accelsim.errors import user_error
from accelsim.hardware import sram_table, tables
from accelsim.hardware.arithmetic import UM2_PER_MM2
from accelsim.hardware.block import Action, Block, Cost, or_user
from accelsim.hardware.dram_interface import Fact
from accelsim.hardware.sram import BITS_PER_KIB, sram_leakage_mw
from accelsim.hardware.technology import Process
from accelsim.spec import stacked

FS_PER_NS = 1_000_000
FS_PER_US = 1_000_000_000
KIB_PER_MIB = 1024
MBIT = 1e6
SRAM_WORD_BITS = 64
BUMP_CELL_SHARE = Cost(0.1, "chosen: a tenth of the pitch squared", "assumed")


@dataclass(frozen=True, kw_only=True)
class ReramStack(Block):
    """Actions `read`, `write` and `link` per bit. Its area is that of all dies, none of it on the logic die."""

    technology: str
    dies: int
    tiers: int
    die_capacity_bits: int
    word_bits: int
    """Of one die: what a request reads at least."""
    word_fs: int
    """Time of one word of every die, femtoseconds."""
    latency_fs: int
    """Time from a request to its first bit on the core's clock, femtoseconds; not part of `transfer_fs`."""
    write_word_fs: int
    endurance_writes: float | None
    """None for cells that do not wear out."""
    facts: tuple[Fact, ...]
    """Times, endurance and bumps with their origins."""

    @property
    def capacity_bits(self) -> int:
        """Bits of all dies."""
        return self.dies * self.die_capacity_bits

    @property
    def tier_area_mm2(self) -> float:
        """Area of the dies of one tier, mm2."""
        return self.area_mm2.value / self.tiers

    @property
    def energy_pj_per_bit(self) -> float:
        """Energy of a bit from its cell to the logic die, pJ."""
        return math.fsum(self.actions[name].energy_pj.value for name in ("read", "link"))

    @property
    def peak_gb_per_s(self) -> float:
        """Read bandwidth of all dies, 10^9 bytes per second."""
        return self.dies * self.word_bits / 8 / self.word_fs * FS_PER_NS

    def moved_bits(self, bits: int) -> int:
        """Bits read for one contiguous transfer of `bits`: whole words. ValueError for a negative number."""
        if bits < 0:
            raise ValueError(f"{self.name}: cannot move {bits} bits")
        return -(-bits // self.word_bits) * self.word_bits

    def transfer_fs(self, bits: int) -> int:
        """Femtoseconds the ports are busy with one contiguous transfer of `bits`, its words over all dies."""
        return -(-self.moved_bits(bits) // (self.word_bits * self.dies)) * self.word_fs

    def write_fs(self, bits: int) -> int:
        """Femtoseconds to write `bits`, all dies at once and a word after the other."""
        return -(-self.moved_bits(bits) // (self.word_bits * self.dies)) * self.write_word_fs

    def write_pj(self, bits: int) -> float:
        """Energy of writing `bits`, whole words through the bumps into the cells, pJ."""
        each = math.fsum(self.actions[name].energy_pj.value for name in ("write", "link"))
        return self.moved_bits(bits) * each


@dataclass(frozen=True, kw_only=True)
class BumpField(Block):
    """Drivers, receivers and protection of the bumps, on the logic die; what crosses them is the stack's `link`."""

    bumps: int
    pitch_um: float


def build_reram_stack(spec: stacked.ReramStack, process: Process, where: str) -> ReramStack:
    """The stack of a spec, named `reram`.

    UserError, with `where` in front, for bumps at a pitch that a die has no room for.
    """
    line = tables.row("stack", "technology", spec.technology)
    read, write = (_access(spec, line, kind, process) for kind in ("read", "write"))
    die = or_user(spec.die_area_mm2, _die_area_mm2(spec, line, process))
    _check_bumps(spec, die.value, where)
    facts = {
        name: or_user(given, _time(line, name))
        for name, given in (
            ("read_latency_ns", spec.read_latency_ns), ("bank_cycle_ns", spec.bank_cycle_ns),
            ("write_time_ns", spec.write_time_ns),
        )
    }  # fmt: skip
    latency, cycle, write_time = (facts[name] for name in ("read_latency_ns", "bank_cycle_ns", "write_time_ns"))
    endurance = _endurance(spec, line)
    port_fs, bank_fs = round(FS_PER_US / spec.clock_mhz), round(cycle.value * FS_PER_NS / spec.banks_per_die)
    crossing_fs = spec.crossing_cycles * round(FS_PER_US / process.clock_mhz)
    return ReramStack(
        name="reram",
        actions={
            "read": Action(read, "bit"),
            "write": Action(write, "bit"),
            "link": Action(or_user(spec.link_energy_pj_per_bit, _cell(line, "link_energy_pj_per_bit", "link")), "bit"),
        },
        area_mm2=die.scaled(spec.dies, f"x {spec.dies} dies"),
        leakage_mw=or_user(spec.leakage_mw, _leakage_mw(spec, line)),
        die="stack",
        technology=spec.technology,
        dies=spec.dies,
        tiers=spec.tiers,
        die_capacity_bits=round(spec.die_capacity_kib * BITS_PER_KIB),
        word_bits=spec.read_bits_per_cycle,
        word_fs=max(port_fs, bank_fs),
        latency_fs=round(latency.value * FS_PER_NS) + crossing_fs,
        write_word_fs=round(write_time.value * FS_PER_NS),
        endurance_writes=None if endurance is None else endurance.value,
        facts=_facts(spec, facts, endurance),
    )


def build_bump_field(spec: stacked.ReramStack, process: Process) -> BumpField:
    """What the bumps take on the logic die, named `bump_field`."""
    pitch = Cost(spec.bump_pitch_um**2, f"pitch {spec.bump_pitch_um:g} um", "user")
    cell = or_user(spec.bump_area_um2, pitch.scaled(BUMP_CELL_SHARE.value, BUMP_CELL_SHARE.source, "assumed"))
    return BumpField(
        name="bump_field",
        actions={},
        area_mm2=cell.scaled(spec.bumps / UM2_PER_MM2, f"x {spec.bumps} bumps"),
        leakage_mw=Cost(0.0, "counted with the stack", "assumed"),
        bumps=spec.bumps,
        pitch_um=spec.bump_pitch_um,
    )


def _access(spec: stacked.ReramStack, line: tables.Line, kind: str, process: Process) -> Cost:
    """Energy of reading or writing a bit, pJ."""
    given = spec.read_energy_pj_per_bit if kind == "read" else spec.write_energy_pj_per_bit
    if spec.technology != "sram":
        return or_user(given, _cell(line, f"{kind}_energy_pj_per_bit", kind))
    bank_kib = spec.die_capacity_kib / spec.banks_per_die
    word = sram_table.access_energy_pj("read" if kind == "read" else "write", bank_kib, SRAM_WORD_BITS, process)
    return or_user(given, word.scaled(1 / SRAM_WORD_BITS, "a bit"))


def _die_area_mm2(spec: stacked.ReramStack, line: tables.Line, process: Process) -> Cost:
    if spec.technology == "sram":
        bank = sram_table.area_mm2(spec.die_capacity_kib / spec.banks_per_die, SRAM_WORD_BITS, process)
        return bank.scaled(spec.banks_per_die, f"x {spec.banks_per_die} banks")
    density = _cell(line, "density_mbit_per_mm2", "area")
    mbit = spec.die_capacity_kib * BITS_PER_KIB / MBIT
    return Cost(
        mbit / density.value, f"{mbit:.4g} Mb at {density.value:g} Mb/mm2: {density.source}", density.confidence
    )


def _leakage_mw(spec: stacked.ReramStack, line: tables.Line) -> Cost:
    kib = spec.dies * spec.die_capacity_kib
    if spec.technology == "sram":
        return sram_leakage_mw(kib)
    return _cell(line, "leakage_mw_per_mib", "leakage").scaled(kib / KIB_PER_MIB, f"x {kib / KIB_PER_MIB:g} MiB")


def _check_bumps(spec: stacked.ReramStack, die_mm2: float, where: str) -> None:
    """Bumps of one die's tier lie under it."""
    each = spec.bumps / spec.dies * spec.bump_pitch_um**2 / UM2_PER_MM2
    if each > die_mm2:
        found = f"{spec.bumps / spec.dies:g} bumps a die take {each:.4g} mm2 of its {die_mm2:.4g} mm2"
        raise user_error(where, "reram_stack.bump_pitch_um", found, "fewer bumps, a finer pitch, or larger dies")


def _time(line: tables.Line, column: str) -> Cost:
    kind = "write" if column == "write_time_ns" and line["write_source"] else "time"
    return _cell(line, column, kind)


def _cell(line: tables.Line, column: str, kind: str) -> Cost:
    return Cost(float(line[column]), line[f"{kind}_source"], tables.confidence(line[f"{kind}_confidence"]))


def _endurance(spec: stacked.ReramStack, line: tables.Line) -> Cost | None:
    if spec.endurance_writes is not None:
        return Cost(spec.endurance_writes, "spec", "user")
    if not line["endurance_writes"]:
        return None
    source = "production parts of 40 to 22 nm survive 1e4 to 1e6 (MRS Comm. 14:1099, 2024); this chip's is unknown"
    return Cost(float(line["endurance_writes"]), source, "assumed")


def _facts(spec: stacked.ReramStack, times: dict[str, Cost], endurance: Cost | None) -> tuple[Fact, ...]:
    pitch = Cost(spec.bump_pitch_um**2, f"pitch {spec.bump_pitch_um:g} um", "user")
    bumps = pitch.scaled(spec.bumps / UM2_PER_MM2, f"x {spec.bumps}")
    worn = () if endurance is None else (Fact("endurance", endurance, "writes"),)
    return (
        Fact("read latency", times["read_latency_ns"], "ns"),
        Fact("bank cycle", times["bank_cycle_ns"], "ns"),
        Fact("write time", times["write_time_ns"], "ns a word of every die"),
        *worn,
        Fact("bumps", Cost(spec.bumps, "spec", "user"), "on all dies"),
        Fact("bump field", bumps, "mm2 at the pitch, under the dies"),
    )
