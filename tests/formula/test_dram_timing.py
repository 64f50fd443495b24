"""The closed form of DRAM efficiency: cases counted by hand, limits, monotony, and the table's presets."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.hardware import tables
from accelsim.hardware.dram_timing import (
    DramTiming,
    Stream,
    bursts_per_row,
    efficiency,
    latency_ns,
    peak_gb_per_s,
    preset,
    refresh_share,
    row_ck,
    turnaround_ck,
)
from accelsim.spec.dram import DramPreset

PRESETS = tuple(line["name"] for line in tables.rows("dram_timing"))
READS = Stream(bytes_between_turnarounds=None)
# 8-byte bursts of 4 clocks, 8 to a row; 4 banks without groups; 2 ns clock.
PLAIN = DramTiming(
    name="plain", kind="none", rate_mt_per_s=1000, beats_per_clock=2, channel_bits=8, burst_length=8, page_bytes=64,
    banks=4, bank_groups=1, rcd_ck=10, rp_ck=12, ras_ck=30, rc_ck=42, rl_ck=9, wl_ck=5, wr_ck=7, wtr_s_ck=6,
    wtr_l_ck=6, rtp_ck=4, ccd_s_ck=4, ccd_l_ck=4, rrd_s_ck=5, rrd_l_ck=5, faw_ck=24, rfc_ck=74, refi_ck=1000,
    source="by hand", confidence="assumed",
)  # fmt: skip
ONE_BANK = replace(PLAIN, banks=1)
GROUPED = replace(PLAIN, burst_length=4, page_bytes=32, banks=8, bank_groups=2, ccd_s_ck=2, wtr_l_ck=9, rrd_l_ck=8)


def test_units_by_hand() -> None:
    assert (PLAIN.clock_ns, PLAIN.burst_ck, PLAIN.burst_bytes) == (2, 4, 8)
    assert peak_gb_per_s(PLAIN, 3) == 3  # 3 x 1 byte x 1000 MT/s
    assert latency_ns(PLAIN) == (10 + 9 + 4) * 2
    assert (GROUPED.burst_ck, GROUPED.burst_bytes) == (2, 4)


def test_rows_by_hand() -> None:
    # 8 bursts x 4 clocks hide a bank's 10 + 7 x 4 + 4 + 12 = 54 clocks, a quarter of which is 13.5.
    assert (bursts_per_row(PLAIN, READS), row_ck(PLAIN, READS, write=False)) == (8, 32)
    # One bank: tRCD, seven more bursts, tRTP or WL + burst + tWR, tRP.
    assert row_ck(ONE_BANK, READS, write=False) == 54
    assert row_ck(ONE_BANK, READS, write=True) == 10 + 28 + 5 + 4 + 7 + 12
    # Two bursts a row: tRC over the banks, then tFAW / 4, then tRRD, then the bus.
    short = Stream(bytes_between_turnarounds=None, run_bytes=16)
    assert bursts_per_row(PLAIN, short) == 2
    assert row_ck(replace(PLAIN, rc_ck=44), short, write=False) == 11
    assert row_ck(replace(PLAIN, banks=8, faw_ck=36), short, write=False) == 9
    assert row_ck(replace(PLAIN, banks=8, faw_ck=0, rrd_l_ck=10), short, write=False) == 10
    assert row_ck(replace(PLAIN, banks=8), short, write=False) == 8


def test_bank_groups_by_hand() -> None:
    apart = Stream(bytes_between_turnarounds=None, interleave_groups=False)
    # 8 bursts of 2 clocks: tCCD_S between groups keeps the bus full, tCCD_L within one halves it.
    assert (row_ck(GROUPED, READS, write=False), row_ck(GROUPED, apart, write=False)) == (16, 32)
    # Two groups' rows share a run of 32 bytes: 4 bursts each; 10 + 3 x 2 x 2 + 4 + 12 = 38 < tRC = 42, over 8 banks.
    run = Stream(bytes_between_turnarounds=None, run_bytes=32)
    assert (bursts_per_row(GROUPED, run), row_ck(GROUPED, run, write=False)) == (4, 8)
    # The write before the last was to the group read first: 9 - 2 clocks are left of tWTR_L, more than tWTR_S.
    assert (turnaround_ck(GROUPED, READS), turnaround_ck(GROUPED, apart)) == (2 + 9 + 7, 2 + 9 + 9)


def test_efficiency_by_hand() -> None:
    assert refresh_share(PLAIN) == Fraction(4 + 12 + 74 + 10, 1000)
    assert efficiency(PLAIN, READS) == Fraction(9, 10)
    assert efficiency(ONE_BANK, READS) == Fraction(9, 10) * Fraction(32, 54)
    # A turn and back, 2 + 9 + 6 = 17 clocks, for 2 x 64 bytes in 16 bursts of 4 clocks.
    turning = Stream(bytes_between_turnarounds=64)
    assert turnaround_ck(PLAIN, turning) == 17
    assert efficiency(PLAIN, turning) == Fraction(9, 10) / (1 + Fraction(17, 64))
    rows = Fraction(54 + 66, 2) / 32
    assert efficiency(ONE_BANK, turning) == Fraction(9, 10) / (rows + Fraction(17, 64))


def test_limits() -> None:
    idle = replace(PLAIN, rfc_ck=0)
    assert refresh_share(idle) == 0
    assert efficiency(idle, READS) == 1
    # An endless row hides everything, even in one bank; so does a bus that never turns in effect.
    endless = replace(ONE_BANK, rfc_ck=0, page_bytes=8 * 10**9)
    assert 1 - efficiency(endless, READS) < Fraction(1, 10**7)
    assert 1 - efficiency(idle, Stream(bytes_between_turnarounds=10**12)) < Fraction(1, 10**9)
    # One burst a row in one bank: a burst every tRC.
    random = Stream(bytes_between_turnarounds=None, run_bytes=8)
    assert efficiency(replace(ONE_BANK, rfc_ck=0), random) == Fraction(4, 42)
    with pytest.raises(ValueError, match="plain: a refresh takes longer"):
        refresh_share(replace(PLAIN, refi_ck=100))


SLOWER = [name for name in vars(PLAIN) if name.endswith("_ck") and name not in ("refi_ck", "ras_ck")]


@settings(max_examples=300)
@given(
    timing=st.sampled_from([*map(preset, PRESETS), PLAIN, ONE_BANK, GROUPED]),
    name=st.sampled_from([*SLOWER, "banks", "refi_ck"]),
    more=st.integers(1, 40),
    between=st.sampled_from([None, 256, 4096]),
    run=st.sampled_from([None, 8, 100, 1000]),
    interleave=st.booleans(),
)
def test_slower_timings_never_help(
    timing: DramTiming, name: str, more: int, between: int | None, run: int | None, interleave: bool
) -> None:
    stream = Stream(bytes_between_turnarounds=between, run_bytes=run, interleave_groups=interleave)
    if name == "banks":
        worse, better = timing, replace(timing, banks=2 * timing.banks)
    elif name == "refi_ck":
        worse, better = timing, replace(timing, refi_ck=timing.refi_ck + more)
    else:
        worse, better = replace(timing, **{name: getattr(timing, name) + more}), timing
    assert 0 < efficiency(worse, stream) <= efficiency(better, stream) <= 1


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_sound(name: str) -> None:
    timing = preset(name)
    assert name.startswith(f"{timing.kind}_{timing.rate_mt_per_s}")
    assert timing.kind in {line["kind"] for line in tables.rows("dram")}
    assert timing.burst_length % timing.beats_per_clock == 0
    assert timing.page_bytes % timing.burst_bytes == 0
    assert timing.banks % timing.bank_groups == 0
    assert timing.rc_ck == timing.ras_ck + timing.rp_ck
    for short, long in (("ccd_s", "ccd_l"), ("rrd_s", "rrd_l"), ("wtr_s", "wtr_l")):
        assert getattr(timing, f"{short}_ck") <= getattr(timing, f"{long}_ck")
    assert timing.source.startswith("JEDEC JESD")
    # Every bus can be full while rows stay open, and only refresh is lost then.
    assert efficiency(timing, READS) == 1 - refresh_share(timing)
    # Core timings in ns hardly move between standards.
    for field, low, high in (("rcd_ck", 12, 19), ("rp_ck", 12, 19), ("ras_ck", 28, 45), ("rfc_ck", 200, 360)):
        assert low <= getattr(timing, field) * timing.clock_ns <= high
    assert 3850 <= timing.refi_ck * timing.clock_ns <= 7900


def test_the_spec_knows_every_preset() -> None:
    assert sorted(get_args(DramPreset)) == sorted(PRESETS)
    with pytest.raises(ValueError, match="ddr9"):
        preset("ddr9")
