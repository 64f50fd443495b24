"""Where a pass loads from: how long a slot of the weight buffer takes to fill, and how many slots there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from accelsim.decoding.passes.system import ONE_CHIP, Link, StackedMemory, System
from accelsim.hardware.machine import Machine
from accelsim.program.dma import write_port
from accelsim.program.program import Ints

SLOTS = 8
"""Parts of the weight buffer; each holds one load."""
RERAM_SLOTS = 2
"""Of these, kept for loads from the stacked memory while both are in use: one fills while one is read."""


@dataclass(frozen=True)
class Port:
    """A queue of transfers: time of one of so many bits, and from its request to its first bit, femtoseconds."""

    transfer_fs: Callable[[int], int]
    latency_fs: int

    def busy_fs(self, bits: Ints) -> Ints:
        """Time of each transfer; none for no bits."""
        sizes, where = np.unique(bits, return_inverse=True)
        return np.array([self.transfer_fs(int(size)) if size else 0 for size in sizes], np.int64)[where]

    def latencies_fs(self, bits: Ints) -> Ints:
        return np.where(bits > 0, self.latency_fs, 0).astype(np.int64)


@dataclass(frozen=True)
class Stores:
    """The ports of a machine's passes, and the bits of one slot."""

    slot_bits: int
    dram: Port
    reram: Port
    transceiver: Port

    def slots(self, both: bool) -> tuple[int, int]:
        """Slots for loads from DRAM and from the stacked memory; all of them for each where only one is in use."""
        return (SLOTS - RERAM_SLOTS, RERAM_SLOTS) if both else (SLOTS, SLOTS)


def build_stores(machine: Machine, system: System = ONE_CHIP) -> Stores:
    """The ports of one chip; one that it lacks transfers nothing."""
    into = write_port(machine.weight_buffer, machine.period_fs)
    dram = Port(lambda bits: max(machine.dram.transfer_fs(bits), into(bits)), machine.dram.latency_fs)
    reram, link = _port(system.stacked, "stacked memory"), _port(system.link, "link")
    return Stores(machine.weight_buffer.capacity_bits // SLOTS, dram, reram, link)


def _port(block: StackedMemory | Link | None, what: str) -> Port:
    if block is not None:
        return Port(block.transfer_fs, block.latency_fs)

    def refuse(bits: int) -> int:
        raise ValueError(f"the machine has no {what} to move {bits} bits")

    return Port(refuse, 0)
