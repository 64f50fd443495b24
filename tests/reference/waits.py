"""Who kept a resource waiting, worked out afterwards from when every instruction started and finished."""

from __future__ import annotations

from collections import defaultdict

from accelsim.engine.engine import Timeline
from accelsim.program.program import Queue


def waits_of(timeline: Timeline) -> dict[tuple[str, str, str], int]:
    """(resource, queue, channel) -> time, as `Timeline.stalls`; for resources of one server."""
    return _Waits(timeline).total()


class _Waits:
    def __init__(self, timeline: Timeline) -> None:
        self.queues = timeline.program.queues
        self.channels = {channel.name: channel for channel in timeline.program.channels}
        self.start = {q.name: [int(t) for t in s] for q, s in zip(self.queues, timeline.start_fs, strict=True)}
        self.finish = {q.name: [int(t) for t in f] for q, f in zip(self.queues, timeline.finish_fs, strict=True)}
        self.by_name = {queue.name: queue for queue in self.queues}
        self.resources = [resource.name for resource in timeline.program.resources if resource.capacity == 1]

    def total(self) -> dict[tuple[str, str, str], int]:
        found: dict[tuple[str, str, str], int] = defaultdict(int)
        for resource in self.resources:
            for queue in self.queues:
                if resource in queue.resources:
                    for n in range(len(queue)):
                        if queue.busy_fs[n] and self.start[queue.name][n] >= 0:
                            self._gap(resource, queue, n, found)
        return {key: fs for key, fs in found.items() if fs}

    def _gap(self, resource: str, queue: Queue, n: int, found: dict[tuple[str, str, str], int]) -> None:
        start = self.start[queue.name][n]
        free, _ = self._before(resource, start)
        ready, cause = self._ready(queue, n)
        waited = max(0, ready - free)
        found[resource, "", ""] += start - free - waited
        if cause is None:
            found[resource, "", ""] += waited
            return
        channel, giver = cause
        giver_queue = self.by_name[self.channels[channel].producer]
        lacked, lacked_for = self._lacked(giver_queue, giver)
        part = min(waited, lacked)
        found[resource, giver_queue.name, lacked_for] += part
        found[resource, queue.name, channel] += waited - part

    def _lacked(self, queue: Queue, n: int) -> tuple[int, str]:
        """How long an instruction waited for tokens alone, and of which channel."""
        ready, cause = self._ready(queue, n)
        if cause is None:
            return 0, ""
        giver = (self.channels[cause[0]].producer, cause[1])
        could = self.start[queue.name][n - 1] if n else 0
        for resource in queue.resources if queue.busy_fs[n] else ():
            free, last = self._before(resource, self.start[queue.name][n])
            could = max(could, self.start[giver[0]][giver[1]] if last == giver else free)
        return max(0, ready - could), cause[0]

    def _ready(self, queue: Queue, n: int) -> tuple[int, tuple[str, int] | None]:
        """When an instruction had all it needs but servers; the channel and the giver of its last token."""
        ready, cause = 0, None
        if n:
            _, cause = self._ready(queue, n - 1)
            ready = self.start[queue.name][n - 1]
        for use in queue.waits:
            need = sum(int(count) for count in use.count[: n + 1]) if use.count[n] else 0
            there = self.channels[use.channel].credits
            gives = next((g for q in self.queues for g in q.signals if g.channel == use.channel), None)
            producer = self.channels[use.channel].producer
            given = self.start if self.channels[use.channel].at_issue else self.finish
            for i, count in enumerate(() if gives is None else gives.count):
                if there >= need:
                    break
                there += int(count)
                if there >= need and given[producer][i] > ready:
                    ready, cause = given[producer][i], (use.channel, i)
        return ready, cause

    def _before(self, resource: str, start: int) -> tuple[int, tuple[str, int] | None]:
        """When the resource's last instruction before `start` let it go, and which that was."""
        free: tuple[int, tuple[str, int] | None] = (0, None)
        for queue in self.queues:
            if resource in queue.resources:
                for n, at in enumerate(self.start[queue.name]):
                    if queue.busy_fs[n] and 0 <= at < start and at + int(queue.busy_fs[n]) > free[0]:
                        free = at + int(queue.busy_fs[n]), (queue.name, n)
        return free
