"""An on-chip SRAM: the buffer of one operand, or a memory that several share.

Energies are those of one bank, H-tree included. Left out, the whole capacity is one: an upper bound for a
buffer that is cut into smaller banks. Wires between banks are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias

from accelsim.hardware import sram_table, tables
from accelsim.hardware.block import Action, Block, Cost, or_user
from accelsim.hardware.technology import Process
from accelsim.spec import models

BITS_PER_KIB = 8192

OperandName = Literal["ifmap", "weight", "output"]
Width: TypeAlias = int | Fraction
"""Bits per value; a fraction where values share what is stored (codebooks)."""


def packed_bits(values: int, bits: Width) -> int:
    """Bits of so many values of `bits` that lie together, rounded up to whole bits."""
    return -(-values * bits.numerator // bits.denominator)


@dataclass(frozen=True, kw_only=True)
class Sram(Block):
    """Actions `read` and `write`, each one access of `word_bits`. `holds` says which operands pass through it."""

    holds: tuple[OperandName, ...]
    capacity_bits: int
    word_bits: int
    read_bits_per_cycle: int
    write_bits_per_cycle: int

    def values_per_word(self, bits: Width) -> int:
        """How many values of `bits` fit whole into one word; ValueError if none does (see `accesses`)."""
        if not 0 < bits <= self.word_bits:
            raise ValueError(f"{self.name}: no value of {bits} b fits a word of {self.word_bits} b")
        return self.word_bits // bits

    def accesses(self, values: int, bits: Width) -> int:
        """Accesses that move `values` values of `bits`, laid out one after the other.

        A value never straddles two words unless it is wider than one: then it takes whole words of
        its own. ValueError for a negative count or a width of nothing.
        """
        if values < 0 or bits <= 0:
            raise ValueError(f"{self.name}: cannot move {values} values of {bits} b")
        if bits > self.word_bits:
            return values * -(-bits // self.word_bits)
        return -(-values // self.values_per_word(bits))

    def read_cycles(self, accesses: int) -> int:
        """Core cycles that `accesses` reads take at the buffer's read bandwidth."""
        return -(-accesses * self.word_bits // self.read_bits_per_cycle)

    def write_cycles(self, accesses: int) -> int:
        """Core cycles that `accesses` writes take at the buffer's write bandwidth."""
        return -(-accesses * self.word_bits // self.write_bits_per_cycle)


def build_sram(name: str, spec: models.Buffer, holds: tuple[OperandName, ...], process: Process) -> Sram:
    """The buffer `name` of a spec; energies per access, area mm2, leakage mW from CACTI 7 or the user."""
    kib, word = spec.capacity_kib, spec.word_bits
    bank_kib, banks = kib / spec.banks, spec.banks
    given = {"read": spec.read_energy_pj_per_bit, "write": spec.write_energy_pj_per_bit}
    actions = {}
    for kind in ("read", "write"):
        per_bit = given[kind]
        per_access = None if per_bit is None else per_bit * word
        actions[kind] = Action(
            or_user(per_access, sram_table.access_energy_pj(kind, bank_kib, word, process)), "access"
        )
    bank_area = sram_table.area_mm2(bank_kib, word, process)
    return Sram(
        name=name,
        actions=actions,
        area_mm2=or_user(spec.area_mm2, bank_area if banks == 1 else bank_area.scaled(banks, f"x {banks} banks")),
        leakage_mw=or_user(spec.leakage_mw, sram_leakage_mw(kib)),
        holds=holds,
        capacity_bits=round(kib * BITS_PER_KIB),
        word_bits=word,
        read_bits_per_cycle=spec.read_bits_per_cycle,
        write_bits_per_cycle=spec.write_bits_per_cycle,
    )


def sram_leakage_mw(capacity_kib: float) -> Cost:
    """Leakage, mW: assumed density; not scaled with node or voltage, for nothing sourced says how."""
    density = tables.cost(tables.row("leakage", "part", "sram"), "leakage_mw_per_kib")
    return density.scaled(capacity_kib, f"x {capacity_kib:g} KiB, at every node and voltage")
