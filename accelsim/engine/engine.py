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
that is busy for no time needs no server, but its tokens never overtake those of its predecessors. Tokens
that come at issue are there the moment their instruction starts: in-order issue across queues is a chain
of them. If
nothing runs and heads are left, the program is deadlocked: a result that names the waiting heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accelsim.engine.kernel import issue_all
from accelsim.program.program import Ints, Program, Queue


@dataclass(frozen=True)
class ResourceUse:
    """Where a resource's time went, femtoseconds: busy, stalled (work left, none ready), idle (done)."""

    name: str
    busy_fs: int
    stalled_fs: int
    idle_fs: int


@dataclass(frozen=True)
class Stall:
    """For how long servers of a resource had work left and none ready, and what for.

    The instruction that ended the wait lacked tokens of `channel`; for the part of it in which the
    instruction that gave the last one lacked tokens itself, it is that one's queue and channel that
    stand here. No channel: what was missing was another resource. Femtoseconds, all servers together.
    """

    resource: str
    queue: str
    channel: str
    waited_fs: int


@dataclass(frozen=True)
class Timeline:
    """When each instruction started and finished (latency included), queue by queue; -1 if never."""

    program: Program
    start_fs: tuple[Ints, ...]
    finish_fs: tuple[Ints, ...]
    makespan_fs: int
    resources: tuple[ResourceUse, ...]
    stalls: tuple[Stall, ...]
    deadlock: tuple[str, ...]


def run(program: Program) -> Timeline:
    """Run a program to its end or deadlock.

    Raises OverflowError when durations could add up past int64 femtoseconds (2.5 hours).
    """
    queues = program.queues
    durations = sum(queue.busy_fs.sum(dtype=np.float64) + queue.latency_fs.sum(dtype=np.float64) for queue in queues)
    if float(durations) > 2.0**62:
        raise OverflowError("the program lasts longer than int64 femtoseconds can count")
    first = _offsets([len(queue) for queue in queues])
    names = [resource.name for resource in program.resources]
    held = [[names.index(name) for name in queue.resources] for queue in queues]
    capacity = [min(resource.capacity, program.instructions) for resource in program.resources]
    start, finish, served, released, stalls = issue_all(
        first,
        _joined([queue.busy_fs for queue in queues]),
        _joined([queue.latency_fs for queue in queues]),
        _offsets([len(resources) for resources in held]),
        np.array([r for resources in held for r in resources], np.int64),
        *_tokens(program),
        _offsets(capacity),
    )
    starts = tuple(start[first[q] : first[q + 1]] for q in range(len(queues)))
    finishes = tuple(finish[first[q] : first[q + 1]] for q in range(len(queues)))
    makespan = int(finish.max(initial=0))
    uses = tuple(
        ResourceUse(resource.name, busy, last - busy, makespan - last)
        for resource, last, total in zip(program.resources, released.tolist(), served.tolist(), strict=True)
        for busy in (total // resource.capacity,)
    )
    return Timeline(program, starts, finishes, makespan, uses, _stalls(program, stalls), _stuck(queues, starts))


def _offsets(sizes: Sequence[int]) -> Ints:
    return np.cumsum([0, *sizes], dtype=np.int64)


def _joined(parts: Sequence[Ints]) -> Ints:
    return np.concatenate([np.zeros(0, np.int64), *parts], dtype=np.int64)


def _tokens(program: Program) -> tuple[Ints, ...]:
    """Waits by queue, givers by channel, credits, when tokens come, all counts (an array used twice is there once)."""
    index = {channel.name: i for i, channel in enumerate(program.channels)}
    parts: dict[int, Ints] = {}
    base: dict[int, int] = {}
    size = 0
    for queue in program.queues:
        for use in (*queue.waits, *queue.signals):
            if id(use.count) not in parts:
                parts[id(use.count)], base[id(use.count)] = use.count, size
                size += len(use.count)
    waits = [use for queue in program.queues for use in queue.waits]
    giver, give_base = np.full(len(index), -1, np.int64), np.zeros(len(index), np.int64)
    for q, queue in enumerate(program.queues):
        for use in queue.signals:
            giver[index[use.channel]], give_base[index[use.channel]] = q, base[id(use.count)]
    return (
        _offsets([len(queue.waits) for queue in program.queues]),
        np.array([index[use.channel] for use in waits], np.int64),
        np.array([base[id(use.count)] for use in waits], np.int64),
        giver,
        give_base,
        np.array([channel.credits for channel in program.channels], np.int64),
        np.array([program.instructions * channel.at_issue for channel in program.channels], np.int64),
        _joined(list(parts.values())),
    )


def _stalls(program: Program, waited: Ints) -> tuple[Stall, ...]:
    waits = [(queue.name, use.channel) for queue in program.queues for use in queue.waits] + [("", "")]
    names = [resource.name for resource in program.resources]
    return tuple(Stall(names[r], waits[w][0], waits[w][1], int(waited[r, w])) for r, w in np.argwhere(waited).tolist())


def _stuck(queues: tuple[Queue, ...], starts: tuple[Ints, ...]) -> tuple[str, ...]:
    stuck = []
    for queue, start in zip(queues, starts, strict=True):
        waiting = np.flatnonzero(start < 0)
        if waiting.size:
            head = int(waiting[0])
            needs = [use.channel for use in queue.waits if use.count[head]]
            stuck.append(f"{queue.name}[{head}] waits for {', '.join(needs) or 'a resource'}")
    return tuple(stuck)
