"""The closed form of DRAM efficiency against a channel simulated command by command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from accelsim.hardware import tables
from accelsim.hardware.dram_timing import Stream, efficiency, preset
from tests.reference.dram_commands import data_share

PRESETS = tuple(line["name"] for line in tables.rows("dram_timing"))
INTERVALS = 6
TOLERANCE = 0.01


@pytest.mark.parametrize("between", [None, 4096, 1024])
@pytest.mark.parametrize("name", PRESETS)
def test_stream(name: str, between: int | None, record_property: Callable[[str, object], None]) -> None:
    """Reads in address order, or reads and writes in batches, from banks of their own."""
    timing = preset(name)
    simulated = data_share(timing, between, INTERVALS)
    derived = float(efficiency(timing, Stream(bytes_between_turnarounds=between)))
    record_property("deviation", derived / simulated - 1)
    assert derived == pytest.approx(simulated, rel=TOLERANCE)


@pytest.mark.parametrize("name", ["lpddr3_1600", "ddr4_3200", "lpddr5_6400", "hbm3_6400"])
@pytest.mark.parametrize("banks", [1, 2])
def test_few_banks(name: str, banks: int) -> None:
    """Where the other banks cannot hide the opening of a row, it costs what the closed form says, within 2 %."""
    groups = banks if preset(name).bank_groups > 1 else 1
    timing = replace(preset(name), banks=banks, bank_groups=groups)
    derived = float(efficiency(timing, Stream(bytes_between_turnarounds=None)))
    assert derived == pytest.approx(data_share(timing, None, INTERVALS), rel=2 * TOLERANCE)


@pytest.mark.parametrize("name", PRESETS)
def test_streams_that_share_banks_are_slower(name: str) -> None:
    """What the closed form leaves out: reads and writes that walk through the same banks side by side."""
    timing = preset(name)
    derived = float(efficiency(timing, Stream(bytes_between_turnarounds=4096)))
    shared = data_share(timing, 4096, INTERVALS, shared_banks=True)
    assert 0.86 * derived < shared < 1.01 * derived


def test_no_refresh() -> None:
    assert data_share(preset("lpddr4_3200"), None, 2, refresh=False) == pytest.approx(1, rel=1e-3)
