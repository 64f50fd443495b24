"""The share of a DRAM's peak bandwidth that a stream gets, from the standard's timing table.

A channel is streamed through in address order, row after row, the next row in another bank. With bank
groups, successive bursts go to successive groups (row, bank, column, group from high to low address
bits), so G rows are open at once; G = 1 without groups or where `interleave_groups` is off. With N
bursts read per opened row, B banks, c = max(burst, tCCD) clocks between column commands (tCCD_S where
groups alternate, else tCCD_L), a row costs

    row_ck = max(N c,                         the data bus
                 bank_ck / B,                 each bank opens every B-th row
                 tRRD, tFAW / 4)              spacing of activations
    bank_ck = max(tRC, tRCD + (N - 1) G c + close + tRP),
    close   = tRTP after reads, WL + burst + tWR after writes.

What of tRP + tRCD the other banks do not hide is what the second line exceeds the first by. A pair of
turnarounds (read to write and back) leaves the bus empty for

    turnaround_ck = 2 + RL + max(tWTR_S, tWTR_L - (G - 1) c)

(read to write: RL + burst + 2 - WL between commands, two clocks between data; write to read: WL +
burst + tWTR between commands). A refresh of all banks takes tRTP + tRP + tRFC + tRCD out of every
tREFI: rows are closed before it and opened after it. Then

    efficiency = (1 - refresh) / (row_ck / (N burst) + turnaround_ck / (2 W burst)),

W bursts between two turnarounds. The turnaround gaps and the refresh penalty are the command
spacings of Ramulator 2 (python/ramulator/dram, tests/latency_throughput/utils/spec.py). Left out:
command bus conflicts, per-bank refresh (which hides what is lost here), bank conflicts between streams.
All results are exact fractions of the table's whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from fractions import Fraction
from functools import cache

from accelsim.hardware import tables
from accelsim.hardware.block import Confidence

BITS_PER_BYTE = 8
READ_TO_WRITE_GAP_CK = 2
"""Clocks without data between the last read and the first write burst."""


@dataclass(frozen=True, kw_only=True)
class DramTiming:
    """One speed grade. Times are clocks of the command clock and bear the standard's names without
    the t (`rcd_ck` is tRCD, `rl_ck` the read latency); `_s` is to another bank group, `_l` within one.
    A channel is what has its own row buffers: for HBM a pseudo channel. `page_bytes` is a row's size
    over the whole channel, `banks` counts all banks of it.
    """

    name: str
    kind: str
    rate_mt_per_s: int
    beats_per_clock: int
    channel_bits: int
    burst_length: int
    page_bytes: int
    banks: int
    bank_groups: int
    rcd_ck: int
    rp_ck: int
    ras_ck: int
    rc_ck: int
    rl_ck: int
    wl_ck: int
    wr_ck: int
    wtr_s_ck: int
    wtr_l_ck: int
    rtp_ck: int
    ccd_s_ck: int
    ccd_l_ck: int
    rrd_s_ck: int
    rrd_l_ck: int
    faw_ck: int
    rfc_ck: int
    refi_ck: int
    source: str
    confidence: Confidence

    @property
    def clock_ns(self) -> Fraction:
        """tCK."""
        return Fraction(1000 * self.beats_per_clock, self.rate_mt_per_s)

    @property
    def burst_ck(self) -> int:
        """Clocks that the data bus takes for a burst."""
        return -(-self.burst_length // self.beats_per_clock)

    @property
    def burst_bytes(self) -> int:
        """Bytes of a burst: the smallest transfer."""
        return self.burst_length * self.channel_bits // BITS_PER_BYTE


@dataclass(frozen=True, kw_only=True)
class Stream:
    """What the efficiency assumes of the requests and of the controller that orders them.

    `bytes_between_turnarounds`: reads (or writes) a channel serves before it turns its bus around;
    None, never. `run_bytes`: contiguous bytes before the stream jumps to other rows; None, endless.
    """

    bytes_between_turnarounds: int | None
    run_bytes: int | None = None
    interleave_groups: bool = True


@cache
def preset(name: str) -> DramTiming:
    """The row of `data/dram_timing.csv` called `name`; ValueError if there is none."""
    line = tables.row("dram_timing", "name", name)
    texts = {"name", "kind", "source", "confidence"}
    numbers = {field.name: int(line[field.name]) for field in fields(DramTiming) if field.name not in texts}
    return DramTiming(
        name=name, kind=line["kind"], source=line["source"], confidence=tables.confidence(line["confidence"]), **numbers
    )


def peak_gb_per_s(timing: DramTiming, channels: int) -> Fraction:
    """Bandwidth of all channels with every clock carrying data, 10^9 bytes per second."""
    return Fraction(channels * timing.channel_bits * timing.rate_mt_per_s, BITS_PER_BYTE * 1000)


def row_ck(timing: DramTiming, stream: Stream, *, write: bool) -> Fraction:
    """Clocks from one row of a stream of reads (or writes) to its next, on average."""
    groups, bursts, gap = _groups(timing, stream), bursts_per_row(timing, stream), _column_gap_ck(timing, stream)
    close = timing.wl_ck + timing.burst_ck + timing.wr_ck if write else timing.rtp_ck
    bank = max(timing.rc_ck, timing.rcd_ck + (bursts - 1) * groups * gap + close + timing.rp_ck)
    activation_gap = Fraction(timing.rrd_s_ck if groups > 1 else timing.rrd_l_ck)
    return max(Fraction(bursts * gap), Fraction(bank, timing.banks), activation_gap, Fraction(timing.faw_ck, 4))


def bursts_per_row(timing: DramTiming, stream: Stream) -> int:
    """Bursts that find a row open after the activation that opened it, that first one included."""
    page = timing.page_bytes // timing.burst_bytes
    if stream.run_bytes is None:
        return page
    return max(1, min(page, stream.run_bytes // (timing.burst_bytes * _groups(timing, stream))))


def turnaround_ck(timing: DramTiming, stream: Stream) -> int:
    """Clocks without data in one turn from reads to writes and one back."""
    earlier = (_groups(timing, stream) - 1) * _column_gap_ck(timing, stream)  # the same group's last write
    return READ_TO_WRITE_GAP_CK + timing.rl_ck + max(timing.wtr_s_ck, timing.wtr_l_ck - earlier)


def refresh_share(timing: DramTiming) -> Fraction:
    """Share of the time that goes to refreshing all banks at once. ValueError if nothing is left."""
    if timing.rfc_ck == 0:
        return Fraction(0)
    share = Fraction(timing.rtp_ck + timing.rp_ck + timing.rfc_ck + timing.rcd_ck, timing.refi_ck)
    if share >= 1:
        raise ValueError(f"{timing.name}: a refresh takes longer than the interval between two")
    return share


def row_overhead(timing: DramTiming, stream: Stream) -> Fraction:
    """Time for opening rows that the other banks do not hide, per time of data; 0 where all is hidden."""
    useful = bursts_per_row(timing, stream) * timing.burst_ck
    reads, writes = row_ck(timing, stream, write=False), row_ck(timing, stream, write=True)
    return (reads if stream.bytes_between_turnarounds is None else (reads + writes) / 2) / useful - 1


def turnaround_overhead(timing: DramTiming, stream: Stream) -> Fraction:
    """Time that the bus stands empty while it turns around, per time of data."""
    if stream.bytes_between_turnarounds is None:
        return Fraction(0)
    bursts = Fraction(2 * stream.bytes_between_turnarounds, timing.burst_bytes)
    return turnaround_ck(timing, stream) / (bursts * timing.burst_ck)


def efficiency(timing: DramTiming, stream: Stream) -> Fraction:
    """Share of the peak bandwidth that the stream gets, above 0 and at most 1 (module docstring)."""
    overheads = row_overhead(timing, stream) + turnaround_overhead(timing, stream)
    return (1 - refresh_share(timing)) / (1 + overheads)


def latency_ns(timing: DramTiming) -> Fraction:
    """From an activation of a closed row to the end of the first burst: tRCD + RL + burst."""
    return (timing.rcd_ck + timing.rl_ck + timing.burst_ck) * timing.clock_ns


def _groups(timing: DramTiming, stream: Stream) -> int:
    """Rows that a stream reads in turns."""
    return timing.bank_groups if stream.interleave_groups else 1


def _column_gap_ck(timing: DramTiming, stream: Stream) -> int:
    """Clocks between two column commands of a stream."""
    return max(timing.burst_ck, timing.ccd_s_ck if _groups(timing, stream) > 1 else timing.ccd_l_ck)
