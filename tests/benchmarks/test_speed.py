"""How fast the simulator is in one process: single workloads and sweeps."""

from __future__ import annotations

import time

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from accelsim import load_arch, load_trace, sweep
from accelsim.simulation import simulate
from tests.benchmarks.results import Results

SWEEP_POINTS_PER_MINUTE = 10_000


@pytest.mark.parametrize(
    ("arch", "workload"),
    [
        ("apsq_edge_ws", "bert_base"),
        ("apsq_edge_is", "bert_base"),
        ("apsq_edge_os", "bert_base"),
        ("systolic_32x32", "bert_base"),
        ("apsq_llm_ws", "llama2_7b_prefill_2048"),
        ("apsq_llm_ws", "llama2_7b_decode_2048"),
    ],
)
def test_simulate(benchmark: BenchmarkFixture, arch: str, workload: str, results: Results) -> None:
    spec, trace = load_arch(arch), load_trace(workload)
    report = benchmark.pedantic(simulate, (spec, trace), rounds=5, warmup_rounds=1)
    assert report.mac_check == "equal"
    milliseconds = 1000 * benchmark.stats.stats.median
    results.add("simulate", accelerator=arch, workload=workload, wall_ms=f"{milliseconds:.0f}")


def test_sweep_points_per_minute(results: Results) -> None:
    """Small points, every core; each point is loaded, mapped, timed and summed up."""
    capacities = list(range(16, 16 + 300))
    over = {"arch.buffers.weight.capacity_kib": capacities, "workload.psum.bits": [4, 8, 16, 32]}
    start = time.perf_counter()
    table = sweep("apsq_edge_ws", ["matmul:128x768x768"], over)
    per_minute = 60 * len(table) / (time.perf_counter() - start)
    assert len(table) == 1200
    results.at_least("sweep points a minute on every core", per_minute / 1e3, SWEEP_POINTS_PER_MINUTE / 1e3, "thousand")
