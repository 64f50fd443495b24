"""What the engine runs: instruction queues, shared resources, and token channels between queues.

An instruction sits in one in-order queue. It issues when it is its queue's head, every token it
waits for is there and every resource it needs has a free server (one that lasts no time needs none);
it then takes the tokens, holds the resources for `busy_fs`, and `latency_fs` after letting go of
them puts its own tokens on their channels (on channels `at_issue`, when it issues). A channel starts
with `credits` tokens: the free slots of a buffer, so double buffering is two credits. Time is int64
femtoseconds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Resource:
    """A server that queues share; `capacity` instructions may hold it at once."""

    name: str
    capacity: int = 1


@dataclass(frozen=True)
class Channel:
    """Tokens from one queue to another, `credits` of them there at the start.

    They come when the instruction that gives them is over, or `at_issue` when it starts.
    """

    name: str
    producer: str
    consumer: str
    credits: int = 0
    at_issue: bool = False


@dataclass(frozen=True)
class TokenUse:
    """For each instruction of a queue, how many tokens of one channel it takes or gives."""

    channel: str
    count: Ints


@dataclass(frozen=True)
class Queue:
    """An in-order stream of n instructions; every array has shape (n,)."""

    name: str
    resources: tuple[str, ...]
    busy_fs: Ints
    latency_fs: Ints
    bits: Ints
    waits: tuple[TokenUse, ...] = ()
    signals: tuple[TokenUse, ...] = ()

    def __len__(self) -> int:
        return int(self.busy_fs.size)


@dataclass(frozen=True)
class Program:
    """Queues in arbitration order: of two instructions ready at one instant the earlier queue wins."""

    queues: tuple[Queue, ...]
    resources: tuple[Resource, ...]
    channels: tuple[Channel, ...] = field(default=())

    def __post_init__(self) -> None:
        for kind, parts in (("queue", self.queues), ("resource", self.resources), ("channel", self.channels)):
            twice = [name for name, times in Counter(part.name for part in parts).items() if times > 1]
            if twice:
                raise ValueError(f"two {kind}s are called {', '.join(twice)}")
        if any(resource.capacity < 1 for resource in self.resources):
            raise ValueError("a resource needs at least one server")
        resources = {resource.name for resource in self.resources}
        channels = {channel.name: channel for channel in self.channels}
        for queue in self.queues:
            missing = [name for name in queue.resources if name not in resources]
            for ends, uses in (("consumer", queue.waits), ("producer", queue.signals)):
                for use in uses:
                    channel = channels.get(use.channel)
                    if channel is None or getattr(channel, ends) != queue.name:
                        missing.append(use.channel)
            named = [*queue.resources, *(f"wait {use.channel}" for use in queue.waits)]
            named += [f"signal {use.channel}" for use in queue.signals]
            missing += [f"{name} (twice)" for name in dict.fromkeys(named) if named.count(name) > 1]
            if missing:
                raise ValueError(f"queue {queue.name} uses what it cannot: {', '.join(missing)}")

    @property
    def instructions(self) -> int:
        return sum(len(queue) for queue in self.queues)
