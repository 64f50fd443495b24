"""A DRAM's bandwidth, burst, efficiency and latency: the spec's own, else its timing preset's, else defaults."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from accelsim.errors import user_error
from accelsim.hardware import dram_timing
from accelsim.hardware.block import Cost, or_user, weakest
from accelsim.hardware.dram_timing import DramTiming, Stream
from accelsim.spec.dram import Dram as DramSpec

DEFAULT_BURST_BYTES = Cost(64, "default", "assumed")
DEFAULT_EFFICIENCY = Cost(0.9, "default", "assumed")
DEFAULT_LATENCY_NS = Cost(100, "default", "assumed")
BYTES_BETWEEN_TURNAROUNDS = Cost(4096, "chosen: batches of 64 writes of 64 bytes", "assumed")
CONTROLLER_NS = Cost(20, "controller and PHY: gem5 MemCtrl's default, 10 ns on either side", "assumed")


@dataclass(frozen=True)
class Fact:
    """A property of the interface, with its origin."""

    name: str
    value: Cost
    unit: str


@dataclass(frozen=True)
class Interface:
    """What the pins do. `row_bytes` is None where no timing table says how long a row is."""

    peak_bytes_per_ns: Fraction
    efficiency: Fraction
    burst_bytes: int
    latency_ns: float
    row_bytes: int | None
    facts: tuple[Fact, ...]


def build_interface(spec: DramSpec, where: str) -> Interface:
    """The interface of a spec's memory.

    UserError, with `where` in front, for a burst shorter than the preset's; ValueError for a spec with
    neither a bandwidth nor a preset.
    """
    if spec.timing is None:
        return _plain(spec)
    return _from_table(spec, dram_timing.preset(spec.timing), where)


def _plain(spec: DramSpec) -> Interface:
    if spec.bandwidth_gb_per_s is None:
        raise ValueError("a dram needs a bandwidth or a timing preset")
    peak = Cost(spec.bandwidth_gb_per_s, "spec", "user")
    burst = or_user(spec.burst_bytes, DEFAULT_BURST_BYTES)
    efficiency = or_user(spec.row_hit_efficiency, DEFAULT_EFFICIENCY)
    latency = or_user(spec.latency_ns, DEFAULT_LATENCY_NS)
    facts = _facts(peak, burst, efficiency, (), latency)
    return Interface(_exact(peak.value), _exact(efficiency.value), int(burst.value), latency.value, None, facts)


def _from_table(spec: DramSpec, timing: DramTiming, where: str) -> Interface:
    if spec.burst_bytes is not None and spec.burst_bytes < timing.burst_bytes:
        found = f"{spec.burst_bytes} bytes, but a burst of {timing.name} has {timing.burst_bytes}"
        raise user_error(where, "dram.burst_bytes", found, f"write {timing.burst_bytes} or more, or leave it out")
    between = or_user(spec.bytes_between_turnarounds, BYTES_BETWEEN_TURNAROUNDS)
    stream = Stream(bytes_between_turnarounds=int(between.value))
    channels = spec.channels or 1
    exact_peak, share = dram_timing.peak_gb_per_s(timing, channels), dram_timing.efficiency(timing, stream)
    pins = f"{channels} x {timing.channel_bits} bits x {timing.rate_mt_per_s} MT/s of {timing.name}"
    peak = or_user(spec.bandwidth_gb_per_s, Cost(float(exact_peak), pins, timing.confidence))
    burst = or_user(spec.burst_bytes, Cost(timing.burst_bytes, timing.source, timing.confidence))
    formula = "(1 - refresh) / (1 + row misses + turnarounds)"
    derived = Cost(float(share), formula, weakest([timing.confidence, between.confidence]))
    efficiency = or_user(spec.row_hit_efficiency, derived)
    losses = () if spec.row_hit_efficiency is not None else _losses(timing, stream, between)
    access = f"tRCD + RL + burst of {timing.name}; {CONTROLLER_NS.value:g} ns for {CONTROLLER_NS.source}"
    from_table = Cost(float(dram_timing.latency_ns(timing)) + CONTROLLER_NS.value, access, CONTROLLER_NS.confidence)
    latency = or_user(spec.latency_ns, from_table)
    return Interface(
        peak_bytes_per_ns=exact_peak if spec.bandwidth_gb_per_s is None else _exact(peak.value),
        efficiency=share if spec.row_hit_efficiency is None else _exact(efficiency.value),
        burst_bytes=int(burst.value),
        latency_ns=latency.value,
        row_bytes=timing.page_bytes,
        facts=_facts(peak, burst, efficiency, losses, latency),
    )


def _losses(timing: DramTiming, stream: Stream, between: Cost) -> tuple[Fact, ...]:
    """What a derived efficiency is made of."""
    refresh = f"(tRTP + tRP + tRFC + tRCD) / tREFI: {timing.source}"
    rows = f"what other banks do not hide of opening rows of {timing.page_bytes} bytes: {timing.source}"
    turns = f"RL, tWTR and 2 clocks for each turn and back, one every {between.value:g} bytes ({between.source})"
    turns_confidence = weakest([timing.confidence, between.confidence])
    return (
        Fact("refresh", Cost(float(dram_timing.refresh_share(timing)), refresh, timing.confidence), "of the time"),
        Fact("row misses", Cost(float(dram_timing.row_overhead(timing, stream)), rows, timing.confidence),
             "per time of data"),
        Fact("turnarounds", Cost(float(dram_timing.turnaround_overhead(timing, stream)), turns, turns_confidence),
             "per time of data"),
    )  # fmt: skip


def _facts(peak: Cost, burst: Cost, efficiency: Cost, losses: tuple[Fact, ...], latency: Cost) -> tuple[Fact, ...]:
    return (
        Fact("peak bandwidth", peak, "GB/s"),
        Fact("burst", burst, "byte"),
        Fact("efficiency", efficiency, "of the peak bandwidth"),
        *losses,
        Fact("latency", latency, "ns"),
    )


def _exact(value: float) -> Fraction:
    """The decimal text of a value, which keeps 25.6 exact."""
    return Fraction(repr(value))
