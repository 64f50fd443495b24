"""VTA's measured layers beside ours: errors of today, the constants as fitted, and how tilings are read."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from accelsim.mapping.mapper import Mapped
from accelsim.mapping.mapping_file import MappingFile, check_mapping, load_mappings, save_mappings
from accelsim.mapping.nest import Loop
from accelsim.validate.explicit import cost_of
from accelsim.validate.measured import MeasuredRun, Measurement
from accelsim.validate.silicon import tables, vta
from accelsim.validate.silicon.vta_fit import OUTPUT_CYCLES, RUN_CYCLES, SLOW_OUTPUT_CYCLES, fitted
from accelsim.validate.statistics import Summary, failures, summaries


@pytest.fixture(scope="module")
def measurement() -> Measurement:
    return vta.measurement()


@pytest.fixture(scope="module")
def found(measurement: Measurement) -> dict[str, Summary]:
    return {line.subset: line for line in summaries(measurement.runs) if line.quantity == "cycles"}


def _given(measurement: Measurement) -> list[MeasuredRun]:
    """The tuner's tilings."""
    return [run for run in measurement.runs if run.quantity == "cycles"]


def test_no_error_has_grown(measurement: Measurement, found: dict[str, Summary]) -> None:
    assert list(failures(list(found.values()), measurement.limits)) == []
    assert {name: line.runs + line.fitted_runs for name, line in found.items()} == {
        vta.JULY: 10, vta.AUGUST: 11, vta.BATCHED: 26, vta.GROUPS: 9,
    }  # fmt: skip


def test_convs_of_both_configurations_are_within_15_percent(measurement: Measurement) -> None:
    """Together, rows that nothing was fitted on; a fifth of the roofline's error."""
    runs = [run for run in _given(measurement) if run.subset != vta.GROUPS and not run.fitted]
    ours, roofline = (
        100 * sum(abs(value / run.measured - 1) for run, value in pairs) / len(runs)
        for pairs in ([(run, run.ours) for run in runs], [(run, run.roofline or 0.0) for run in runs])
    )
    assert len(runs) == 37
    assert ours < 7.0
    assert ours < roofline / 4


def test_the_constants_are_those_fitted(measurement: Measurement) -> None:
    layers = [*vta.fitting_layers(vta.JULY), *vta.fitting_layers(vta.BATCHED)]
    run, output = fitted(layers, RUN_CYCLES, OUTPUT_CYCLES)
    slow = fitted(vta.fitting_layers(vta.AUGUST), [run], SLOW_OUTPUT_CYCLES)
    assert len(layers) == 8
    assert [constant.value for constant in measurement.constants] == [run * 10, output, slow[1]]
    assert slow[1] == vta.SLOW_OUTPUT_CYCLES
    assert sum(run.fitted for run in _given(measurement)) == 10


def test_the_tuner_s_tilings_are_close_to_our_best(measurement: Measurement) -> None:
    """No tuned tiling is much better than our best one is predicted to be; most are within a tenth of it."""
    best = {(run.subset, run.case): run for run in measurement.runs if run.quantity == vta.BEST}
    pairs = [(best[run.subset, run.case].ours, run) for run in _given(measurement)]
    assert len(pairs) == 56
    assert all(ours <= 1.02 * run.ours for ours, run in pairs)
    assert all(ours <= 1.08 * run.measured for ours, run in pairs)
    assert statistics.median(ours / run.ours for ours, run in pairs) > 0.9


def test_without_its_own_constant_august_is_far_off() -> None:
    """What the campaign's own constant is worth: the others' constants leave it too fast everywhere."""
    machine = vta.machine_of(vta.JULY)
    ratios = [
        cost_of(layer.problem, layer.mapping, machine).cycles / layer.measured_cycles
        for layer in (vta.layer_of(row, machine) for row in vta.rows_of(vta.AUGUST))
    ]
    assert max(ratios) < 0.9
    assert 100 * sum(1 - ratio for ratio in ratios) / len(ratios) == pytest.approx(34.0, abs=1.0)


def test_every_row_is_taken() -> None:
    rows = tables.lines("vta_pynq")
    assert len(rows) == 56
    assert sum(len(vta.rows_of(subset)) for subset in vta.SUBSETS) == 56
    for row in rows:
        dims = vta.dims_of(row)
        assert (dims.p, dims.q, dims.macs) == (int(row["OH"]), int(row["OW"]), int(row["macs"]))


def test_a_tiling_as_a_nest() -> None:
    """ResNet-18's 64 x 56 x 56 to 64: tiles of 8 rows, all columns, a block of channels, 2 of filters."""
    row = next(row for row in vta.rows_of(vta.JULY) if (row["C"], row["K"], row["stride"]) == ("64", "64", "1"))
    mapping = vta.layer_of(row, vta.machine_of(vta.JULY)).mapping
    loops = [("p", 8), ("k", 32), ("c", 16), ("q", 1), ("s", 1), ("r", 1), ("k", 16), ("p", 1)]
    assert mapping.loops == tuple(Loop(dim, step) for dim, step in loops)
    assert len(mapping.loops_above("output", "psum_buffer")) == 2
    assert len(mapping.loops_above("ifmap", "ifmap_buffer")) == 3
    weight, output = mapping.store("weight", "weight_buffer"), mapping.store("output", "psum_buffer")
    assert weight is not None
    assert output is not None
    assert (weight.double_buffered, output.double_buffered) == (True, False)


def test_tilings_are_mapping_files(tmp_path: Path) -> None:
    """A tiling is a mapping that `simulate --mapping` runs, and comes back from a mapping file as it went in.

    Those of 4x8 unroll images, which a mapping file's array does not: they run here alone.
    """
    for subset in (vta.JULY, vta.AUGUST, vta.GROUPS):
        machine = vta.machine_of(subset)
        layers = [vta.layer_of(row, machine) for row in vta.rows_of(subset)]
        assert [check_mapping(layer.problem, layer.mapping, machine) for layer in layers] == [None] * len(layers)
        mappings = {f"encode/{number}": Mapped(layer.mapping) for number, layer in enumerate(layers)}
        save_mappings(MappingFile("spec", "workload", mappings), tmp_path / "m.yaml")
        assert load_mappings(tmp_path / "m.yaml").mappings == mappings
