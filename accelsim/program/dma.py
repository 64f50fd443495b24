"""A queue of DRAM transfers."""

from __future__ import annotations

import numpy as np

from accelsim.hardware.dram import Dram
from accelsim.program.program import Ints, Queue, TokenUse


def dma_queue(name: str, bits: Ints, dram: Dram, waits: tuple[TokenUse, ...], signals: tuple[TokenUse, ...]) -> Queue:
    """One transfer per entry of `bits`; the latency does not hold the DRAM; an empty one takes no time."""
    sizes, where = np.unique(bits, return_inverse=True)
    busy = np.array([dram.transfer_fs(int(size)) for size in sizes], np.int64)[where]
    latency = np.where(bits > 0, dram.latency_fs, 0).astype(np.int64)
    return Queue(name, (dram.name,), busy, latency, bits, waits, signals)
