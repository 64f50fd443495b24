"""A queue of transfers from or to DRAM, or out of a stacked memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from accelsim.hardware.dram import Dram
from accelsim.hardware.reram_stack import ReramStack
from accelsim.hardware.sram import Sram
from accelsim.mapping.arrays import distinct_rows
from accelsim.program.program import Ints, Queue, TokenUse

PortTime = Callable[[int], int]


def write_port(buffer: Sram, period_fs: int) -> PortTime:
    """Femtoseconds the buffer's write ports need for so many bits."""
    return lambda bits: -(-bits // buffer.write_bits_per_cycle) * period_fs


def read_port(buffer: Sram, period_fs: int) -> PortTime:
    """Femtoseconds the buffer's read ports need for so many bits."""
    return lambda bits: -(-bits // buffer.read_bits_per_cycle) * period_fs


def no_port(bits: int) -> int:
    """Nothing but the store limits a transfer that no buffer takes part in."""
    return 0


def dma_queue(
    name: str,
    bits: Ints,
    store: Dram | ReramStack,
    port: PortTime,
    waits: tuple[TokenUse, ...],
    signals: tuple[TokenUse, ...],
    ports: tuple[str, ...] = (),
    port_bits: Ints | None = None,
) -> Queue:
    """One transfer per entry of `bits`, as slow as the store or the buffer port at its other end.

    Through that port go `port_bits`, if other than in the store.

    The latency does not hold the store, nor the `ports` held with it; an empty transfer takes no time.
    """
    through = bits if port_bits is None else port_bits
    firsts, where = distinct_rows([bits] if port_bits is None else [bits, through])
    kinds = [max(store.transfer_fs(int(bits[first])), port(int(through[first]))) for first in firsts]
    busy = np.array(kinds, np.int64)[where]
    latency = np.where(bits > 0, store.latency_fs, 0).astype(np.int64)
    return Queue(name, (store.name, *ports), busy, latency, bits, waits, signals)
