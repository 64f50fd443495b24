"""The event engine: runs a program's queues and says when every instruction ran.

Two queues, two operations each: `load` brings a tile (3 cycles), `array` computes on it (4 cycles).
`full` carries tiles to the array, `free` carries empty slots back. With one slot (one credit on
`free`) nothing overlaps; with two, the second load hides behind the first computation:

    cycle        0  1  2  3  4  5  6  7  8  9  10 11 12 13
    one slot
      load       [ L0   ]  .  .  .  . [ L1   ]
      array      .  .  . [   C0     ]  .  .  . [   C1     ]       ends at 14
    two slots
      load       [ L0   ][ L1   ]
      array      .  .  . [   C0     ][   C1     ]                 ends at 11

    L0 takes a `free` token, gives `full` at 3; C0 takes it and gives `free` back at 7. Without the
    wait of C0 on `full`, C0 would start at 0 and the answer would be 8.

Rules. Instructions of one queue issue in order; queues run freely against each other. When several
heads are ready, the one ready longest goes first, then the one whose queue comes first. An instruction
that finishes at an instant makes its tokens and servers available to heads at that same instant. One
that is busy for no time needs no server, but its tokens never overtake those of its predecessors. If
nothing runs and heads are left, the program is deadlocked: a result that names the waiting heads.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import no_type_check

import numba
import numpy as np

from accelsim.program.program import Ints, Program, Queue, TokenUse


@dataclass(frozen=True)
class ResourceUse:
    """Where a resource's time went, femtoseconds: busy, stalled (work left, none ready), idle (done)."""

    name: str
    busy_fs: int
    stalled_fs: int
    idle_fs: int


@dataclass(frozen=True)
class Timeline:
    """When each instruction started and finished (latency included), queue by queue; -1 if never."""

    program: Program
    start_fs: tuple[Ints, ...]
    finish_fs: tuple[Ints, ...]
    makespan_fs: int
    resources: tuple[ResourceUse, ...]
    deadlock: tuple[str, ...]


def run(program: Program) -> Timeline:
    """Run a program to its end or deadlock.

    Raises OverflowError when durations could add up past int64 femtoseconds (2.5 hours).
    """
    queues = program.queues
    busy, latency = _concat([queue.busy_fs for queue in queues]), _concat([queue.latency_fs for queue in queues])
    if float(busy.sum(dtype=np.float64) + latency.sum(dtype=np.float64)) > 2.0**62:
        raise OverflowError("the program lasts longer than int64 femtoseconds can count")
    first = np.cumsum([0, *(len(queue) for queue in queues)]).astype(np.int64)
    names = [resource.name for resource in program.resources]
    width = max((len(queue.resources) for queue in queues), default=1)
    held = np.full((len(queues), max(width, 1)), -1, np.int64)
    for row, queue in enumerate(queues):
        held[row, : len(queue.resources)] = [names.index(name) for name in queue.resources]
    capacity = np.array([resource.capacity for resource in program.resources], np.int64)
    credits = np.array([channel.credits for channel in program.channels] or [0], np.int64)
    wait_channel, wait_count = _tokens(program, [queue.waits for queue in queues])
    signal_channel, signal_count = _tokens(program, [queue.signals for queue in queues])
    start, finish = _run(
        first, held, busy, latency, wait_channel, wait_count, signal_channel, signal_count, credits, capacity
    )
    starts = tuple(start[first[q] : first[q + 1]] for q in range(len(queues)))
    finishes = tuple(finish[first[q] : first[q + 1]] for q in range(len(queues)))
    makespan = int(finish.max(initial=0))
    uses = tuple(_use(program, r, makespan, starts) for r in range(len(program.resources)))
    return Timeline(program, starts, finishes, makespan, uses, _stuck(queues, starts))


def _concat(parts: Sequence[Ints]) -> Ints:
    return np.concatenate([np.zeros(0, np.int64), *parts], dtype=np.int64)


def _tokens(program: Program, uses: Sequence[Sequence[TokenUse]]) -> tuple[Ints, Ints]:
    """Per queue the channels it uses, and per instruction how many tokens of each."""
    index = {channel.name: i for i, channel in enumerate(program.channels)}
    width = max((len(use) for use in uses), default=0) or 1
    channel = np.full((len(program.queues), width), -1, np.int64)
    count = np.zeros((program.instructions, width), np.int64)
    row = 0
    for q, queue in enumerate(program.queues):
        for column, use in enumerate(uses[q]):
            channel[q, column] = index[use.channel]
            count[row : row + len(queue), column] = use.count
        row += len(queue)
    return channel, count


def _use(program: Program, index: int, makespan: int, starts: tuple[Ints, ...]) -> ResourceUse:
    resource = program.resources[index]
    busy, last = 0, 0
    for queue, start in zip(program.queues, starts, strict=True):
        if resource.name in queue.resources and len(queue):
            ran = (start >= 0) & (queue.busy_fs > 0)  # an instruction of no time needs no server
            busy += int(queue.busy_fs[ran].sum())
            last = max(last, int((start + queue.busy_fs)[ran].max(initial=0)))
    busy //= resource.capacity
    return ResourceUse(resource.name, busy, last - busy, makespan - last)


def _stuck(queues: tuple[Queue, ...], starts: tuple[Ints, ...]) -> tuple[str, ...]:
    stuck = []
    for queue, start in zip(queues, starts, strict=True):
        waiting = np.flatnonzero(start < 0)
        if waiting.size:
            head = int(waiting[0])
            needs = [use.channel for use in queue.waits if use.count[head]]
            stuck.append(f"{queue.name}[{head}] waits for {', '.join(needs) or 'a resource'}")
    return tuple(stuck)


_I1, _I2 = "int64[:]", "int64[:, :]"
_SIGNATURE = f"Tuple(({_I1}, {_I1}))({_I1}, {_I2}, {_I1}, {_I1}, {_I2}, {_I2}, {_I2}, {_I2}, {_I1}, {_I1})"


@no_type_check
@numba.njit(_SIGNATURE, cache=True)
def _run(first, held, busy, latency, wait_channel, wait_count, signal_channel, signal_count, credits, capacity):
    queues = first.size - 1
    start = np.full(busy.size, -1, np.int64)
    finish = np.full(busy.size, -1, np.int64)
    tokens, free = credits.copy(), capacity.copy()
    head = first[:queues].copy()
    ready_since = np.full(queues, -1, np.int64)
    signalled = np.zeros(queues, np.int64)  # tokens of a queue leave it in order
    now, serial = np.int64(0), np.int64(0)
    events = [(np.int64(0), np.int64(0), np.int64(0), np.int64(0), np.int64(0))]
    events.pop()
    while True:
        while True:  # issue every head that can go at this instant, longest ready first
            best = -1
            for q in range(queues):
                if head[q] == first[q + 1]:
                    continue
                if ready_since[q] < 0:
                    ready = True
                    for w in range(wait_channel.shape[1]):
                        channel = wait_channel[q, w]
                        if channel >= 0 and tokens[channel] < wait_count[head[q], w]:
                            ready = False
                    if not ready:
                        continue
                    ready_since[q] = now
                served = True
                for r in range(held.shape[1]):
                    if busy[head[q]] > 0 and held[q, r] >= 0 and free[held[q, r]] < 1:
                        served = False
                if served and (best < 0 or ready_since[q] < ready_since[best]):
                    best = q
            if best < 0:
                break
            i = head[best]
            for w in range(wait_channel.shape[1]):
                if wait_channel[best, w] >= 0:
                    tokens[wait_channel[best, w]] -= wait_count[i, w]
            for r in range(held.shape[1]):
                if busy[i] > 0 and held[best, r] >= 0:
                    free[held[best, r]] -= 1
            start[i] = now
            heapq.heappush(events, (now + busy[i], serial, np.int64(0), np.int64(best), i))
            signalled[best] = max(signalled[best], now + busy[i] + latency[i])
            heapq.heappush(events, (signalled[best], serial + 1, np.int64(1), np.int64(best), i))
            serial += 2
            head[best] += 1
            ready_since[best] = -1
        if len(events) == 0:
            break
        now = np.int64(events[0][0])
        while len(events) > 0 and events[0][0] == now:
            _, _, kind, q, i = heapq.heappop(events)
            if kind == 0:
                for r in range(held.shape[1]):
                    if busy[i] > 0 and held[q, r] >= 0:
                        free[held[q, r]] += 1
            else:
                finish[i] = now
                for s in range(signal_channel.shape[1]):
                    if signal_channel[q, s] >= 0:
                        tokens[signal_channel[q, s]] += signal_count[i, s]
    return start, finish
