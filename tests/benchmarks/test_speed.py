"""How fast the simulator is; `make bench` prints the table. Bounds are those the project keeps."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from accelsim import load_arch, load_trace, sweep
from accelsim.simulation import simulate

BERT_SECONDS = 2.0
BERT_MEGABYTES = 500
SWEEP_POINTS_PER_MINUTE = 10_000
COMMAND = [sys.executable, "-m", "accelsim", "simulate", "apsq_edge_ws", "bert_base"]


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
def test_simulate(benchmark: BenchmarkFixture, arch: str, workload: str) -> None:
    spec, trace = load_arch(arch), load_trace(workload)
    report = benchmark.pedantic(simulate, (spec, trace), rounds=5, warmup_rounds=1)
    assert report.mac_check == "equal"


def test_bert_in_a_new_process() -> None:
    """Median wall time of 5 runs of the command and peak memory, numba's disk cache filled."""
    subprocess.run(COMMAND, check=True, capture_output=True)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run(COMMAND, check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"BERT-base in a new process: median {statistics.median(seconds):.2f} s, peak {peak_mb:.0f} MB")
    assert statistics.median(seconds) < BERT_SECONDS, seconds
    assert peak_mb < BERT_MEGABYTES


def test_sweep_points_per_minute() -> None:
    """Small points, every core; each point is loaded, mapped, timed and summed up."""
    capacities = list(range(16, 16 + 300))
    over = {"arch.buffers.weight.capacity_kib": capacities, "workload.psum.bits": [4, 8, 16, 32]}
    start = time.perf_counter()
    table = sweep("apsq_edge_ws", ["matmul:128x768x768"], over)
    per_minute = 60 * len(table) / (time.perf_counter() - start)
    print(f"{per_minute:,.0f} sweep points per minute")
    assert len(table) == 1200
    assert per_minute > SWEEP_POINTS_PER_MINUTE
