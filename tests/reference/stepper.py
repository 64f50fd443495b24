"""A slow engine: it looks at every femtosecond in turn. Only for programs of small whole durations."""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.program.program import Program, Queue


@dataclass
class Steps:
    """When every instruction started and finished (-1 if never), and servers held at each instant."""

    start: list[list[int]]
    finish: list[list[int]]
    held: dict[str, list[int]]


@dataclass
class _Running:
    queue: Queue
    row: int
    index: int
    releases: int
    signals: int
    holds: bool = True


def step_through(program: Program) -> Steps:
    """Let go and signal what is due, issue what can go, repeat until nothing does; then the next instant."""
    start, finish = ([[-1] * len(queue) for queue in program.queues] for _ in range(2))
    steps = Steps(start, finish, {resource.name: [] for resource in program.resources})
    state = _State(program, steps)
    now = 0
    while True:
        while state.retire(now) or state.issue(now):
            pass
        if not state.running:
            return steps
        for resource in program.resources:
            steps.held[resource.name].append(resource.capacity - state.free[resource.name])
        now += 1


def _servers(queue: Queue, index: int) -> tuple[str, ...]:
    """What the instruction holds; one that is busy for no time needs no server."""
    return queue.resources if queue.busy_fs[index] else ()


class _State:
    def __init__(self, program: Program, steps: Steps) -> None:
        self.program, self.steps = program, steps
        self.tokens = {channel.name: channel.credits for channel in program.channels}
        self.at_issue = {channel.name for channel in program.channels if channel.at_issue}
        self.free = {resource.name: resource.capacity for resource in program.resources}
        self.head = [0] * len(program.queues)
        self.ready_at: list[int | None] = [None] * len(program.queues)
        self.signals_at = [0] * len(program.queues)
        self.running: list[_Running] = []

    def retire(self, now: int) -> bool:
        """Give back servers and tokens due now; whether anything was."""
        changed = False
        for job in list(self.running):
            if job.holds and job.releases <= now:
                job.holds, changed = False, True
                for name in _servers(job.queue, job.index):
                    self.free[name] += 1
            if job.signals <= now:
                self.running.remove(job)
                changed = True
                self.steps.finish[job.row][job.index] = now
                self.give(job.queue, job.index, at_issue=False)
        return changed

    def issue(self, now: int) -> bool:
        """Issue until no head can go; whether any did."""
        changed = False
        while True:
            candidates = []
            for row, queue in enumerate(self.program.queues):
                if self.head[row] == len(queue):
                    continue
                if all(self.tokens[use.channel] >= use.count[self.head[row]] for use in queue.waits):
                    if self.ready_at[row] is None:
                        self.ready_at[row] = now
                    if all(self.free[name] > 0 for name in _servers(queue, self.head[row])):
                        candidates.append((self.ready_at[row], row))
            if not candidates:
                return changed
            self.start(min(candidates)[1], now)
            changed = True

    def start(self, row: int, now: int) -> None:
        queue, index = self.program.queues[row], self.head[row]
        for use in queue.waits:
            self.tokens[use.channel] -= int(use.count[index])
        for name in _servers(queue, index):
            self.free[name] -= 1
        busy_until = now + int(queue.busy_fs[index])
        # Tokens leave a queue in order: a short transfer does not overtake a long one before it.
        self.signals_at[row] = max(self.signals_at[row], busy_until + int(queue.latency_fs[index]))
        self.running.append(_Running(queue, row, index, busy_until, self.signals_at[row]))
        self.steps.start[row][index] = now
        self.give(queue, index, at_issue=True)
        self.head[row] += 1
        self.ready_at[row] = None

    def give(self, queue: Queue, index: int, at_issue: bool) -> None:
        for use in queue.signals:
            if (use.channel in self.at_issue) == at_issue:
                self.tokens[use.channel] += int(use.count[index])
