"""One DRAM channel, command by command: open page, FR-FCFS, all-bank refresh, batched reads and writes.

Shares nothing with `accelsim.hardware.dram_timing` but the timing table. Every command is issued at the
first clock that each rule of the standard allows, one command a clock. The controller sees a window of
coming requests; column commands come from the batch in hand only, rows are opened for the whole window,
and no row is closed that the batch, or an older request, still wants.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, islice, takewhile

from accelsim.hardware.dram_timing import DramTiming

LONG_AGO = -(10**9)
WINDOW = 64
WRITE_ROWS = 10**6
"""Row numbers of the written region start here, so that it shares no row with the region that is read."""


@dataclass(frozen=True)
class Request:
    write: bool
    bank: int
    group: int
    row: int


@dataclass
class Bank:
    row: int | None = None
    may_activate: int = LONG_AGO
    may_precharge: int = LONG_AGO
    may_access: int = LONG_AGO


@dataclass
class Channel:
    """The state that the rules of the standard look at; times are those of the last command of a kind."""

    timing: DramTiming
    banks: list[Bank] = field(init=False)
    activated: deque[int] = field(default_factory=lambda: deque([LONG_AGO] * 4, maxlen=4))
    activated_in: dict[int, int] = field(default_factory=dict)
    read: int = LONG_AGO
    written: int = LONG_AGO
    read_in: dict[int, int] = field(default_factory=dict)
    written_in: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.banks = [Bank() for _ in range(self.timing.banks)]

    def when_activate(self, bank: int, group: int) -> int:
        t = self.timing
        return max(
            self.banks[bank].may_activate,
            self.activated[-1] + t.rrd_s_ck,
            self.activated_in.get(group, LONG_AGO) + t.rrd_l_ck,
            self.activated[0] + t.faw_ck,
        )

    def activate(self, bank: int, group: int, row: int, now: int) -> None:
        t, state = self.timing, self.banks[bank]
        assert state.row is None
        state.row, state.may_activate = row, now + t.rc_ck
        state.may_precharge, state.may_access = now + t.ras_ck, now + t.rcd_ck
        self.activated.append(now)
        self.activated_in[group] = now

    def precharge(self, bank: int, now: int) -> None:
        state = self.banks[bank]
        state.row, state.may_activate = None, max(state.may_activate, now + self.timing.rp_ck)

    def when_access(self, request: Request) -> int:
        t, burst, group = self.timing, self.timing.burst_ck, request.group
        if request.write:
            rules = (
                self.written + max(burst, t.ccd_s_ck),
                self.written_in.get(group, LONG_AGO) + max(burst, t.ccd_l_ck),
                self.read + t.rl_ck + burst + 2 - t.wl_ck,
            )
        else:
            rules = (
                self.read + max(burst, t.ccd_s_ck),
                self.read_in.get(group, LONG_AGO) + max(burst, t.ccd_l_ck),
                self.written + t.wl_ck + burst + t.wtr_s_ck,
                self.written_in.get(group, LONG_AGO) + t.wl_ck + burst + t.wtr_l_ck,
            )
        return max(self.banks[request.bank].may_access, *rules)

    def access(self, request: Request, now: int) -> None:
        t, state = self.timing, self.banks[request.bank]
        if request.write:
            self.written = self.written_in[request.group] = now
            close = now + t.wl_ck + t.burst_ck + t.wr_ck
        else:
            self.read = self.read_in[request.group] = now
            close = now + t.rtp_ck
        state.may_precharge = max(state.may_precharge, close)

    def refresh(self, now: int) -> int:
        """Close every row, refresh, and say when the channel is free again."""
        t = self.timing
        closing = max([now, *(bank.may_precharge for bank in self.banks if bank.row is not None)])
        start = max([closing + t.rp_ck, *(bank.may_activate for bank in self.banks)])
        for bank in self.banks:
            bank.row, bank.may_activate = None, start + t.rfc_ck
        return start + t.rfc_ck


def stream(timing: DramTiming, write: bool, first_set: int, interleave: bool) -> Iterator[Request]:
    """Requests in address order: row, bank set, column, bank group from high to low address bits."""
    groups = timing.bank_groups if interleave else 1
    sets, bursts = timing.banks // groups, timing.page_bytes // timing.burst_bytes
    for burst in count():
        rest, turn = divmod(burst, groups)
        number = rest // bursts + first_set
        row, chosen = divmod(number, sets)
        group = turn if interleave else chosen // (timing.banks // timing.bank_groups)
        yield Request(write, chosen * groups + turn, group, row + (WRITE_ROWS if write else 0))


def batches(timing: DramTiming, batch_bytes: int | None, interleave: bool, shared_banks: bool) -> Iterator[Request]:
    """Reads only, or `batch_bytes` of reads and as many of writes in turns, both in address order.

    The written stream starts half the banks away from the one that is read, or in the same bank.
    """
    groups = timing.bank_groups if interleave else 1
    reads = stream(timing, False, 0, interleave)
    if batch_bytes is None:
        yield from reads
        return
    writes = stream(timing, True, 0 if shared_banks else timing.banks // groups // 2, interleave)
    while True:
        for source in (reads, writes):
            yield from islice(source, batch_bytes // timing.burst_bytes)


def data_share(
    timing: DramTiming,
    batch_bytes: int | None,
    intervals: int,
    *,
    interleave: bool = True,
    shared_banks: bool = False,
    refresh: bool = True,
) -> float:
    """Clocks with data over all clocks, in so many refresh intervals after the first."""
    channel, source = Channel(timing), batches(timing, batch_bytes, interleave, shared_banks)
    window = deque(islice(source, WINDOW))
    now, done, started_at, started_done = 0, 0, 0, 0
    next_refresh, left = timing.refi_ck, intervals + 1
    while left:
        kind, when, request = _next_command(channel, window, now)
        if max(now, when) >= next_refresh:
            if left == intervals + 1:
                started_at, started_done = next_refresh, done
            if refresh:
                now = channel.refresh(max(now, next_refresh))
            next_refresh, left = next_refresh + timing.refi_ck, left - 1
            continue
        now = max(now, when)
        if kind == "access":
            channel.access(request, now)
            window.remove(request)
            window.append(next(source))
            done += 1
        elif kind == "activate":
            channel.activate(request.bank, request.group, request.row, now)
        else:
            channel.precharge(request.bank, now)
        now += 1
    last = next_refresh - timing.refi_ck
    return (done - started_done) * timing.burst_ck / (last - started_at)


def _next_command(channel: Channel, window: deque[Request], now: int) -> tuple[str, int, Request]:
    """The command that can go first: row hits before row commands, older before younger."""
    best: tuple[int, int, int, str, Request] | None = None
    batch = list(takewhile(lambda request: request.write == window[0].write, window))
    wanted = {(request.bank, request.row) for request in batch}
    seen: set[tuple[int, bool]] = set()
    for age, request in enumerate(window):
        in_batch = age < len(batch)
        wanted.add((request.bank, request.row))
        state = channel.banks[request.bank]
        hit = state.row == request.row
        if (request.bank, hit) in seen or (hit and not in_batch):
            continue
        seen.add((request.bank, hit))
        if hit:
            choice = (max(now, channel.when_access(request)), 0, age, "access", request)
        elif state.row is None:
            choice = (max(now, channel.when_activate(request.bank, request.group)), 1, age, "activate", request)
        elif (request.bank, state.row) in wanted:
            continue
        else:
            choice = (max(now, state.may_precharge), 1, age, "precharge", request)
        if best is None or choice[:3] < best[:3]:
            best = choice
    assert best is not None
    return best[3], best[0], best[4]
