"""The search over nested convs: against every mapping of small ones; its tables, its bound, what its mappings do."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from accelsim.functional.op import MappedOp
from accelsim.hardware.machine import Machine
from accelsim.mapping.closed_form import closed_form
from accelsim.mapping.count import tiling
from accelsim.mapping.halo import chunk_pairs
from accelsim.mapping.mapping_file import check_mapping
from accelsim.mapping.nest import Loop, Mapping, Node, Store
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.problem import OPERANDS, conv_problem
from accelsim.mapping.search.result import SearchResult
from accelsim.mapping.search.search import search
from accelsim.mapping.search.space import HALO, MAX_PER_DIM
from accelsim.mapping.search.windows import LISTS, axes_of, fill_halo
from accelsim.mapping.traffic import mac_flows
from accelsim.schemes import PsumScheme
from accelsim.workload.trace import ConvDims
from tests.reference.cases import drawn
from tests.reference.conv_cases import conv_case
from tests.reference.every_mapping import OBJECTIVES
from tests.reference.every_nest import best_of_all_nests, cost_of_nest
from tests.reference.integers import direct, tensors

BUDGET = 3_000_000


def score(found: SearchResult, objective: str) -> float:
    energy, latency = found.energy_pj, found.latency_fs
    return {"energy": energy, "latency": latency, "edp": energy * latency}[objective]


def check(seed: int, smallest_bytes: int = 40) -> float | None:
    """How far the search's best is above the best of all, relative; None where nothing fits."""
    problem, machine = conv_case(seed, smallest_bytes)
    objective = OBJECTIVES[seed % 3]
    found = search(problem, machine, objective, "through", BUDGET, 0.0)  # type: ignore[arg-type]
    best = best_of_all_nests(problem, machine, objective)
    if best is None:
        assert isinstance(found, Infeasible)
        return None
    assert isinstance(found, SearchResult)
    assert check_mapping(problem, found.mapping, machine) is None
    assert best.score >= score(found, objective) * (1 - found.gap) * (1 - 1e-9)  # the bound holds
    assert found.proved == (found.stop_reason == "proved")
    above = score(found, objective) / best.score - 1
    assert above >= -1e-9
    return above


@pytest.mark.parametrize("seed", range(24))
def test_search_finds_the_best_of_all_nests(seed: int) -> None:
    above = check(seed)
    assert above is None or above < 1e-9


@pytest.mark.slow
def test_search_is_near_the_best_of_many_more() -> None:
    """No climb is sure to end at the best: all but a few do, and none far from it."""
    found = [above for seed in range(1000, 1150) if (above := check(seed, 20)) is not None]
    assert len(found) > 100
    assert sum(above > 1e-9 for above in found) <= 0.05 * len(found)
    assert max(found) < 0.05


@pytest.mark.parametrize("seed", range(40))
def test_closed_form_prices_what_the_walk_counts(seed: int) -> None:
    problem, machine = conv_case(seed)
    rng = random.Random(seed)
    dims = [dim for dim, extent in problem.extents if extent > 1]
    for two_slots in (False, True):
        chosen = [rng.choice(dims) for _ in range(rng.randint(0, 7) if dims else 0)]
        loops = tuple((dim, rng.randint(1, problem.extent(dim) - 1)) for dim in chosen)
        i, w, o = (rng.randint(0, len(loops)) for _ in OPERANDS)
        cost = closed_form(problem, _nest(machine, loops, (i, w, o), two_slots), machine)
        nest = tuple((problem.dims.index(dim), step) for dim, step in loops)
        energy_pj, latency_fs = cost_of_nest(problem, machine, nest, (i, w, o), two_slots)
        assert math.isclose(cost.energy_pj, energy_pj, rel_tol=1e-9)
        assert math.isclose(cost.latency_fs, latency_fs, rel_tol=1e-9)


def _nest(
    machine: Machine, loops: tuple[tuple[str, int], ...], positions: tuple[int, int, int], two_slots: bool
) -> Mapping:
    nodes: list[Node] = []
    buffers = (machine.ifmap_buffer, machine.weight_buffer, machine.psum_buffer)
    for depth in range(len(loops) + 1):
        if depth:
            nodes.append(Loop(*loops[depth - 1]))
        for operand, buffer, at in zip(OPERANDS, buffers, positions, strict=True):
            if at == depth:
                nodes.append(Store(operand, buffer.name, operand == "output" and two_slots))
    return Mapping((*nodes, *(Store(operand, "array") for operand in OPERANDS)))


def _chunked_axis(rng: random.Random, size: int) -> tuple[ConvDims, tuple[int, ...], tuple[int, ...]]:
    taps, dilation, stride, padding = rng.randint(1, 5), rng.randint(1, 3), rng.randint(1, 4), rng.randint(0, 6)
    h = (taps - 1) * dilation + 1 + rng.randint(0, 6 * size)
    conv = ConvDims(1, 1, 2, 2, h, 3, taps, 2, (stride, 1), (padding, 0), (dilation, 1))
    steps = [tuple(rng.randint(1, extent) for _ in range(rng.randint(0, MAX_PER_DIM - 1))) for extent in (conv.p, taps)]
    return conv, steps[0], steps[1]


@settings(max_examples=500, deadline=None, derandomize=True)
@given(drawn(_chunked_axis))
def test_tables_of_the_kernels_are_those_of_the_window(case: tuple[ConvDims, tuple[int, ...], tuple[int, ...]]) -> None:
    conv, row_steps, red_steps = case
    problem = conv_problem(conv, 8, 8, 8, PsumScheme(32), "nested")
    axis, halo, lists = axes_of(problem, problem.dims)[0], np.zeros(1, HALO)[0], np.zeros(2, LISTS)
    rows, reds = (np.array([*steps, *[0] * MAX_PER_DIM], np.int64) for steps in (row_steps, red_steps))
    assert fill_halo(axis, rows, len(row_steps), reds, len(red_steps), halo, lists[0], lists[1])
    for a in range(len(row_steps) + 1):
        for b in range(len(red_steps) + 1):
            first, last = halo["first"][a * MAX_PER_DIM + b : a * MAX_PER_DIM + b + 2]
            columns = (halo[name][first:last].tolist() for name in ("values", "row_cut", "red_cut", "count"))
            assert sorted(zip(*columns, strict=True)) == list(
                chunk_pairs(problem, ("p", "r"), row_steps[:a], red_steps[:b])
            )


@pytest.mark.parametrize("seed", range(100, 120))
def test_searched_convs_compute_and_move_what_they_say(seed: int) -> None:
    problem, machine = conv_case(seed, 60)
    problem = replace(problem, psum=PsumScheme(32))
    found = search(problem, machine, OBJECTIVES[seed % 3], budget=2000)  # type: ignore[arg-type]
    assert isinstance(found, SearchResult)
    ifmap, weight, _ = tensors(problem, random.Random(seed), 7)
    result = MappedOp("conv", problem, found.mapping, machine, "weight").run(ifmap, weight)
    assert np.array_equal(result.outputs, direct(problem, ifmap, weight, None))
    for flow in mac_flows(problem, found.mapping, machine):
        if flow.operand:
            counted = result.accesses[flow.block, flow.operand, flow.action]
            assert (counted.count, counted.values) == (flow.count, flow.values)


LAYERS = {
    "first": ConvDims(1, 1, 3, 64, 224, 224, 7, 7, (2, 2), (3, 3)),
    "3x3": ConvDims(1, 1, 128, 128, 28, 28, 3, 3, (1, 1), (1, 1)),
    "1x1 strided": ConvDims(1, 1, 256, 512, 56, 56, 1, 1, (2, 2)),
    "depthwise": ConvDims(1, 96, 1, 1, 56, 56, 3, 3, (2, 2), (1, 1)),
    "grouped": ConvDims(1, 8, 16, 16, 14, 14, 3, 3, (1, 1), (1, 1)),
    "batch": ConvDims(4, 1, 32, 48, 14, 14, 5, 5, (1, 1), (2, 2), (2, 2)),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_budget_counts_mappings_and_gives_the_same_again(layer: str) -> None:
    _, machine = conv_case(0, 4096)
    problem = conv_problem(LAYERS[layer], 8, 8, 8, PsumScheme(32), "nested")
    found = search(problem, machine, "energy", budget=20_000)
    assert found == search(problem, machine, "energy", budget=20_000)
    assert isinstance(found, SearchResult)
    assert found.counted < 24_000
    assert not found.proved
    assert 0 < found.gap < 1
    more = search(problem, machine, "energy", budget=60_000)
    assert isinstance(more, SearchResult)
    assert more.energy_pj <= found.energy_pj
    assert tiling(problem, "ifmap", ()).tiles == 1
