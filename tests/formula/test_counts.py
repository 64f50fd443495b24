"""Access counts against a brute-force walk of the same loop nests, in thousands of random cases.

`accelsim.validate.walk` holds every tile as a set of elements and shares no function with the mapper.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter

import pytest
from hypothesis import given, settings

from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping.count import Tiling, tiling
from accelsim.mapping.dataflow import map_fixed
from accelsim.mapping.nest import Loop, Mapping, Node, Store, chunk_count, chunks, without_single_trips
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.problem import OPERANDS, Problem, conv_problem, matmul_problem
from accelsim.mapping.psum_groups import psum_moves
from accelsim.mapping.traffic import mac_flows
from accelsim.schemes import PsumScheme
from accelsim.spec.models import AdderTreeArray, ArchSpec, PeGridArray
from accelsim.validate.walk import NodeWalk, Walk, walk, words_of
from accelsim.validate.walked_flows import Key, Numbers, buffers_of, demand_bits, walked_flows
from accelsim.workload.trace import ConvDims, MatmulDims
from tests.reference.cases import LEVELS, arch, buffered_nest_of, drawn, nest_of, placed_case_of, spilled_group_of
from tests.reference.grid import grid_lanes

# Loop orders as the dataflows' names mean them, outermost first.
ORDERS = {
    "weight_stationary": ("b", "n", "k", "g", "m"),
    "input_stationary": ("b", "g", "m", "k", "n"),
    "output_stationary": ("b", "g", "m", "n", "k"),
    "row_stationary": ("b", "g", "n", "k", "m"),
}
CONV_ORDERS = {
    "weight_stationary": ("groups", "k", "rsc", "rs", "r", "s", "c", "n", "p", "pq", "q"),
    "input_stationary": ("groups", "n", "p", "pq", "q", "rsc", "rs", "r", "s", "c", "k"),
    "output_stationary": ("groups", "n", "p", "pq", "q", "k", "rsc", "rs", "r", "s", "c"),
    "row_stationary": ("groups", "n", "p", "k", "c", "r", "s", "q"),
}


def _check_tiling(found: Tiling, log: NodeWalk) -> None:
    def words(values: int) -> int:
        return words_of(values, 3)

    assert (found.tiles, found.largest, found.most_visits) == (log.tiles, log.largest, log.most_visits)
    assert found.total(lambda values: 1) == log.fetches
    for per_tile in (int, words):
        assert found.total(per_tile) == log.total(per_tile)
        assert found.once(per_tile) == log.once(per_tile)
        assert found.again(per_tile) == log.total(per_tile) - log.once(per_tile)
    if log.operand == "output":
        assert found.again() == sum(visits - 1 for visits in log.visits.values())
        assert found.once() == len(log.visits)
        for per_tile in (int, words):
            assert found.again(per_tile) == log.psum_reads(per_tile) == log.psum_writes(per_tile)
            assert found.once(per_tile) == log.ofmap_writes(per_tile)


@settings(max_examples=2500, deadline=None, derandomize=True)
@given(drawn(nest_of))
def test_tiling_of_random_nests_equals_walk(case: tuple[Problem, Mapping]) -> None:
    problem, mapping = case
    walked = walk(problem, mapping, pes=False)
    assert walked.macs == problem.macs
    plain = Mapping(without_single_trips(mapping.nodes, problem))
    left = dict(problem.extents)
    for loop in plain.loops:
        assert loop.step < left[loop.dim]
        left[loop.dim] = loop.step
    for operand in OPERANDS:
        for level in (*LEVELS, "array"):
            for nest in (mapping, plain):
                _check_tiling(tiling(problem, operand, nest.loops_above(operand, level)), walked.nodes[operand, level])
    folds = 1
    for dim, extent in problem.extents:
        folds *= chunk_count(extent, dim, mapping.loops)
        parts = chunks(extent, dim, mapping.loops)
        ends = parts.start + parts.extent
        assert [0, *ends] == [*parts.start, extent]
    assert folds == walked.folds


def _lanes(problem: Problem, spec: ArchSpec) -> dict[str, int]:
    """Indices of each dim that the array takes at once; every other dim runs one by one."""
    array = spec.array
    if isinstance(array, PeGridArray):
        return grid_lanes(problem, array)
    row, reduction, column = ("m", "k", "n")
    if problem.conv is not None:
        row = "pq" if "pq" in problem.dims else "q"
        reduction, column = "rsc" if "rsc" in problem.dims else "c", "k"
    if isinstance(array, AdderTreeArray):
        return {row: array.po, reduction: array.pci, column: array.pco}
    down, across = {
        "output_stationary": (row, column),
        "weight_stationary": (reduction, column),
        "input_stationary": (reduction, row),
    }[array.dataflow]
    return {down: array.rows, across: array.cols}


def _order(problem: Problem, spec: ArchSpec) -> tuple[str, ...]:
    return (ORDERS if problem.conv is None else CONV_ORDERS)[spec.array.dataflow]


def probe(problem: Problem, spec: ArchSpec) -> tuple[Walk, int]:
    """The dataflow's bare nest with every operand stored after each loop, at levels "0", "1", ..."""
    lanes = _lanes(problem, spec)
    nodes: list[Node] = [Store(operand, "0") for operand in OPERANDS]
    positions = 1
    for dim in _order(problem, spec):
        if dim in problem.dims and problem.extent(dim) > lanes.get(dim, 1):
            nodes += [Loop(dim, lanes.get(dim, 1)), *(Store(operand, str(positions)) for operand in OPERANDS)]
            positions += 1
    return walk(problem, Mapping(tuple(nodes)), pes=False), positions


def _check_placement(problem: Problem, spec: ArchSpec, machine: Machine, mapping: Mapping | Infeasible) -> None:
    """Storage fits, and nothing that fits moves less from DRAM; an infeasible op fits nowhere."""
    bare, positions = probe(problem, spec)
    walked = None if isinstance(mapping, Infeasible) else walk(problem, mapping, pes=False)
    most_visits = bare.nodes["output", str(positions - 1)].most_visits
    fits_nowhere = []
    for operand, sram in buffers_of(machine).items():
        logs = [bare.nodes[operand, str(position)] for position in range(positions)]
        fitting = [log for log in logs if demand_bits(problem, sram, log, most_visits) <= sram.capacity_bits]
        if not fitting:
            fits_nowhere.append(sram.name)
            continue
        log = walked.nodes.get((operand, sram.name)) if walked else None
        if log is not None:
            assert demand_bits(problem, sram, log, most_visits) <= sram.capacity_bits
            least = min(other.total() for other in fitting)
            assert log.total() <= least
            if log.tiles == 1:  # several tiles that move no more would let loading overlap with computing
                assert all(other.tiles == 1 for other in fitting if other.total() == least)
        elif walked:
            assert operand == "output"
            assert all(other.most_visits > 1 for other in fitting)
    if isinstance(mapping, Infeasible):
        assert mapping.resource in fits_nowhere
        assert mapping.demand > mapping.bound
    else:
        assert not fits_nowhere


def _regimes(problem: Problem, spec: ArchSpec, machine: Machine, mapping: Mapping, walked: Walk) -> list[str]:
    """What happened, by name, so that the test can say that everything did."""
    lanes = _lanes(problem, spec)
    grown = any(loop.step > lanes.get(loop.dim, 1) for loop in mapping.loops)
    regimes = [spec.array.dataflow, spec.array.kind, *(["grown"] if grown else [])]
    for operand in ("ifmap", "weight"):
        log = walked.nodes[operand, buffers_of(machine)[operand].name]
        fate = "resident" if log.tiles == 1 else "refetched" if log.most_visits > 1 else "tiled"
        regimes.append(f"{operand} {fate}")
    array, home = walked.nodes["output", "array"], walked.nodes.get(("output", machine.psum_buffer.name))
    if home is None:
        regimes.append("psum spills bypass")
    elif home.most_visits > 1:
        regimes.append("psum spills through")
    elif array.most_visits > 1:
        regimes.append("psum group stays" if problem.psum.group_size > 1 else "psum stays")
    return regimes


def _flow_table(problem: Problem, mapping: Mapping, machine: Machine) -> dict[Key, Numbers]:
    flows = mac_flows(problem, mapping, machine)
    found = {(f.block, f.operand, f.action): (f.count, f.values, f.bits_useful, f.bits_moved) for f in flows}
    assert len(found) == len(flows)
    return found


@settings(max_examples=700, deadline=None, derandomize=True)
@given(drawn(buffered_nest_of))
def test_flows_of_random_nests_equal_walk(case: tuple[Problem, Mapping, Machine]) -> None:
    """Buffers anywhere in any nest: outputs of one op that are visited once and often, tiles of all sizes."""
    problem, mapping, machine = case
    assert _flow_table(problem, mapping, machine) == walked_flows(problem, machine, walk(problem, mapping))


@settings(max_examples=600, deadline=None, derandomize=True)
@given(drawn(spilled_group_of))
def test_flows_of_psum_groups_equal_walk(case: tuple[Problem, Mapping, Machine]) -> None:
    """Groups of psums leave unfinished from every level of a chain."""
    problem, mapping, machine = case
    assert _flow_table(problem, mapping, machine) == walked_flows(problem, machine, walk(problem, mapping))


def test_a_million_stays_are_counted_at_once() -> None:
    """Of 10^9 steps in stays of 1000, groups of 3: a stay of 3 x 333 + 1 begins a step further on each time."""
    problem = matmul_problem(MatmulDims(1, 1, 1, 10**9, 2), 8, 8, 8, PsumScheme(8, 3))
    loops = (Loop("k", 1000), Loop("n", 1), Loop("k", 1), Loop("n", 1))
    # Inside a stay no other output comes between: it stays in the accumulator, and one psum leaves.
    assert psum_moves(problem, loops, 2).leaves() == 2 * (10**6 - 1)
    problem = matmul_problem(MatmulDims(1, 1, 2, 10**9, 2), 8, 8, 8, PsumScheme(8, 3))
    loops = (Loop("k", 1000), Loop("n", 1), Loop("k", 1), Loop("m", 1))
    moves = psum_moves(problem, loops, 2)
    # After 1000 i steps 1, 2 or 3 psums are live in turn, of each of 4 outputs.
    assert moves.leaves() == moves.returns() == 4 * ((10**6 - 1) // 3 * (1 + 2 + 3))


REGIMES = (
    *ORDERS, "adder_tree", "systolic", "pe_grid", "grown", "infeasible",
    "ifmap resident", "ifmap tiled", "ifmap refetched", "weight resident", "weight tiled", "weight refetched",
    "psum stays", "psum group stays", "psum spills through", "psum spills bypass",
)  # fmt: skip


def test_fixed_dataflows_equal_walk() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=2000, deadline=None, derandomize=True)
    @given(drawn(placed_case_of))
    def check(case: tuple[Problem, ArchSpec, Machine]) -> None:
        problem, spec, machine = case
        mapping = map_fixed(problem, machine, spec.mapping.spill)
        _check_placement(problem, spec, machine, mapping)
        if isinstance(mapping, Infeasible):
            seen["infeasible"] += 1
            return
        walked = walk(problem, mapping)
        order = [_order(problem, spec).index(loop.dim) for loop in mapping.loops]
        assert order == sorted(order)
        lanes = _lanes(problem, spec)
        assert walked.widest == {dim: min(extent, lanes.get(dim, 1)) for dim, extent in problem.extents}
        for operand, sram in buffers_of(machine).items():
            store = mapping.store(operand, sram.name)
            if store is not None:
                tiles = walked.nodes[operand, sram.name].tiles
                log = walked.nodes[operand, sram.name]
                one_slot = demand_bits(problem, sram, log, walked.nodes["output", "array"].most_visits)
                room = operand != "output" or 2 * one_slot <= sram.capacity_bits
                assert store.double_buffered == (tiles > 1 and room)
        stationary = {"weight_stationary": "weight", "input_stationary": "ifmap", "output_stationary": "output"}
        if spec.array.dataflow in stationary:
            assert walked.nodes[stationary[spec.array.dataflow], "array"].most_visits == 1
        found = _flow_table(problem, mapping, machine)
        assert found == walked_flows(problem, machine, walked)
        if spec.array.dataflow == "output_stationary":
            assert not any(operand == "psum" and action != "pass" for _, operand, action in found)
        seen.update(_regimes(problem, spec, machine, mapping, walked))

    check()
    assert all(seen[regime] >= 15 for regime in REGIMES), seen


def test_tiles_that_grow_along_one_loop_still_fit() -> None:
    """Alone, ifmap tiles would be 2 pixels and psum tiles 3; 2 within 3 would straddle two rows of pixels.

    Two pixels of a row share inputs and fill one word (6 values of 4 bits), two of different rows need two.
    """
    conv = ConvDims(2, 1, 1, 2, 8, 5, 3, 3, stride=(1, 2), padding=(0, 1), dilation=(2, 2))
    problem = conv_problem(conv, 4, 16, 16, PsumScheme(16), "flatten_crs")
    spec = arch({"kind": "systolic", "dataflow": "output_stationary", "rows": 1, "cols": 3}, latency_ns=10.0)
    machine = build_machine(spec)
    small = {"ifmap_buffer": 69, "weight_buffer": 128, "psum_buffer": 200}
    for name, bits in small.items():
        machine = machine.with_memory(dataclasses.replace(machine.memory(name), word_bits=32, capacity_bits=bits))
    mapping = map_fixed(problem, machine, spec.mapping.spill)
    assert isinstance(mapping, Mapping)
    _check_placement(problem, spec, machine, mapping)


# Closed forms, by hand: M = 8 rows, N = 12 columns on Po = Pci = Pco = 4, everything resident.
# dataflow, K, T, ifmap values read by the array, weight values read, psums written (= psums read)
HAND_COUNTED = (
    # WS: ifmap M K x ceil(12 / 4), weight K N, psums (T - 1) M N
    ("weight_stationary", 4, 1, 32 * 3, 48, 0),
    ("weight_stationary", 8, 2, 64 * 3, 96, 96),
    ("weight_stationary", 20, 5, 160 * 3, 240, 4 * 96),
    ("weight_stationary", 17, 5, 136 * 3, 204, 4 * 96),
    # IS: ifmap M K, weight K N x ceil(8 / 4), psums (T - 1) M N
    ("input_stationary", 4, 1, 32, 48 * 2, 0),
    ("input_stationary", 8, 2, 64, 96 * 2, 96),
    ("input_stationary", 20, 5, 160, 240 * 2, 4 * 96),
    ("input_stationary", 17, 5, 136, 204 * 2, 4 * 96),
    # OS: both read again for every output tile, no psums; with T = 1 a row of ifmap does not move
    ("output_stationary", 4, 1, 32, 48 * 2, 0),
    ("output_stationary", 8, 2, 64 * 3, 96 * 2, 0),
    ("output_stationary", 20, 5, 160 * 3, 240 * 2, 0),
    ("output_stationary", 17, 5, 136 * 3, 204 * 2, 0),
)
SCHEMES = (PsumScheme(32), *(PsumScheme(8, group_size) for group_size in (1, 2, 3, 4)))


def _values(problem: Problem, spec: ArchSpec) -> Counter[tuple[str, str, str]]:
    machine = build_machine(spec)
    mapping = map_fixed(problem, machine, spec.mapping.spill)
    assert isinstance(mapping, Mapping)
    return Counter({(f.block, f.operand, f.action): f.values for f in mac_flows(problem, mapping, machine)})


def _tree(dataflow: str, po: int, pci: int, pco: int, **more: str) -> dict[str, str | int]:
    return {"kind": "adder_tree", "dataflow": dataflow, "po": po, "pci": pci, "pco": pco, **more}


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
@pytest.mark.parametrize(("dataflow", "k", "visits", "ifmap", "weight", "psums"), HAND_COUNTED)
def test_closed_forms(
    dataflow: str, k: int, visits: int, ifmap: int, weight: int, psums: int, scheme: PsumScheme
) -> None:
    problem = matmul_problem(MatmulDims(1, 1, 8, k, 12), 8, 8, 8, scheme)
    spec = arch(_tree(dataflow, 4, 4, 4))
    values = _values(problem, spec)
    assert visits == math.ceil(k / 4)
    assert values["ifmap_buffer", "ifmap", "read"] == ifmap
    assert values["weight_buffer", "weight", "read"] == weight
    assert values["psum_buffer", "psum", "write"] == values["psum_buffer", "psum", "read"] == psums
    assert values["psum_buffer", "ofmap", "write"] == values["psum_buffer", "ofmap", "read"] == 96
    from_dram = {name: values["dram", name, "read"] for name in ("ifmap", "weight", "psum")}
    assert from_dram == {"ifmap": 8 * k, "weight": 12 * k, "psum": 0}
    assert (values["dram", "ofmap", "write"], values["dram", "psum", "write"]) == (96, 0)
    lossy = scheme.bits == 8 and psums > 0  # the engine requantises T times and reads back T - 1 times
    assert values["psum_engine", "psum", "requantise"] == (visits * 96 if lossy else 0)
    assert values["psum_engine", "psum", "dequantise"] == (psums if lossy else 0)


@pytest.mark.parametrize(("bits", "words_per_tile"), [(8, 2), (16, 4), (32, 8)])
def test_psum_words_follow_the_width(bits: int, words_per_tile: int) -> None:
    """T = 5: six 4 x 4 output tiles go out and back 4 times each, in 64-bit words."""
    problem = matmul_problem(MatmulDims(1, 1, 8, 20, 12), 8, 8, 8, PsumScheme(bits))
    machine = build_machine(arch(_tree("weight_stationary", 4, 4, 4)))
    mapping = map_fixed(problem, machine, "through")
    assert isinstance(mapping, Mapping)
    writes = [f for f in mac_flows(problem, mapping, machine) if (f.operand, f.action) == ("psum", "write")]
    assert [(f.block, f.count, f.bits_useful) for f in writes] == [("psum_buffer", 24 * words_per_tile, 384 * bits)]


@pytest.mark.parametrize(("rule", "visits"), [("flatten_crs", 7), ("channels_only", 9)])
def test_spatial_reduction_decides_visits(rule: str, visits: int) -> None:
    """3 x 3 x 3 = 27 products on 4 lanes: ceil(27 / 4), or 9 taps of ceil(3 / 4)."""
    conv = ConvDims(1, 1, 3, 4, 10, 10, 3, 3)
    problem = conv_problem(conv, 8, 8, 8, PsumScheme(32), "flatten_crs" if rule == "flatten_crs" else "channels_only")
    values = _values(problem, arch(_tree("weight_stationary", 4, 4, 4, spatial_reduction=rule)))
    assert values["psum_buffer", "psum", "write"] == (visits - 1) * 8 * 8 * 4


@pytest.mark.parametrize(
    ("bits", "group_size", "k_tiles", "spills"),
    [
        (8, 1, 5, False),  # 128 KiB
        (8, 2, 5, False),  # 256 KiB: just fits
        (16, 1, 5, False),  # 256 KiB
        (8, 3, 5, True),  # 384 KiB
        (8, 4, 5, True),  # 512 KiB
        (32, 1, 5, True),  # 512 KiB
        (8, 4, 3, False),  # T = 3: never more than 2 stored psums live
        (8, 4, 1, False),  # T = 1: no psums
    ],
)
@pytest.mark.parametrize(
    ("dataflow", "m", "n", "lanes"),
    [
        ("weight_stationary", 16384, 16, (16, 8, 8)),  # M x Pco = 16384 x 8 outputs live, N in two column folds
        ("weight_stationary", 4096, 64, (1, 32, 32)),  # 4096 x 32
        ("input_stationary", 32, 8192, (16, 8, 8)),  # Po x N = 16 x 8192
    ],
)
@pytest.mark.parametrize("spill", ["through", "bypass"])
def test_spill_arithmetic(
    dataflow: str, m: int, n: int, lanes: tuple[int, int, int], bits: int, group_size: int, k_tiles: int,
    spills: bool, spill: str,
) -> None:  # fmt: skip
    """131072 outputs are live at once; their psums meet a buffer of 256 KiB."""
    problem = matmul_problem(MatmulDims(1, 1, m, k_tiles * lanes[1], n), 8, 8, 8, PsumScheme(bits, group_size))
    values = _values(problem, arch(_tree(dataflow, *lanes), spill, latency_ns=100.0))
    once = (k_tiles - 1) * m * n
    sram = {(False, "through"): once, (False, "bypass"): once, (True, "through"): 2 * once, (True, "bypass"): 0}
    for action in ("write", "read"):
        assert values["dram", "psum", action] == (once if spills else 0)
        assert values["psum_buffer", "psum", action] == sram[spills, spill]
    assert values["dram", "ofmap", "write"] == m * n
