"""Datapaths counted in cells beside synthesised ones; our own RTL is synthesised again where Yosys is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from accelsim.hardware import gates
from accelsim.hardware.gates import Minifloat
from accelsim.validate.measured import Measurement
from accelsim.validate.silicon import arithmetic, tables
from accelsim.validate.statistics import failures, summaries

WITHIN = 0.15


def synthesis() -> ModuleType:
    path = Path(__file__).parent / "rtl" / "synthesise.py"
    spec = importlib.util.spec_from_file_location("synthesise", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SYNTHESIS = synthesis()


@pytest.fixture(scope="module")
def measurement() -> Measurement:
    return arithmetic.measurement()


def test_no_error_has_grown(measurement: Measurement) -> None:
    assert list(failures(list(summaries(measurement.runs)), measurement.limits)) == []


@pytest.mark.parametrize(
    ("subset", "quantity"), [("BitFusion PE", "area"), ("BitFusion PE", "energy"), ("LLM-FP4, integers", "area")]
)
def test_every_width_that_was_not_fitted(measurement: Measurement, subset: str, quantity: str) -> None:
    runs = [run for run in measurement.runs if (run.subset, run.quantity) == (subset, quantity)]
    assert sum(run.fitted for run in runs) == 1
    assert all(abs(run.ratio - 1) < WITHIN for run in runs), [(run.case, run.ratio) for run in runs]


def test_one_constant_a_source_and_quantity(measurement: Measurement) -> None:
    assert len(measurement.constants) == 8
    assert sum(run.fitted for run in measurement.runs) == 8
    assert not any(run.fitted for run in measurement.runs if run.subset in ("RTL by Yosys", "LLM-FP4, minifloats"))


def test_counts_by_hand() -> None:
    assert gates.multiplier_um2(2) == pytest.approx(4 * 1.064 + 2 * 2.66)
    assert gates.mac_um2(4, 16) == pytest.approx(16 * 1.064 + 8 * 4.256 + 4 * 2.66 + 16 * 4.256 + 24 * 4.522)
    assert (Minifloat(2, 1).span, Minifloat(2, 1).bits, Minifloat(3, 2).significand_bits) == (2, 4, 3)
    assert gates.zero_filled_shifter_um2(4, 2) == pytest.approx(4 * 2 * 1.064)
    assert gates.serial_mac_full_adders(8, 4, 7) == 88


def test_the_recorded_synthesis_is_of_these_designs() -> None:
    recorded = [(row["module"], row["parameters"]) for row in tables.lines("rtl_yosys")]
    designs = [(name, " ".join(f"{key}={value}" for key, value in sets.items())) for name, sets in SYNTHESIS.DESIGNS]
    assert recorded == designs


@pytest.mark.skipif(SYNTHESIS.yosys() is None, reason="Yosys is not installed (Debian: apt-get install yosys)")
def test_synthesised_again() -> None:
    """Within 10 % of the recorded areas, whatever the version of Yosys."""
    for (module, sets), row in zip(SYNTHESIS.DESIGNS, tables.lines("rtl_yosys"), strict=True):
        assert SYNTHESIS.area_um2(module, sets) == pytest.approx(float(row["area_um2"]), rel=0.1)
