"""A program whose first weight tile is there already, or that loads the next op's on the side.

    load_* --<name>_done--> prefetch     when every load has arrived

The prefetch is a queue of one transfer that starts after the op's own loads and shares the DRAM with
its stores; the op is over when it has arrived too. A weight tile that is there takes no time; its
bits stay with the op whose tile it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from accelsim.hardware.machine import Machine
from accelsim.program.dma import dma_queue, write_port
from accelsim.program.program import Channel, Ints, Program, Queue, TokenUse

WEIGHT_QUEUE = "load_weight"


@dataclass(frozen=True)
class Prefetch:
    """What an op's program has of weight prefetching: its own first tile (`preloaded`) came in before
    it starts, and `next_bits` of the next op's come in before it ends."""

    preloaded: bool = False
    next_bits: int = 0

    def applied(self, program: Program, machine: Machine) -> Program:
        """The program with both."""
        if self.preloaded:
            program = replace(program, queues=tuple(_first_is_there(queue) for queue in program.queues))
        return _with_next(program, self.next_bits, machine) if self.next_bits else program

    def preloaded_bits(self, program: Program) -> int:
        """Bits of the first weight tile, if it is there before the op starts."""
        weights = next((queue.bits for queue in program.queues if queue.name == WEIGHT_QUEUE), None)
        return int(weights[0]) if self.preloaded and weights is not None else 0


NO_PREFETCH = Prefetch()


def _first_is_there(queue: Queue) -> Queue:
    if queue.name != WEIGHT_QUEUE:
        return queue
    later = np.ones(len(queue), np.int64)
    later[0] = 0
    return replace(queue, busy_fs=queue.busy_fs * later, latency_fs=queue.latency_fs * later)


def _with_next(program: Program, bits: int, machine: Machine) -> Program:
    queues, channels, waits = [], list(program.channels), []
    for queue in program.queues:
        if queue.name.startswith("load"):
            done = f"{queue.name}_done"
            channels.append(Channel(done, queue.name, "prefetch"))
            waits.append(TokenUse(done, np.ones(1, np.int64)))
            queue = replace(queue, signals=(*queue.signals, TokenUse(done, _at_the_end(len(queue)))))
        queues.append(queue)
    port = write_port(machine.weight_buffer, machine.period_fs)
    queues.append(dma_queue("prefetch", np.array([bits], np.int64), machine.dram, port, tuple(waits), ()))
    return Program(tuple(queues), program.resources, tuple(channels))


def _at_the_end(size: int) -> Ints:
    return np.append(np.zeros(size - 1, np.int64), 1)
