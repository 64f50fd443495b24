"""What a spec's DRAM becomes: preset, user and default values, energy in three parts, and its report rows."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import load_arch, load_trace, simulate
from accelsim.errors import UserError
from accelsim.hardware import tables
from accelsim.hardware.dram import Dram, build_dram
from accelsim.hardware.dram_timing import Stream, efficiency, preset
from accelsim.report import Report
from accelsim.report.invariants import BrokenInvariant, check
from accelsim.spec import models

KINDS = tuple(line["kind"] for line in tables.rows("dram"))
PRESETS = tuple(line["name"] for line in tables.rows("dram_timing"))
ROW_BITS = 16384  # of lpddr4_3200: 2 KiB


def dram(**values: object) -> Dram:
    return build_dram(models.Dram.model_validate({"kind": "lpddr4", **values}), "test")


def facts(memory: Dram) -> dict[str, tuple[float, str]]:
    return {fact.name: (fact.value.value, fact.value.confidence) for fact in memory.facts}


def small_report(*overrides: str) -> Report:
    return simulate(load_arch("apsq_edge_ws", overrides), load_trace("matmul:128x768x100"))


def test_a_preset_fills_what_is_left_out() -> None:
    memory = dram(timing="lpddr4_3200", channels=4)
    share = efficiency(preset("lpddr4_3200"), Stream(bytes_between_turnarounds=4096))
    # 4 x 16 bits x 3200 MT/s; 16 x 16 bits; (29 + 28 + 8) clocks of .625 ns and 20 ns in the controller.
    assert memory.fs_per_byte == 10**6 / (Fraction("25.6") * share)
    assert (memory.burst_bytes, memory.latency_fs, memory.row_bits) == (32, 60_625_000, ROW_BITS)
    # A turn costs 2 + 28 + 16 clocks per 2 x 128 bursts of 8; a refresh 12 + 29 + 448 + 29 of 6246.
    assert facts(memory) == {
        "peak bandwidth": (25.6, "third-party"),
        "burst": (32, "third-party"),
        "efficiency": (pytest.approx((1 - 518 / 6246) / (1 + 46 / 2048)), "assumed"),
        "refresh": (pytest.approx(518 / 6246), "third-party"),
        "row misses": (0, "third-party"),
        "turnarounds": (pytest.approx(46 / 2048), "assumed"),
        "latency": (60.625, "assumed"),
    }
    assert facts(dram(timing="lpddr4_3200"))["peak bandwidth"][0] == 6.4


def test_what_the_user_gives_wins() -> None:
    own = {"bandwidth_gb_per_s": 12.5, "burst_bytes": 128, "row_hit_efficiency": 0.5, "latency_ns": 7.0}
    for memory in (dram(timing="lpddr4_3200", **own), dram(**own)):
        values = {"peak bandwidth": 12.5, "burst": 128, "efficiency": 0.5, "latency": 7.0}
        assert facts(memory) == {name: (value, "user") for name, value in values.items()}
        assert (memory.fs_per_byte, memory.burst_bytes, memory.latency_fs) == (160_000, 128, 7_000_000)
    often = dram(timing="lpddr4_3200", bytes_between_turnarounds=1024)
    assert facts(often)["turnarounds"] == (pytest.approx(46 / 512), "third-party")


def test_without_a_preset_the_defaults_stay() -> None:
    memory = dram(bandwidth_gb_per_s=25.6)
    assert memory.fs_per_byte == 10**6 / (Fraction("25.6") * Fraction("0.9"))
    assert (memory.burst_bytes, memory.latency_fs, memory.row_bits) == (64, 100_000_000, 1)
    assert {name: confidence for name, (_, confidence) in facts(memory).items() if confidence != "user"} == {
        "burst": "assumed", "efficiency": "assumed", "latency": "assumed",
    }  # fmt: skip


def test_bad_combinations() -> None:
    with pytest.raises(UserError, match=r"dram.burst_bytes: 16 bytes, but a burst of lpddr4_3200 has 32\n.*32 or more"):
        dram(timing="lpddr4_3200", burst_bytes=16)
    with pytest.raises(ValueError, match="a bandwidth or a timing preset"):
        dram()


@pytest.mark.parametrize("kind", KINDS)
def test_the_three_parts_sum_to_the_table(kind: str) -> None:
    memory = dram(kind=kind, bandwidth_gb_per_s=1.0)
    total = float(tables.row("dram", "kind", kind)["energy_pj_per_bit"])
    parts = {name: action.energy_pj.value for name, action in memory.actions.items()}
    assert set(parts) == {"activate", "access", "io"}
    assert all(part > 0 for part in parts.values())
    assert math.isclose(math.fsum(parts.values()), total, rel_tol=1e-14)
    assert {action.unit for action in memory.actions.values()} == {"bit"}
    assert math.isclose(memory.transfer_pj(12_345), 12_345 * total, rel_tol=1e-14)
    given = dram(kind=kind, bandwidth_gb_per_s=1.0, energy_pj_per_bit=2 * total)
    for name, action in given.actions.items():
        assert math.isclose(action.energy_pj.value, 2 * parts[name], rel_tol=1e-12)


@settings(max_examples=100)
@given(name=st.sampled_from(PRESETS), rows=st.integers(0, 10**6), rest=st.integers(1, 8191))
def test_whole_rows_cost_the_tables_energy(name: str, rows: int, rest: int) -> None:
    memory = dram(kind=preset(name).kind, timing=name)
    whole = rows * memory.row_bits
    assert math.isclose(memory.transfer_pj(whole), whole * memory.pj_per_bit.value, rel_tol=1e-12)
    # A part of a row costs its activation in full.
    more = memory.transfer_pj(whole + rest) - memory.transfer_pj(whole)
    activation = memory.actions["activate"].energy_pj.value
    per_bit = memory.pj_per_bit.value - activation / memory.row_bits
    assert more == pytest.approx(activation + rest * per_bit, rel=1e-6)


def test_report_rows_without_a_preset_sum_to_energy_per_bit() -> None:
    report = small_report()
    rows = [row for row in report.rows if row.block == "dram" and row.action != "leakage"]
    bits = sum(row.bits_moved for row in rows)
    assert math.isclose(math.fsum(row.energy_pj for row in rows), 8.0 * bits, rel_tol=1e-12)
    assert bits == sum(row.count for row in rows if row.action == "io")
    assert bits == sum(row.count for row in rows if row.action == "activate")


def test_report_rows_with_a_preset_count_activations() -> None:
    report = small_report("arch.dram.timing=lpddr4_3200", "arch.dram.bandwidth_gb_per_s=null", "arch.dram.channels=4")
    rows = {(row.operand, row.action): row for row in report.rows if row.block == "dram"}
    moved = {operand: row.bits_moved for (operand, action), row in rows.items() if action in ("read", "write")}
    # INT8, a row holds 2048 values: 128 x 768, 768 x 100 and 128 x 100 of them.
    assert {key[0]: row.count for key, row in rows.items() if key[1] == "activate"} == {
        "ifmap": 48, "weight": 38, "ofmap": 7,
    }  # fmt: skip
    for operand, bits in moved.items():
        energy = math.fsum(rows[operand, action].energy_pj for action in rows_of(rows, operand))
        full = math.ceil(bits / ROW_BITS) * ROW_BITS * 0.069 + bits * (8 - 0.069)
        assert energy == pytest.approx(full)
        assert rows[operand, "io"].part == "link"
        assert rows[operand, "io"].energy_pj == pytest.approx(3.0 * bits)
        assert rows[operand, "activate"].part == "dram"


def rows_of(rows: dict[tuple[str, str], object], operand: str) -> list[str]:
    return [action for name, action in rows if name == operand]


def test_link_is_not_on_chip() -> None:
    report = small_report()
    on_chip = math.fsum(row.energy_pj for row in report.rows if row.block != "dram")
    assert report.totals.energy_on_chip_pj == pytest.approx(on_chip)


def test_bits_that_do_not_cross_the_link_are_seen() -> None:
    report = small_report()
    rows = tuple(dataclasses.replace(row, count=row.count - 8) if row.action == "io" else row for row in report.rows)
    with pytest.raises(BrokenInvariant, match="8 bits of ifmap more move than cross the link"):
        check(dataclasses.replace(report, rows=rows))


def test_a_slower_memory_takes_longer() -> None:
    """LPDDR3 with half the bandwidth: the same counts, more cycles."""
    fast, slow = (small_report(*overrides) for overrides in (
        ("arch.dram.kind=ddr4", "arch.dram.timing=ddr4_3200", "arch.dram.bandwidth_gb_per_s=null"),
        ("arch.dram.kind=lpddr3", "arch.dram.timing=lpddr3_1600", "arch.dram.bandwidth_gb_per_s=null"),
    ))  # fmt: skip
    assert slow.totals.cycles > 1.5 * fast.totals.cycles
    assert slow.totals.macs == fast.totals.macs
