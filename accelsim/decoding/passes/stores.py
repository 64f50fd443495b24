"""Where a pass loads from: how long a slot of the weight buffer takes to fill, and how many slots there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

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


def _refuse(bits: int) -> int:
    raise ValueError(f"the machine has nothing to move {bits} bits with")


NO_PORT = Port(_refuse, 0)


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


def build_stores(machine: Machine) -> Stores:
    """The ports of one chip; one that it lacks transfers nothing."""
    into, dram, stack = write_port(machine.weight_buffer, machine.period_fs), machine.dram, machine.reram_stack
    from_dram = Port(lambda bits: max(dram.transfer_fs(bits), into(bits)), dram.latency_fs)
    from_stack = NO_PORT
    if stack is not None:
        from_stack = Port(lambda bits: max(stack.transfer_fs(bits), into(bits)), stack.latency_fs)
    link = machine.system.link
    received = NO_PORT if link is None else Port(link.transfer_fs, link.latency_fs)
    buffer = machine.weight_buffer
    room = buffer.capacity_bits // (2 if {"ifmap", "output"} & set(buffer.holds) else 1)  # the rest is theirs
    return Stores(room // SLOTS, from_dram, from_stack, received)
