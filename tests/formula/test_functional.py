"""Executed ops: outputs against direct integer arithmetic and the APSQ recursion, accesses against the closed forms."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from accelsim.errors import UserError
from accelsim.functional import Execution, calibrate_scales, run
from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping.dataflow import map_fixed
from accelsim.mapping.nest import Loop, Mapping, Store
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.problem import OPERANDS, Problem, matmul_problem
from accelsim.mapping.traffic import mac_flows
from accelsim.program.mac import mac_program
from accelsim.schemes import PsumScales, PsumScheme
from accelsim.spec.models import ArchSpec
from accelsim.validate.walk import walk
from accelsim.workload.trace import MatmulDims
from tests.reference.cases import (
    arch,
    buffered_nest_of,
    chain_case_of,
    chained_nest_of,
    drawn,
    placed_case_of,
    spilled_group_of,
)
from tests.reference.integers import Ints, direct, tensors, tile_products
from tests.reference.psums import apsq

SMALL = 3
ROWS = dict[tuple[str, str, str], tuple[int, ...]]
Mapped = tuple[Problem, Mapping, Machine, random.Random]


def _counted(execution: Execution) -> ROWS:
    return {key: dataclasses.astuple(access) for key, access in execution.accesses.items()}


def _closed(problem: Problem, mapping: Mapping, machine: Machine) -> ROWS:
    flows = mac_flows(problem, mapping, machine)
    return {(f.block, f.operand, f.action): (f.count, f.values, f.bits_useful, f.bits_moved) for f in flows}


def _nest(build: Callable[[random.Random, int], tuple[Problem, Mapping, Machine]]) -> Callable[..., Mapped]:
    return lambda rng, size: (*build(rng, size), rng)


def _dataflow(build: Callable[[random.Random, int], tuple[Problem, ArchSpec, Machine]]) -> Callable[..., Mapped]:
    """The first drawn op that fits, as its array's fixed dataflow."""

    def mapped(rng: random.Random, size: int) -> Mapped:
        while True:
            problem, spec, machine = build(rng, size)
            mapping = map_fixed(problem, machine, spec.mapping.spill)
            if not isinstance(mapping, Infeasible):
                return problem, mapping, machine, rng

    return mapped


SOURCES = {
    "nests": (_nest(buffered_nest_of), 650),
    "chains": (_nest(chained_nest_of), 450),
    "dataflows": (_dataflow(placed_case_of), 650),
    "dataflows in chains": (_dataflow(chain_case_of), 350),
}
APSQ_SOURCES = {**{name: build for name, (build, _) in SOURCES.items()}, "groups": _nest(spilled_group_of)}


@pytest.mark.parametrize("source", SOURCES)
def test_lossless_psums(source: str) -> None:
    """Exactly the op, with exactly the accesses of the closed forms: 2,100 matmuls and convs."""
    build, cases = SOURCES[source]

    @settings(max_examples=cases, deadline=None, derandomize=True)
    @given(drawn(build))
    def check(case: Mapped) -> None:
        problem, mapping, machine, rng = case
        problem = dataclasses.replace(problem, psum=PsumScheme(rng.choice([16, 24, 32])))
        ifmap, weight, bias = tensors(problem, rng, SMALL)
        execution = run(problem, mapping, machine, ifmap, weight, bias)
        assert np.array_equal(execution.outputs, direct(problem, ifmap, weight, bias))
        assert _counted(execution) == _closed(problem, mapping, machine)

    check()


def _with_apsq(build: Callable[[random.Random, int], Mapped]) -> Callable[[random.Random, int], Mapped]:
    """An op with quantised psums, preferably one whose outputs leave the accumulator: drawn up to 50 times."""

    def drawn_case(rng: random.Random, size: int) -> Mapped:
        for _ in range(50):
            problem, mapping, machine, _ = build(rng, size)
            dims = [loop.dim for loop in mapping.loops]
            reducing = [at for at, dim in enumerate(dims) if dim in problem.reduction]
            if reducing and any(dim not in problem.reduction for dim in dims[reducing[0] :]):
                break
        scheme = PsumScheme(rng.choice([4, 4, 7, 8]), rng.randint(1, 4))
        return dataclasses.replace(problem, psum=scheme), mapping, machine, rng

    return drawn_case


def _recursion(problem: Problem, products: dict[tuple[int, ...], list[int]], shifts: tuple[int, ...]) -> Ints:
    conv, extent = problem.conv, dict(problem.extents)
    if conv is None:
        outputs = np.zeros([extent[dim] for dim in "bgmn"], np.int64)
    else:
        outputs = np.zeros((conv.n, conv.groups * conv.k, conv.p, conv.q), np.int64)
    for output, own in products.items():
        outputs[output] = apsq(own, shifts, problem.psum.bits, problem.psum.group_size)
    return outputs


def _with_bias(problem: Problem, outputs: Ints, bias: Ints | None) -> Ints:
    if bias is None:
        return outputs
    return outputs + (bias if problem.conv is None else bias.reshape(1, -1, 1, 1))


def _leaves_inside_a_group(problem: Problem, mapping: Mapping) -> bool:
    """Whether a memory holds an output during several of its visits, but not all: several psums may leave together."""
    logs = walk(problem, mapping, pes=False).nodes
    array = logs["output", "array"].visits
    return problem.psum.group_size > 1 and any(
        1 < visits < array[output]
        for (operand, level), log in logs.items()
        if operand == "output" and level != "array"
        for output, visits in log.visits.items()
    )


@pytest.mark.parametrize(("source", "cases"), [("nests", 400), ("chains", 300), ("dataflows", 300), ("groups", 1000)])
def test_apsq_psums(source: str, cases: int) -> None:
    """Bit for bit the recursion, saturated or not; the psum engine works and the psums move as counted."""
    seen: Counter[str] = Counter()

    @settings(max_examples=cases, deadline=None, derandomize=True)
    @given(drawn(_with_apsq(APSQ_SOURCES[source])))
    def check(case: Mapped) -> None:
        problem, mapping, machine, rng = case
        ifmap, weight, bias = tensors(problem, rng, rng.randint(1, SMALL))
        products = tile_products(problem, mapping, ifmap, weight)
        visits = max(map(len, products.values()))
        shifts = tuple(rng.randint(0, 3) for _ in range(visits))
        execution = run(problem, mapping, machine, ifmap, weight, bias, PsumScales(problem.psum, shifts))
        expected = _with_bias(problem, _recursion(problem, products, shifts), bias)
        assert np.array_equal(execution.outputs, expected)
        assert execution.psum_visits == visits
        assert _counted(execution) == _closed(problem, mapping, machine)
        group = problem.psum.group_size
        seen.update(
            {
                "leaves inside a group": _leaves_inside_a_group(problem, mapping),
                "one visit": visits == 1,
                "group of all": group >= visits > 1,
                "ragged group": visits > group > 1 and (visits - 1) % group > 0,
                "several groups": group > 1 and visits > 2 * group,
                "saturated": execution.saturated_psums > 0,
                "exact": execution.saturated_psums == 0 and bool((execution.outputs != 0).any()),
                f"gs {group}": True,
            }
        )

    check()
    wanted = [
        "group of all",
        "ragged group",
        "several groups",
        "saturated",
        "exact",
        *(f"gs {gs}" for gs in range(1, 5)),
        *(["leaves inside a group"] if source == "groups" else []),
    ]
    assert all(seen[name] >= 10 for name in wanted), seen


def test_calibrated_scales() -> None:
    """Nothing saturates, and no shift could be smaller."""
    lowered = 0

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(drawn(_with_apsq(SOURCES["nests"][0])))
    def check(case: Mapped) -> None:
        nonlocal lowered
        problem, mapping, machine, rng = case
        samples = [tensors(problem, rng, SMALL) for _ in range(rng.randint(1, 2))]
        _, weight, bias = samples[0]
        ifmaps = [ifmap for ifmap, _, _ in samples]

        def saturated(shifts: tuple[int, ...]) -> int:
            scales = PsumScales(problem.psum, shifts)
            return sum(run(problem, mapping, machine, ifmap, weight, bias, scales).saturated_psums for ifmap in ifmaps)

        shifts = calibrate_scales(problem, mapping, machine, ifmaps, weight).shifts
        visits = run(problem, mapping, machine, ifmaps[0], weight, bias, PsumScales(problem.psum, shifts)).psum_visits
        assert len(shifts) == (visits if visits > 1 else 0)
        assert saturated(shifts) == 0
        for step, shift in enumerate(shifts):
            if shift:
                lowered += 1
                # Later steps cannot take blame: a large shift there saturates nothing.
                assert saturated((*shifts[:step], shift - 1, *(20 for _ in shifts[step + 1 :]))) > 0

    check()
    assert lowered >= 100


@settings(max_examples=150, deadline=None, derandomize=True)
@given(drawn(SOURCES["dataflows"][0]))
def test_zero_point_is_taken_out_again(case: Mapped) -> None:
    """ifmap - zero point, with zero padding, is what is multiplied: the correction comes after the last step."""
    problem, mapping, machine, rng = case
    columns = dict(problem.extents)[problem.column] * (problem.conv.groups if problem.conv else 1)
    problem = dataclasses.replace(problem, psum=PsumScheme(24), bias_values=columns)
    ifmap, weight, bias = tensors(problem, rng, SMALL)
    zero_point = rng.randint(-SMALL, SMALL)
    execution = run(problem, mapping, machine, ifmap, weight, bias, ifmap_zero_point=zero_point)
    assert np.array_equal(execution.outputs, direct(problem, ifmap - zero_point, weight, bias))
    assert _counted(execution) == _closed(problem, mapping, machine)


MATMUL = matmul_problem(MatmulDims(1, 1, 8, 20, 12), 8, 8, 8, PsumScheme(32))


def _run(problem: Problem, ifmap: Ints, weight: Ints, **more: Any) -> Execution:
    """On 4 x 4 x 4 lanes, weight stationary: K = 20 takes T = 5 visits of 4 products each."""
    machine = build_machine(arch({"kind": "adder_tree", "dataflow": "weight_stationary", "po": 4, "pci": 4, "pco": 4}))
    mapping = map_fixed(problem, machine, "through")
    assert isinstance(mapping, Mapping)
    return run(problem, mapping, machine, ifmap, weight, name="encoder.query", **more)


def _full(ifmap: int = 1, weight: int = 1) -> tuple[Ints, Ints]:
    return np.full((1, 1, 8, 20), ifmap), np.full((1, 20, 12), weight)


# Tp = 4 x 9 x 7 = 252 at each of the five steps; q of 8 bits, within +-127
HAND_EXECUTED = (
    # gs, shifts, output: t, q by step
    (1, (1, 2, 3, 3, 4), 1264),  # 252, 126 | 504, 126 | 756, 94.5 -> 95 | 760 + 252, 126.5 -> 127 | 1016 + 252, 79.25
    (2, (1, 1, 3, 1, 4), 1264),  # 126 | 126 | 756, 95 | 252, 126 | 760 + 252 + 252, 79
    (4, (1, 1, 1, 1, 4), 1264),  # 126 four times | 5 x 252 = 1260, 78.75 -> 79
    (4, (0, 1, 1, 1, 4), 1136),  # 127 (saturated) | 126 three times | 127 + 756 + 252 = 1135, 70.9 -> 71
)


@pytest.mark.parametrize(("group_size", "shifts", "output"), HAND_EXECUTED)
def test_apsq_by_hand(group_size: int, shifts: tuple[int, ...], output: int) -> None:
    scheme = PsumScheme(8, group_size)
    execution = _run(dataclasses.replace(MATMUL, psum=scheme), *_full(9, 7), scales=PsumScales(scheme, shifts))
    assert execution.psum_visits == 5
    assert (execution.outputs == output).all()
    assert execution.saturated_psums == (96 if shifts[0] == 0 else 0)


def test_negative_halves_round_up() -> None:
    """Tp = -3 at every step: -1.5 rounds to -1, as an adder and an arithmetic shift do it."""
    scheme = PsumScheme(8)
    ifmap, weight = _full(0, 1)
    ifmap[..., ::4] = -3
    execution = _run(
        dataclasses.replace(MATMUL, psum=scheme), ifmap, weight, scales=PsumScales(scheme, (1, 1, 1, 1, 1))
    )
    # -3 -> -1 (= -2) | -5 -> -2 (= -4) | -7 -> -3 (= -6) | -9 -> -4 (= -8) | -11 -> -5 (= -10)
    assert (execution.outputs == -10).all()


@pytest.mark.parametrize(("bits", "fits"), [(18, False), (19, True)])
def test_a_sum_too_wide_for_the_accumulator_is_an_error(bits: int, fits: bool) -> None:
    """20 x 127 x 100 = 254000 takes 19 bits; nothing wraps."""
    problem = dataclasses.replace(MATMUL, psum=PsumScheme(bits))
    if fits:
        assert (_run(problem, *_full(127, 100)).outputs == 254000).all()
        return
    with pytest.raises(UserError, match=r"(?s)encoder.query: psum.bits: its partial sums need 19 bits, 18 hold them"):
        _run(problem, *_full(127, 100))


def test_a_psum_that_overflows_on_the_way_is_an_error() -> None:
    """The first step stands at 4 x 128 x 128 = 2^16, one more than 17 bits hold; later ones bring it back."""
    ifmap, weight = _full(-128, -128)
    ifmap[..., 4:8] = 127
    ifmap[..., 8:] = 0
    with pytest.raises(UserError, match="need 18 bits, 17 hold them"):
        _run(dataclasses.replace(MATMUL, psum=PsumScheme(17)), ifmap, weight)
    assert (_run(dataclasses.replace(MATMUL, psum=PsumScheme(18)), ifmap, weight).outputs == 512).all()


def test_most_negative_sum_fits() -> None:
    ifmap, weight = _full(0, -128)
    ifmap[..., :2] = 127
    ifmap[..., 2] = 2
    assert (_run(dataclasses.replace(MATMUL, psum=PsumScheme(16)), ifmap, weight).outputs == -(2**15)).all()


def _mistake(what: str) -> tuple[Problem, dict[str, Any]]:
    apsq_8 = dataclasses.replace(MATMUL, psum=PsumScheme(8, 2))
    ifmap, weight = _full()
    good: dict[str, Any] = {"ifmap": ifmap, "weight": weight}
    return {
        "shape": (MATMUL, good | {"weight": weight[0]}),
        "floats": (MATMUL, good | {"ifmap": ifmap / 2}),
        "width": (MATMUL, good | {"ifmap": ifmap * 300}),
        "bias given": (MATMUL, good | {"bias": np.zeros(12, int)}),
        "bias missing": (dataclasses.replace(MATMUL, bias_values=12), good),
        "bias by row": (dataclasses.replace(MATMUL, bias_values=96), good | {"bias": np.zeros(96, int)}),
        "zero point": (MATMUL, good | {"ifmap_zero_point": 1}),
        "no scales": (apsq_8, good),
        "few scales": (apsq_8, good | {"scales": PsumScales(apsq_8.psum, (0,) * 4)}),
        "many scales": (apsq_8, good | {"scales": PsumScales(apsq_8.psum, (0,) * 6)}),
        "other scales": (apsq_8, good | {"scales": PsumScales(PsumScheme(8, 3), (0,) * 5)}),
        "no engine": (dataclasses.replace(MATMUL, psum=PsumScheme(6)), good),
        "wide psums": (dataclasses.replace(MATMUL, psum=PsumScheme(40)), good),
        "k tile": (dataclasses.replace(MATMUL, psum=PsumScheme(32, 1, 8)), good),
        "wide outputs": (
            dataclasses.replace(MATMUL, bias_values=12), good | {"bias": np.full(12, 2**31 - 20)}
        ),
        "bias width": (dataclasses.replace(MATMUL, bias_values=12), good | {"bias": np.full(12, 2**32)}),
    }[what]  # fmt: skip


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("shape", r"weight: shape \[20, 12\]\n.*give \[1, 20, 12\]"),
        ("floats", "ifmap: numbers of type float64"),
        ("width", "ifmap: numbers from 300 to 300\n.*its 8 bits"),
        ("bias given", "bias: a bias, and the problem has none"),
        ("bias missing", "bias: no bias\n.*12 numbers"),
        ("bias by row", "bias: 96 values for 12 columns"),
        ("zero point", "ifmap_zero_point: 1 without a bias"),
        ("no scales", "scales: psums of 8 bits without scales"),
        ("few scales", "scales: scales of 4 steps; the mapping has 5"),
        ("many scales", "scales: scales of 6 steps; the mapping has 5"),
        ("other scales", "scales of PsumScheme.bits=8, group_size=3"),
        ("no engine", "psum_engine takes bits 4, 7, 8"),
        ("wide psums", "use at most array.accumulator_bits, 32"),
        ("k tile", "psum.k_tile: psums that leave after 4 products, not 8, at step 0"),
        ("wide outputs", "its outputs with bias and zero-point correction need 33 bits"),
        ("bias width", "bias: numbers from 4294967296"),
    ],
)
def test_mistakes_are_named(what: str, told: str) -> None:
    problem, tensors_and_scales = _mistake(what)
    with pytest.raises(UserError, match=f"(?s){told}"):
        _run(problem, **tensors_and_scales)


def test_k_tile_that_the_mapping_keeps_runs() -> None:
    assert (_run(dataclasses.replace(MATMUL, psum=PsumScheme(32, 1, 4)), *_full()).outputs == 20).all()


def test_a_group_leaves_its_memory_whole() -> None:
    """Psums of steps 0, 1 wait in the buffer for step 3; the buffer's tile leaves in between with both.

    K = 4 in two visits of the buffer of two steps each (gs = 4): DRAM takes both psums of each of 3 x 1
    outputs, twice, and gives them back for step 3.
    """
    problem = matmul_problem(MatmulDims(1, 1, 3, 4, 2), 8, 8, 8, PsumScheme(8, 4))
    machine = build_machine(arch({"kind": "adder_tree", "dataflow": "weight_stationary", "po": 1, "pci": 1, "pco": 1}))
    ends = [Store("ifmap", "ifmap_buffer"), Store("weight", "weight_buffer")]
    arrays = [Store(operand, "array") for operand in OPERANDS]
    loops = [Loop("k", 2), Loop("n", 1), Store("output", "psum_buffer"), Loop("k", 1), Loop("m", 1)]
    mapping = Mapping((*ends, *loops, *arrays))
    ones = np.ones((1, 1, 3, 4), int), np.ones((1, 4, 2), int)
    execution = run(problem, mapping, machine, *ones, scales=PsumScales(problem.psum, (0, 0, 0, 0)))
    assert (execution.outputs == 4).all()
    for action in ("write", "read"):
        assert execution.accesses["dram", "psum", action].values == 2 * 6
        assert execution.accesses["psum_buffer", "psum", action].values == 3 * 6 + 2 * 6
    assert _counted(execution) == _closed(problem, mapping, machine)
    moved = {queue.name: queue.bits.tolist() for queue in mac_program(problem, mapping, machine).program.queues}
    assert moved["store"] == [2 * 3 * 8, 2 * 3 * 8, 3 * 8, 3 * 8]
    assert moved["load_psum"] == [0, 0, 2 * 3 * 8, 2 * 3 * 8]


@pytest.mark.parametrize(
    ("group_size", "stay", "stores", "loads"),
    [
        (1, 3, [1, 1], [1, 1]),  # one psum is live at a time
        (4, 1, [1, 1, 1, 1, 1], [0, 0, 0, 4, 1]),  # 0..3 wait above until step 4 takes them, 4 until step 5
        (4, 3, [3, 2], [3, 2]),  # 0, 1, 2 leave and come for step 4; 4, 5 for step 8
        (3, 4, [1, 2], [1, 2]),  # step 3 has taken 0, 1, 2; 3 leaves and comes for 6; 6, 7 for 9
        (4, 2, [2, 2, 2], [0, 4, 2]),  # 0..3 for step 4; 4, 5 for step 7
    ],
)
def test_psums_come_back_when_they_are_taken(group_size: int, stay: int, stores: list[int], loads: list[int]) -> None:
    """One column of 2 outputs stays in the buffer for `stay` steps at a time; psums per output and stay, by hand."""
    k = stay * (len(stores) + 1)
    problem = matmul_problem(MatmulDims(1, 1, 2, k, 2), 8, 8, 8, PsumScheme(8, group_size))
    machine = build_machine(arch({"kind": "adder_tree", "dataflow": "weight_stationary", "po": 1, "pci": 1, "pco": 1}))
    inner = [Loop("k", 1)] if stay > 1 else []
    loops = [Loop("k", stay), Loop("n", 1), Store("output", "psum_buffer"), *inner, Loop("m", 1)]
    ends = [Store("ifmap", "ifmap_buffer"), Store("weight", "weight_buffer")]
    mapping = Mapping((*ends, *loops, *(Store(operand, "array") for operand in OPERANDS)))
    scales = PsumScales(problem.psum, (0,) * k)
    ones = np.ones((1, 1, 2, k), int), np.ones((1, k, 2), int)
    assert _counted(run(problem, mapping, machine, *ones, scales=scales)) == _closed(problem, mapping, machine)
    moved = {queue.name: queue.bits for queue in mac_program(problem, mapping, machine).program.queues}
    assert (moved["store"].reshape(-1, 2) == 16 * np.array([*stores, 1])[:, None]).all()
    assert (moved["load_psum"].reshape(-1, 2) == 16 * np.array([0, *loads])[:, None]).all()
