"""How fast mappings are counted and searched for."""

from __future__ import annotations

import math
import time

import pytest

from accelsim import load_arch, load_trace
from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping.lower import MacWork, lower
from accelsim.mapping.problem import Problem, matmul_problem
from accelsim.mapping.search.result import SearchResult
from accelsim.mapping.search.search import _Search, search
from accelsim.schemes import PsumScheme
from accelsim.workload import MatmulDims
from tests.benchmarks.measuring import cpu_seconds
from tests.benchmarks.results import Results

MAPPINGS_PER_SECOND = 5e6
MATMULS = ((128, 64, 128), (128, 768, 768), (128, 768, 3072), (512, 512, 512))
BUDGET = 20_000_000


def free(arch: str) -> Machine:
    """The machine of a shipped spec, its loop orders left to the search."""
    return build_machine(load_arch(arch, overrides={"arch.array.dataflow": "search"}))


def found(problem: Problem, machine: Machine, **settings: float) -> SearchResult:
    result = search(problem, machine, **settings)  # type: ignore[arg-type]
    assert isinstance(result, SearchResult)
    return result


def test_mappings_counted_per_second(results: Results) -> None:
    """Nothing ruled out: every storage of nests of many tile sizes, in every order of loops, is priced."""
    machine, counted, spent = free("apsq_edge_ws"), 0, 0.0
    for m, k, n in MATMULS:
        problem = matmul_problem(MatmulDims(1, 1, m, k, n), 8, 8, 8, PsumScheme(32))
        run = _Search(problem, machine, "energy", "through", BUDGET, 0.0)
        run.slack = math.inf
        sizes = [sorted({max(1, extent * part // 7) for part in range(1, 8)}) for extent in run.extents]
        start = time.process_time()
        assert all(run._try(order, sizes) for order in range(len(run.orders.outer)))
        seconds = time.process_time() - start
        priced = int(run.best["mappings"][0])
        counted, spent = counted + priced, spent + seconds
        results.add(
            "counting", matmul=f"{m} x {k} x {n}", counted=f"{priced:,}", CPU_s=f"{seconds:.2f}",
            million_per_s=f"{priced / seconds / 1e6:.1f}",
        )  # fmt: skip
    results.at_least(
        "mappings counted per second and core", counted / spent / 1e6, MAPPINGS_PER_SECOND / 1e6, "million"
    )


@pytest.mark.parametrize(("m", "k", "n"), MATMULS)
def test_the_very_best(m: int, k: int, n: int, results: Results) -> None:
    machine = free("apsq_edge_ws")
    problem = matmul_problem(MatmulDims(1, 1, m, k, n), 8, 8, 8, PsumScheme(32))
    result = found(problem, machine, tolerance=0.0)
    seconds = cpu_seconds(lambda: found(problem, machine, tolerance=0.0))
    results.add(
        "exact", matmul=f"{m} x {k} x {n}", CPU_ms=f"{1000 * seconds:.1f}", counted=f"{result.counted:,}",
        proved="yes" if result.proved else "no",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arch", "workload"),
    [
        ("apsq_edge_ws", "bert_base"),
        ("apsq_llm_ws", "llama2_7b_prefill_2048"),
        ("apsq_llm_ws", "llama2_7b_decode_2048"),
    ],
)
def test_each_distinct_matmul(arch: str, workload: str, results: Results) -> None:
    machine, trace = free(arch), load_trace(workload)
    tensors = trace.tensor_by_id()
    names: dict[Problem, str] = {}
    for op in trace.phases[0].ops:
        work = lower(op, tensors, machine)
        if isinstance(work, MacWork):
            names.setdefault(work.problem, op.name)
    for problem, name in names.items():
        result = found(problem, machine)
        seconds = cpu_seconds(lambda problem=problem: found(problem, machine))  # type: ignore[misc]
        shape = " x ".join(str(problem.extent(dim)) for dim in problem.dims)
        results.add(
            "search", workload=workload, op=name, dims=shape, CPU_ms=f"{1000 * seconds:.1f}",
            counted=f"{result.counted:,}", gap=f"{100 * result.gap:.2f}%", proved="yes" if result.proved else "no",
        )  # fmt: skip
