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
from accelsim.program.program import Channel, Ints, Program, Queue, TokenUse
from accelsim.program.transfer import Transfer, transfer_queue

WEIGHT_QUEUE = "load_weight"


@dataclass(frozen=True)
class Prefetch:
    """What an op's program has of weight prefetching: its own first tile (`preloaded`) came in before
    it starts, and `next_bits` of the next op's come into the memory `into` before it ends."""

    preloaded: bool = False
    next_bits: int = 0
    into: str = ""

    def applied(self, program: Program, machine: Machine) -> Program:
        """The program with both."""
        if self.preloaded:
            program = replace(program, queues=tuple(_first_is_there(queue) for queue in program.queues))
        return self._with_next(program, machine) if self.next_bits else program

    def _with_next(self, program: Program, machine: Machine) -> Program:
        queues, channels, waits = [], list(program.channels), []
        for queue in program.queues:
            if queue.name.startswith("load"):
                done = f"{queue.name}_done"
                channels.append(Channel(done, queue.name, "prefetch"))
                waits.append(TokenUse(done, np.ones(1, np.int64)))
                queue = replace(queue, signals=(*queue.signals, TokenUse(done, _at_the_end(len(queue)))))
            queues.append(queue)
        bits = np.array([self.next_bits], np.int64)
        transfer = Transfer("prefetch", bits, machine.dram, machine.memory(self.into), tuple(waits), ())
        queues.append(transfer_queue(transfer, machine, program.resources))
        return Program(tuple(queues), program.resources, tuple(channels))

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


def _at_the_end(size: int) -> Ints:
    return np.append(np.zeros(size - 1, np.int64), 1)
