"""The same work by other simulators, in the same run; skipped where they are not installed."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from accelsim import load_trace
from accelsim.errors import UserError
from accelsim.hardware.machine import build_machine
from accelsim.mapping.nest import Mapping
from accelsim.mapping.search.result import SearchResult
from accelsim.mapping.search.search import DEFAULT_BUDGET, search
from accelsim.simulation import simulate
from accelsim.spec import ArchSpec
from accelsim.validate import record_scalesim, record_zigzag
from accelsim.validate.equal_tree import arch_spec
from accelsim.validate.explicit import cost_of
from accelsim.validate.machines import square_systolic
from accelsim.validate.recording import require_peer
from accelsim.validate.zigzag_nest import nest_of, problem_of
from tests.benchmarks.measuring import ROUNDS, cpu_seconds, new_process
from tests.benchmarks.results import Results

SIZE = 32
SCALESIM_LAYERS = {
    "BERT-128 QK of a head": (128, 64, 128, ROUNDS),
    "BERT-128 query": (128, 768, 768, 3),
    "BERT-128 intermediate": (128, 768, 3072, 1),
}
"""M, K, N, and how often SCALE-Sim runs; the last takes it most of a minute."""
RATIO = 1000
"""What a peer's CPU time on the same layers is hoped to be in ours."""
TOTALS: dict[str, list[tuple[float, float]]] = {}
"""By peer, its CPU seconds and ours of each layer."""
ZIGZAG_LAYERS = ("gemm 128x64x128", "gemm 128x768x768", "gemm 512x512x512")


def need(section: str, distribution: str, wanted: str, results: Results) -> None:
    try:
        require_peer(distribution, wanted)
    except UserError:
        why = f"{distribution} {wanted} is not installed (extra `oracles`): not measured."
        results.skip(section, why)
        pytest.skip(why)


def written(spec: ArchSpec, folder: Path) -> str:
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(spec.model_dump(mode="json", exclude_unset=True)))
    return str(path)


@pytest.mark.parametrize("layer", SCALESIM_LAYERS)
def test_scalesim(layer: str, tmp_path: Path, results: Results) -> None:
    need("scalesim", "scalesim", record_scalesim.VERSION, results)
    m, k, n, rounds = SCALESIM_LAYERS[layer]
    spec, trace = square_systolic(SIZE, "weight_stationary"), load_trace(f"matmul:{m}x{k}x{n}")
    record_scalesim.record([record_scalesim.Run("gemm", SIZE, "ws", ("one_tile",))])
    topology = tmp_path / "topology.csv"
    topology.write_text(f"Layer, M, N, K,\nlayer, {m}, {n}, {k},\n")
    theirs = cpu_seconds(lambda: record_scalesim.start(topology, SIZE, "ws", tmp_path), rounds)
    with (tmp_path / "out/run/COMPUTE_REPORT.csv").open() as file:
        (report,) = csv.DictReader(file, skipinitialspace=True)
    assert int(float(report["Total Cycles"])) + 1 == simulate(spec, trace).ops[0].compute_cycles
    ours = cpu_seconds(lambda: simulate(spec, trace))
    process = new_process(("simulate", written(spec, tmp_path), f"matmul:{m}x{k}x{n}"))
    TOTALS.setdefault("scalesim", []).append((theirs, ours))
    results.add(
        "scalesim", layer=layer, M_x_K_x_N=f"{m} x {k} x {n}", SCALE_Sim_CPU_s=f"{theirs:.3f}", its_runs=str(rounds),
        our_CPU_s=f"{ours:.4f}", ratio=f"{theirs / ours:,.0f}x", our_whole_process_CPU_s=f"{process.cpu_seconds:.2f}",
    )  # fmt: skip


@pytest.mark.parametrize("layer", ZIGZAG_LAYERS)
def test_zigzag(layer: str, tmp_path: Path, results: Results) -> None:
    need("zigzag", "zigzag-dse", record_zigzag.VERSION, results)
    spec = arch_spec()
    fixed, problem = build_machine(spec), problem_of(layer)
    free_spec = spec.model_copy(update={"array": spec.array.model_copy(update={"dataflow": "search"})})
    machine = build_machine(free_spec)

    def ours(budget: int = DEFAULT_BUDGET) -> SearchResult:
        result = search(problem, machine, budget=budget)
        assert isinstance(result, SearchResult)
        return result

    def energy_pj(budget: int = DEFAULT_BUDGET) -> float:
        return cost_of(problem, ours(budget).mapping, machine).energy_pj

    record_zigzag.record(["gemm 48x2048x16"], objectives=("energy",))
    their_seconds = cpu_seconds(lambda: record_zigzag.record([layer], objectives=("energy",)))
    (row,) = record_zigzag.record([layer], objectives=("energy",)).rows
    their_nest: Mapping = nest_of(row, problem, fixed)
    their_pj = cost_of(problem, their_nest, fixed).energy_pj
    our_seconds = cpu_seconds(ours)
    budget = least_budget(lambda budget: energy_pj(budget) <= their_pj)
    quick = cpu_seconds(lambda: ours(budget))
    shape = layer.removeprefix("gemm ")
    command = ("simulate", written(free_spec, tmp_path), f"matmul:{shape}")
    process = new_process(command)
    TOTALS.setdefault("zigzag", []).append((their_seconds, our_seconds))
    results.add(
        "zigzag", layer=shape.replace("x", " x "), ZigZag_CPU_s=f"{their_seconds:.2f}", our_CPU_s=f"{our_seconds:.3f}",
        ratio=f"{their_seconds / our_seconds:,.1f}x", our_energy_by_its=f"{energy_pj() / their_pj:.4f}",
        as_good_CPU_s=f"{quick:.3f}", as_good_ratio=f"{their_seconds / quick:,.1f}x",
        our_whole_process_CPU_s=f"{process.cpu_seconds:.2f}",
    )  # fmt: skip


@pytest.mark.parametrize("section", ["scalesim", "zigzag"])
def test_all_layers_together(section: str, results: Results) -> None:
    if section not in TOTALS:
        pytest.skip("no layer was measured")
    theirs, ours = (math.fsum(times) for times in zip(*TOTALS[section], strict=True))
    results.add("peers", peer=section, layers=str(len(TOTALS[section])), its_CPU_s=f"{theirs:.2f}", our_CPU_s=f"{ours:.4f}",
                ratio=f"{theirs / ours:,.0f}x", target=f"{RATIO:,}x", met="yes" if theirs / ours >= RATIO else "**missed**")  # fmt: skip


def least_budget(good_enough: Callable[[int], bool]) -> int:
    """The least power of ten that will do."""
    return next(budget for budget in (10**e for e in range(9)) if good_enough(budget))
