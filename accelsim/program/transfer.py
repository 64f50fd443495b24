"""Transfers between two storage levels, and the memory ports that they share.

A transfer between two memories holds the read port of one and the write port of the other, for as long
as the slower needs. Where a port serves such transfers, DRAM's through it hold it too. A port serves as
many at once as its rate is multiples of its fastest transfer's. What the array itself asks of a port is
part of its own instructions and holds none.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from accelsim.hardware.dram import BITS_PER_BYTE, Dram
from accelsim.hardware.machine import Machine
from accelsim.hardware.reram_stack import ReramStack
from accelsim.hardware.sram import Sram
from accelsim.mapping.arrays import distinct_rows
from accelsim.program.dma import PortTime, dma_queue, no_port, read_port, write_port
from accelsim.program.program import Ints, Queue, Resource, TokenUse

End = Dram | ReramStack | Sram | None


@dataclass(frozen=True)
class Transfer:
    """A queue's worth of transfers of `bits` (n,) from one level to the next; None is the array, which has no port.

    `port_bits` (n,) cross the memory's port, if others than `bits`: what is compressed in DRAM is not on the chip.
    """

    name: str
    bits: Ints
    source: End
    target: End
    waits: tuple[TokenUse, ...]
    signals: tuple[TokenUse, ...]
    port_bits: Ints | None = None
    runs_fs: Ints | None = None
    """What a strided DMA takes beyond the time of the bits (n,); None without one."""

    def ports(self) -> dict[str, int]:
        """The memory ports at its ends, and their bits per cycle."""
        ports = {}
        if isinstance(self.source, Sram):
            ports[f"{self.source.name} read"] = self.source.read_bits_per_cycle
        if isinstance(self.target, Sram):
            ports[f"{self.target.name} write"] = self.target.write_bits_per_cycle
        return ports

    @property
    def store(self) -> Dram | ReramStack | None:
        """The store at one of its ends; None between memories of the chip."""
        return next((end for end in (self.source, self.target) if isinstance(end, Dram | ReramStack)), None)

    @property
    def is_on_chip(self) -> bool:
        return self.store is None


def shared_ports(transfers: Sequence[Transfer], machine: Machine) -> tuple[Resource, ...]:
    """The ports that transfers between two memories take, each with how many of its transfers it serves at once."""
    rates: dict[str, int] = {}
    fastest: dict[str, Fraction] = {}
    between_memories: set[str] = set()
    for transfer in transfers:
        if not transfer.bits.any():
            continue
        ports = transfer.ports()
        if transfer.is_on_chip:
            between_memories.update(ports)
        fed = min([Fraction(rate) for rate in ports.values()] + _store_rate(transfer.store, machine.period_fs))
        rates.update(ports)
        fastest.update({name: max(fastest.get(name, fed), fed) for name in ports})
    return tuple(
        Resource(name, max(1, int(rate / fastest[name]))) for name, rate in rates.items() if name in between_memories
    )


def _store_rate(store: Dram | ReramStack | None, period_fs: int) -> list[Fraction]:
    """Bits per core cycle of a store, if there is one."""
    if isinstance(store, ReramStack):
        return [Fraction(store.dies * store.word_bits * period_fs, store.word_fs)]
    return [] if store is None else [Fraction(period_fs) / store.fs_per_byte * BITS_PER_BYTE]


def transfer_queue(transfer: Transfer, machine: Machine, resources: Sequence[Resource]) -> Queue:
    """The queue of a transfer, which holds those of its ports that are among `resources`."""
    shared = {resource.name for resource in resources}
    held = tuple(name for name in transfer.ports() if name in shared)
    times = _port_times(transfer, machine.period_fs)
    if transfer.store is not None:
        port = times[0] if times else no_port
        uses = transfer.waits, transfer.signals, held
        queue = dma_queue(transfer.name, transfer.bits, transfer.store, port, *uses, transfer.port_bits)
        return queue if transfer.runs_fs is None else replace(queue, busy_fs=queue.busy_fs + transfer.runs_fs)
    firsts, where = distinct_rows([transfer.bits])
    busy = np.array([max(time(int(transfer.bits[first])) for time in times) for first in firsts], np.int64)[where]
    zero = np.zeros(busy.size, np.int64)
    return Queue(transfer.name, held, busy, zero, transfer.bits, transfer.waits, transfer.signals)


def _port_times(transfer: Transfer, period_fs: int) -> list[PortTime]:
    times = []
    if isinstance(transfer.source, Sram):
        times.append(read_port(transfer.source, period_fs))
    if isinstance(transfer.target, Sram):
        times.append(write_port(transfer.target, period_fs))
    return times


def store_bits(queues: Collection[Queue], store: Dram | ReramStack | None) -> int:
    """Bits that the queues move to and from a store."""
    return sum(int(queue.bits.sum()) for queue in queues if store is not None and store.name in queue.resources)
