"""How fast the simulator is; `make bench` prints the table. Bounds are those the project keeps."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from accelsim import load_arch, load_trace
from accelsim.simulation import simulate

BERT_SECONDS = 2.0
BERT_MEGABYTES = 500
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
    assert statistics.median(seconds) < BERT_SECONDS, seconds
    assert peak_mb < BERT_MEGABYTES
