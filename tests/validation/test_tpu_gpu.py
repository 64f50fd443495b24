"""TPU v6e, A100 and MI210 beside ours: the errors of today, and what is fitted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from accelsim import load_arch, load_trace, simulate
from accelsim.validate.measured import Measurement
from accelsim.validate.silicon import gpu, tables, tpu
from accelsim.validate.statistics import Summary, failures, summaries


@pytest.fixture(scope="module")
def measurements() -> tuple[Measurement, ...]:
    return tpu.measurement(), gpu.measurement()


@pytest.fixture(scope="module")
def found(measurements: tuple[Measurement, ...]) -> dict[str, Summary]:
    return {line.subset: line for each in measurements for line in summaries(each.runs)}


def test_no_error_has_grown(measurements: tuple[Measurement, ...]) -> None:
    for each in measurements:
        assert list(failures(list(summaries(each.runs)), each.limits)) == []
        bounded = {limit.subset for limit in each.limits}
        assert bounded == {run.subset for run in each.runs} - {"A100 die"}  # of whose area 5 % are explained


def test_aims(found: dict[str, Summary]) -> None:
    assert all(found[band].mean_abs_error_pct < 15 for _, band in tpu.BANDS)
    assert found["A100 matmul"].mean_abs_error_pct < 8
    assert found[f"{gpu.LAYER}, whole"].mean_abs_error_pct < 10


def test_everything_beats_the_roofline(found: dict[str, Summary]) -> None:
    for line in found.values():
        if line.quantity == "area":
            continue
        assert line.roofline_error_pct is not None
        assert line.mean_abs_error_pct < line.roofline_error_pct, line


def test_the_efficiency_is_the_one_fitted(measurements: tuple[Measurement, ...]) -> None:
    (constant,) = measurements[0].constants
    assert constant.value == pytest.approx(tpu.fitted_efficiency(), abs=5e-4)
    assert measurements[1].constants == ()
    fitted = [run for run in measurements[0].runs if run.fitted]
    assert len(fitted) == 41 < sum(run.subset.startswith("M") for run in measurements[0].runs) / 5


@pytest.mark.parametrize(
    ("arch", "rows", "most_pct"),
    [
        ("a100", [row for row in tables.lines("gpu_ops") if (row["device"], row["op"]) == ("A100", "matmul")], 4.0),
        ("mi210", [row for row in tables.lines("gpu_ops") if (row["device"], row["op"]) == ("MI210", "matmul")], 18.0),
        ("tpu_v6e", tables.lines("tpu_v6e_gemm")[::9], 10.0),
    ],
)
def test_simulated_matmuls_are_as_near(arch: str, rows: list[tables.Line], most_pct: float) -> None:
    """What `simulate` maps by itself on these specs takes what the kernels that are validated take."""
    spec, errors = load_arch(f"validation/{arch}"), []
    for row in rows:
        trace = load_trace(f"matmul:{row['M']}x{row['K']}x{row['N']}")
        wide = replace(trace, tensors=tuple(replace(tensor, bits=16) for tensor in trace.tensors))
        measured_us = float(row["latency_us"]) if "latency_us" in row else float(row["latency_ns"]) / 1e3
        errors.append(abs(simulate(spec, wide).totals.latency_s * 1e6 / measured_us - 1))
    assert len(errors) >= 10
    assert 100 * sum(errors) / len(errors) < most_pct


def test_kernels_of_the_layer() -> None:
    times, qkv = gpu._layer_kernel("3 x [16384,12288]x[12288,3072]")
    assert (times, qkv) == (3, gpu.matmul_kernel(16384, 12288, 3072, 2))
    assert gpu._layer_kernel("batch 192: [2048,128]x[128,2048]") == (1, gpu.matmul_kernel(2048, 128, 2048, 2, 192))
    assert gpu._layer_kernel("gelu 100") == (1, gpu.VectorKernel("elementwise", 100, 400, 8))
