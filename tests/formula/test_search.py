"""The search against every mapping there is: walked one by one, priced without any code of the search."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping.closed_form import closed_form
from accelsim.mapping.count import tiling
from accelsim.mapping.fit import demands
from accelsim.mapping.nest import Loop, Mapping, Node, Store
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.problem import OPERANDS, Problem, conv_problem, matmul_problem
from accelsim.mapping.search import halo_tables, orders
from accelsim.mapping.search.result import SearchResult
from accelsim.mapping.search.search import _Search, search
from accelsim.schemes import PsumScheme
from accelsim.workload.trace import ConvDims, MatmulDims
from tests.reference.cases import arch
from tests.reference.every_mapping import OBJECTIVES, Best, Loops, Positions, best_of_all, walked_cost
from tests.reference.nest_walk import DIMS, MAX_LOOPS
from tests.reference.search_cases import search_case

STATIONARY = {"input_stationary": 0, "weight_stationary": 1, "output_stationary": 2}
UNLIMITED = 10**12


def score(result: SearchResult | Best, objective: str) -> float:
    return {
        "energy": result.energy_pj,
        "latency": result.latency_fs,
        "edp": result.energy_pj * result.latency_fs,
    }[objective]


def check_best(problem: Problem, machine: Machine, objective: str, stationary: int | None = None) -> bool:
    """Whether anything fits."""
    found = search(problem, machine, objective, "through", UNLIMITED, 0.0)  # type: ignore[arg-type]
    best = best_of_all(problem, machine, objective, stationary)
    if best is None:
        assert isinstance(found, Infeasible)
        return False
    assert isinstance(found, SearchResult), best
    assert score(found, objective) == pytest.approx(best.score, rel=1e-9), best
    assert found.proved
    assert found.stop_reason == "proved"
    assert found.gap == 0
    return True


@pytest.mark.parametrize("seed", range(40))
def test_search_finds_the_best_of_all_mappings(seed: int) -> None:
    assert check_best(*search_case(seed, smallest_bytes=40), OBJECTIVES[seed % 3])


@pytest.mark.parametrize(
    ("extents", "widths", "capacity_bits", "objective"),
    [((9, 7, 3), (2, 1, 1), (64, 256, 16), "energy"), ((9, 6, 4), (3, 1, 1), (512, 64, 40), "latency")],
)
def test_psums_that_stay_need_no_room(
    extents: tuple[int, int, int], widths: tuple[int, int, int], capacity_bits: tuple[int, ...], objective: str
) -> None:
    """Psum buffers of a few values: whether psums are stored at all depends on the trips of every loop."""
    problem = matmul_problem(MatmulDims(1, 1, *extents), 8, 8, 8, PsumScheme(32))
    _, machine = search_case(0)
    po, pci, pco = widths
    machine = replace(machine, array=replace(machine.array, po=po, pci=pci, pco=pco))
    for memory, bits in zip(machine.memories, capacity_bits, strict=True):
        machine = machine.with_memory(replace(memory, word_bits=8, capacity_bits=bits))
    assert check_best(problem, machine, objective)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1500))
def test_search_finds_the_best_of_all_mappings_of_many_more(seed: int) -> None:
    check_best(*search_case(seed, shared=seed % 20 == 0), OBJECTIVES[seed % 3])


@pytest.mark.parametrize("dataflow", STATIONARY)
@pytest.mark.parametrize("seed", range(2000, 2005))
def test_search_keeps_the_stationary_operand_still(dataflow: str, seed: int) -> None:
    problem, machine = search_case(seed, dataflow, smallest_bytes=40)
    assert check_best(problem, machine, OBJECTIVES[seed % 3], STATIONARY[dataflow])


@pytest.mark.parametrize("seed", range(3000, 3010))
def test_nothing_is_better_than_the_gap_allows(seed: int) -> None:
    problem, machine = search_case(seed, smallest_bytes=40)
    rng, objective = random.Random(seed), OBJECTIVES[seed % 3]
    best = best_of_all(problem, machine, objective)
    assert best is not None
    gaps = []
    for budget in (1, 10, 100, 1000, 10_000):
        tolerance = rng.choice([0.0, 1e-3, 0.1])
        found = search(problem, machine, objective, "through", budget, tolerance)  # type: ignore[arg-type]
        if isinstance(found, Infeasible):
            assert found.resource == "mapping"  # the budget ran out before anything was found
            continue
        assert best.score <= score(found, objective) * (1 + 1e-9)
        assert best.score >= score(found, objective) * (1 - found.gap) * (1 - 1e-9)
        assert not found.proved or found.gap <= tolerance + 1e-9
        gaps.append(found.gap)
    assert gaps


CONV = conv_problem(ConvDims(1, 1, 1, 2, 3, 3, 3, 3, padding=(1, 1)), 8, 8, 8, PsumScheme(32), "flatten_crs")


def test_tile_sizes_with_too_many_kinds_of_tiles_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are searched; nothing is proved, and the gap speaks of those passed over as well."""
    _, machine = search_case(0, smallest_bytes=4000)
    whole = search(CONV, machine, budget=UNLIMITED, tolerance=0.02)
    monkeypatch.setattr(halo_tables, "MAX_TILES", 12)
    found = search(CONV, machine, budget=UNLIMITED, tolerance=0.02)
    assert isinstance(whole, SearchResult)
    assert isinstance(found, SearchResult)
    assert (whole.proved, whole.stop_reason) == (True, "proved")
    assert (found.proved, found.stop_reason) == (False, "limits")
    assert found.gap > whole.gap
    assert whole.energy_pj >= found.energy_pj * (1 - found.gap)


def test_nothing_found_where_all_tile_sizes_are_passed_over_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    _, machine = search_case(0, smallest_bytes=4000)
    monkeypatch.setattr(halo_tables, "MAX_TILES", 0)
    run = _Search(CONV, machine, "energy", "through", UNLIMITED, 0.0)
    assert run._try(0, [[9], [9], [2]])
    found = run.result()
    assert isinstance(found, Infeasible)
    assert (found.resource, found.unit, found.demand) == ("mapping", "kinds of input tiles", 1)


def test_ways_to_store_beyond_the_tables_are_not_passed_over_in_silence() -> None:
    problem, machine = search_case(3)
    run = _Search(problem, machine, "energy", "through", UNLIMITED, 0.0)
    run.run()
    run.scratch["places"]["left_out"] = True
    found = run.result()
    assert isinstance(found, SearchResult)
    assert (found.proved, found.stop_reason) == (False, "limits")
    assert found.gap > 0


def test_more_dims_than_orders_end_with_the_orders_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    _, machine = search_case(0)
    monkeypatch.setattr(orders, "MAX_FREE_DIMS", 3)
    problem = matmul_problem(MatmulDims(1, 2, 4, 4, 4), 8, 8, 8, PsumScheme(32))
    found = search(problem, machine, budget=UNLIMITED, tolerance=0.0)
    assert isinstance(found, SearchResult)
    assert (found.proved, found.stop_reason) == (False, "orders")


def test_tiles_that_fit_one_by_one_but_not_together() -> None:
    """A memory of two words for one of each operand: what it lacks depends on the nest, so no number is invented."""
    problem = matmul_problem(MatmulDims(1, 1, 3, 3, 3), 8, 8, 8, PsumScheme(8))
    machine = build_machine(arch({"kind": "adder_tree", "dataflow": "search", "po": 1, "pci": 1, "pco": 1}))
    shared = replace(machine.memories[0], word_bits=8, capacity_bits=16, holds=OPERANDS)
    found = search(problem, replace(machine, memories=(shared,)))
    assert isinstance(found, Infeasible)
    assert (found.resource, found.demand, found.bound) == ("memories", 1, 0)
    assert found.unit == "nest whose tiles fit together"


def test_infeasible_only_where_nothing_fits() -> None:
    outcomes = [check_best(*search_case(seed, smallest_bytes=2), OBJECTIVES[seed % 3]) for seed in range(4000, 4020)]
    assert 3 < sum(outcomes) < 17


@pytest.mark.parametrize("seed", range(60))
def test_closed_form_prices_what_the_walk_counts(seed: int) -> None:
    problem, machine = search_case(seed)
    rng = random.Random(-seed - 1)
    for _ in range(5):
        loops, positions = nest_of(rng, problem)
        nest = mapping_of(problem, machine, loops, positions)
        cost = closed_form(problem, nest, machine)
        energy_pj, latency_fs, needs = walked_cost(problem, machine, loops, positions)
        assert math.isclose(cost.energy_pj, energy_pj, rel_tol=1e-9)
        assert math.isclose(cost.latency_fs, latency_fs, rel_tol=1e-9)
        assert tuple(demands(problem, nest, machine).values()) == needs


def nest_of(rng: random.Random, problem: Problem) -> tuple[Loops, Positions]:
    """Any loops in any order (steps need not divide, nor shrink), storage anywhere among them."""
    extents = dict(problem.extents)
    dims = [dim for dim in DIMS if extents[dim] > 1]
    loops = []
    for _ in range(rng.randint(0, MAX_LOOPS - 2) if dims else 0):
        dim = rng.choice(dims)
        loops.append((dim, rng.randint(1, extents[dim] - 1)))
    i, w, o = (rng.randint(0, len(loops)) for _ in OPERANDS)
    return tuple(loops), (i, w, o)


def mapping_of(problem: Problem, machine: Machine, loops: Loops, positions: Positions) -> Mapping:
    nodes: list[Node] = []
    buffers = (machine.ifmap_buffer, machine.weight_buffer, machine.psum_buffer)
    for depth in range(len(loops) + 1):
        split = [Loop(*loop) for loop in loops[:depth]]
        if depth:
            nodes.append(Loop(*loops[depth - 1]))
        nodes += [
            Store(operand, buffer.name, operand != "output" and tiling(problem, operand, split).tiles > 1)
            for operand, buffer, at in zip(OPERANDS, buffers, positions, strict=True)
            if at == depth
        ]
    return Mapping((*nodes, *(Store(operand, "array") for operand in OPERANDS)))
