"""Eyeriss beside ours under its own mapping; passes walked one by one, and counted by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.hardware.machine import Machine, build_machine
from accelsim.spec import load_arch
from accelsim.validate.measured import Measurement
from accelsim.validate.silicon import eyeriss
from accelsim.validate.silicon.row_stationary import Passes, RowStationaryConv, count_passes
from accelsim.validate.statistics import failures, summaries


@pytest.fixture(scope="module")
def machine() -> Machine:
    return build_machine(load_arch("validation/eyeriss"))


@pytest.fixture(scope="module")
def measurement() -> Measurement:
    return eyeriss.measurement()


def test_no_error_has_grown(measurement: Measurement) -> None:
    assert list(failures(list(summaries(measurement.runs)), measurement.limits)) == []


def test_aims(measurement: Measurement) -> None:
    errors = {(line.subset, line.quantity): line.mean_abs_error_pct for line in summaries(measurement.runs)}
    assert errors["AlexNet", "latency"] < 12
    assert errors["AlexNet", "buffer accesses"] < 15
    assert errors["AlexNet", "power"] < 20
    assert errors["AlexNet", "active PEs"] == 0
    latencies = [run for run in measurement.runs if (run.subset, run.quantity) == ("AlexNet", "latency")]
    assert all(abs(run.ratio - 1) < 0.12 for run in latencies)


def test_two_constants_on_two_layers(measurement: Measurement) -> None:
    fitted = {(run.case, run.quantity) for run in measurement.runs if run.fitted}
    assert fitted == {("CONV1", "power"), ("CONV3", "power")}
    assert len(measurement.constants) == 2
    assert 0.5 < measurement.constants[0].value < 2


def test_a_layer_by_hand(machine: Machine) -> None:
    """CONV3 of AlexNet: 6 x 64 passes of 64 filters and 4 channels, each 2304 weights at 4 a cycle, then 43,264 psums
    at 4 a cycle, which take longer than the 9,984 cycles of computing."""
    conv = RowStationaryConv(4, 1, 256, 384, 3, 13, 15, 1)
    counts = count_passes(conv, Passes(64, 4, 13, 16, 4, 1, 4), machine)
    assert counts.passes == 6 * 64
    assert counts.cycles == 384 * (2304 // 4 + 43264 // 4)
    assert counts.ifmap_values == 384 * 4 * 4 * 15 * 15
    assert counts.psum_writes == 384 * 43264
    assert counts.psum_reads == 6 * 63 * 43264
    assert (counts.filter_reloads, counts.ifmap_refetches) == (1, 6)


@given(
    st.tuples(*[st.integers(1, 3)] * 2), st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(1, 7),
    st.tuples(*[st.integers(1, 3)] * 5),
)  # fmt: skip
@settings(deadline=None, max_examples=200)
def test_passes_walked_one_by_one(
    repeats: tuple[int, int], channels: int, filters: int, taps: int, outputs: int, sizes: tuple[int, ...]
) -> None:
    machine = build_machine(load_arch("validation/eyeriss"))
    images, groups = repeats
    n, e, p, q, t = sizes
    conv = RowStationaryConv(images, groups, channels, filters, taps, outputs, outputs + taps - 1, 1)
    mapping = Passes(m=filters, n=n, e=e, p=p, q=q, r=1, t=t)
    reads = writes = passes = 0
    for _ in range(groups):
        for _ in range(0, images, n):
            for _ in range(0, outputs, e):
                for _ in range(0, filters, p * t):
                    for channel in range(0, channels, q):
                        passes += 1
                        writes += n * p * t * e * outputs
                        reads += n * p * t * e * outputs if channel else 0
    counts = count_passes(conv, mapping, machine)
    assert (counts.passes, counts.psum_reads, counts.psum_writes) == (passes, reads, writes)
    assert counts.cycles >= conv.macs / mapping.active_pes(conv)


def test_what_does_not_fit(machine: Machine) -> None:
    conv = RowStationaryConv(1, 1, 8, 64, 3, 13, 15, 1)
    with pytest.raises(ValueError, match="PEs of 168"):
        count_passes(conv, Passes(64, 1, 13, 16, 4, 2, 4), machine)
    with pytest.raises(ValueError, match="weight_registers of 224"):
        count_passes(conv, Passes(64, 1, 13, 24, 4, 1, 4), machine)
