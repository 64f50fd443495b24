"""Whole commands, each in a new process."""

from __future__ import annotations

import pytest

from tests.benchmarks.measuring import ROUNDS, Process, new_process
from tests.benchmarks.results import Results

SECONDS = {"BERT-base": 2.0, "LLaMA2-7B prefill 2048 and decode 2048": 3.0}
PEAK_MIB = 500
SEARCH = ("--set", "arch.array.dataflow=search")
RUNS: dict[str, tuple[tuple[str, ...], ...]] = {
    "BERT-base": (("apsq_edge_ws", "bert_base"),),
    "ResNet-50": (("apsq_edge_ws", "resnet_50"),),
    "LLaMA2-7B prefill 2048 and decode 2048": (
        ("apsq_llm_ws", "llama2_7b_prefill_2048"),
        ("apsq_llm_ws", "llama2_7b_decode_2048"),
    ),
}


@pytest.mark.parametrize("mapping", ["fixed dataflow", "searched"])
@pytest.mark.parametrize("name", RUNS)
def test_a_model(name: str, mapping: str, results: Results) -> None:
    rounds = ROUNDS if name in SECONDS else 1
    runs = [_simulate(run, mapping, rounds, results) for run in RUNS[name]]
    results.at_most(f"{name}, {mapping}, peak memory", max(run.peak_mib for run in runs), PEAK_MIB, "MiB")
    if name in SECONDS:
        results.at_most(f"{name}, {mapping}, new process", sum(run.wall_seconds for run in runs), SECONDS[name], "s")


def _simulate(run: tuple[str, ...], mapping: str, rounds: int, results: Results) -> Process:
    process = new_process(("simulate", *run, *(SEARCH if mapping == "searched" else ())), rounds)
    results.add(
        "process", accelerator=run[0], workload=run[1], mapping=mapping, runs=str(rounds),
        wall_s=f"{process.wall_seconds:.2f}", CPU_s=f"{process.cpu_seconds:.2f}",
        peak_MiB=f"{process.peak_mib:.0f}",
    )  # fmt: skip
    return process
