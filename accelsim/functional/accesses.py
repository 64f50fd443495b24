"""Accesses as they happen: whatever moves values tells the port of the memory it moves them through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accelsim.hardware.dram import Dram
from accelsim.hardware.sram import Sram, Width, packed_bits

Key = tuple[str, str, str]
Sizes = Sequence[tuple[int, int]]
"""Transfers by size: (values of one transfer, how many such transfers)."""


@dataclass(frozen=True)
class Access:
    """Sums over one (block, operand, action): `count` in port words, DRAM bits, or single operations."""

    count: int
    values: int
    bits_useful: int
    bits_moved: int


class AccessTable:
    """Sums by (block, operand, action); what never happens has no row."""

    def __init__(self) -> None:
        self._sums: dict[Key, list[int]] = {}

    def add(self, key: Key, count: int, values: int, bits_useful: int, bits_moved: int) -> None:
        if count:
            sums = self._sums.setdefault(key, [0, 0, 0, 0])
            for position, amount in enumerate((count, values, bits_useful, bits_moved)):
                sums[position] += amount

    def operations(self, block: str, operand: str, action: str, values: int, bits: int) -> None:
        """`values` operations of a compute block, each on `bits` bits."""
        self.add((block, operand, action), values, values, values * bits, values * bits)

    def rows(self) -> dict[Key, Access]:
        """The sums in the order of their keys."""
        return {key: Access(*sums) for key, sums in sorted(self._sums.items())}


class Port:
    """Where values enter or leave a memory; the array and exchange points in DRAM (None) count nothing."""

    def __init__(self, table: AccessTable, memory: Sram | Dram | None) -> None:
        self._table = table
        self._memory = memory

    def move(self, operand: str, action: str, sizes: Sizes, bits: Width) -> None:
        """Transfers of `bits`-bit values, each laid out on its own in words or bursts."""
        memory = self._memory
        if memory is None:
            return
        values = sum(size * times for size, times in sizes)
        useful = sum(packed_bits(size, bits) * times for size, times in sizes)
        if isinstance(memory, Sram):
            count = sum(memory.accesses(size, bits) * times for size, times in sizes)
            moved = count * memory.word_bits
        else:
            count = moved = sum(memory.moved_bits(packed_bits(size, bits)) * times for size, times in sizes)
        self._table.add((memory.name, operand, action), count, values, useful, moved)
