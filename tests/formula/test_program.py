"""A program moves exactly the bits that the closed form counts, and always runs to its end."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import load_arch, load_trace, timing
from accelsim.engine.engine import Timeline, run
from accelsim.hardware.adder_tree import AdderTree
from accelsim.hardware.machine import build_machine
from accelsim.mapping.dataflow import map_fixed
from accelsim.mapping.lower import MacWork, lower
from accelsim.mapping.nest import Loop, Mapping, Store, chunk_count, without_single_trips
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.problem import OPERANDS, matmul_problem
from accelsim.mapping.traffic import Flow, mac_flows
from accelsim.mapping.vector import VectorProblem
from accelsim.program.mac import mac_program
from accelsim.program.vector import vector_program
from accelsim.schemes import PsumScheme
from accelsim.workload.trace import MatmulDims
from tests.reference.cases import arch, drawn, machine_of, placed_case_of


def bits(flows: tuple[Flow, ...], operands: tuple[str, ...], action: str) -> int:
    return sum(
        flow.bits_useful
        for flow in flows
        if flow.block == "dram" and flow.operand in operands and flow.action == action
    )


@settings(max_examples=500, deadline=None, derandomize=True)
@given(drawn(placed_case_of))
def test_instructions_move_the_counted_bits(case: tuple) -> None:  # type: ignore[type-arg]
    problem, spec, machine = case
    mapping = map_fixed(problem, machine, spec.mapping.spill)
    if isinstance(mapping, Infeasible):
        return
    flows = mac_flows(problem, mapping, machine)
    program = mac_program(problem, mapping, machine).program
    moved = {queue.name: int(queue.bits.sum()) for queue in program.queues}
    assert moved["load_ifmap"] == bits(flows, ("ifmap",), "read")
    assert moved["load_weight"] == bits(flows, ("weight", "bias"), "read")
    assert moved.get("load_psum", 0) == bits(flows, ("psum",), "read")
    assert moved["store"] == bits(flows, ("psum", "ofmap"), "write")


def arrivals(queue: str, operand_full: str, timeline: Timeline) -> list[tuple[int, int]]:
    """(start of the array instruction that takes a tile, finish of the transfer that brought it)."""
    names = [queue.name for queue in timeline.program.queues]
    takes = next(use for use in timeline.program.queues[names.index("array")].waits if use.channel == operand_full)
    starts = timeline.start_fs[names.index("array")][takes.count > 0]
    return list(zip(starts.tolist(), timeline.finish_fs[names.index(queue)].tolist(), strict=True))


@settings(max_examples=500, deadline=None, derandomize=True)
@given(drawn(placed_case_of))
def test_every_program_ends_and_nothing_is_used_before_it_is_there(case: tuple) -> None:  # type: ignore[type-arg]
    problem, spec, machine = case
    mapping = map_fixed(problem, machine, spec.mapping.spill)
    if isinstance(mapping, Infeasible):
        return
    mac = mac_program(problem, mapping, machine)
    timeline = run(mac.program)
    assert timeline.deadlock == ()
    assert all((start >= 0).all() for start in timeline.start_fs)
    queues = {queue.name for queue in mac.program.queues}
    for queue, full in (("load_ifmap", "ifmap_full"), ("load_weight", "weight_full"), ("load_psum", "psum_full")):
        if queue in queues:
            assert all(start >= arrived for start, arrived in arrivals(queue, full, timeline))
    assert mac.work.macs == problem.macs
    assert mac.work.lane_macs >= problem.macs
    if isinstance(machine.array, AdderTree):
        pieces = 1
        for dim, extent in problem.extents:
            pieces *= chunk_count(extent, dim, mapping.loops)
        assert mac.work.compute_cycles == pieces + mac.work.cycles.size * machine.array.pipeline_stages
        assert mac.work.lane_macs == pieces * machine.peak_macs_per_cycle


@settings(max_examples=300, deadline=None, derandomize=True)
@given(drawn(placed_case_of))
def test_the_estimate_of_endless_programs(case: tuple) -> None:  # type: ignore[type-arg]
    """Optimistic: waiting is left out. (A bias shares its first burst with the weight, so none here.)"""
    problem, spec, machine = case
    problem = dataclasses.replace(problem, bias_values=0)
    mapping = map_fixed(problem, machine, spec.mapping.spill)
    if isinstance(mapping, Infeasible):
        return
    flows = mac_flows(problem, mapping, machine)
    whole, estimate = (find(problem, mapping, flows, machine) for find in (timing.time_mac, timing.estimate_mac))
    assert estimate.makespan_fs <= 1.05 * whole.makespan_fs + 2 * machine.dram.latency_fs
    assert (estimate.macs, estimate.lane_macs) == (whole.macs, whole.lane_macs)


@pytest.mark.parametrize(("workload", "within"), [("matmul:256x1024x1024", 0.03), ("matmul:512x3072x768", 0.03)])
@pytest.mark.parametrize("arch", ["apsq_edge_ws", "apsq_edge_os", "systolic_32x32"])
def test_the_estimate_of_ordinary_layers(arch: str, workload: str, within: float) -> None:
    spec = load_arch(arch)
    (phase,) = load_trace(workload).phases
    tensors = load_trace(workload).tensor_by_id()
    machine = build_machine(spec)
    work = lower(phase.ops[0], tensors, machine)
    assert isinstance(work, MacWork)
    mapping = map_fixed(work.problem, machine, "through")
    assert not isinstance(mapping, Infeasible)
    flows = mac_flows(work.problem, mapping, machine)
    whole = timing.time_mac(work.problem, mapping, flows, machine)
    estimate = timing.estimate_mac(work.problem, mapping, flows, machine)
    assert estimate.makespan_fs == pytest.approx(whole.makespan_fs, rel=within)


def test_long_programs_are_timed_by_their_period(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[float] = []

    @settings(max_examples=1500, deadline=None, derandomize=True)
    @given(drawn(placed_case_of))
    def check(case: tuple) -> None:  # type: ignore[type-arg]
        problem, spec, machine = case
        mapping = map_fixed(problem, machine, spec.mapping.spill)
        if isinstance(mapping, Infeasible):
            return
        flows = mac_flows(problem, mapping, machine)
        monkeypatch.setattr(timing, "FULL_STEPS", timing.MAX_STEPS)
        whole = timing.time_mac(problem, mapping, flows, machine)
        monkeypatch.setattr(timing, "FULL_STEPS", 0)
        periodic = timing.time_mac(problem, mapping, flows, machine)
        exact = dataclasses.asdict(whole)
        for name in ("compute_cycles", "unit_cycles", "dram_bits", "macs", "lane_macs"):
            assert dataclasses.asdict(periodic)[name] == exact[name]
        assert [use.busy_fs for use in periodic.resources] == [use.busy_fs for use in whole.resources]
        for found in (whole, periodic, timing.estimate_mac(problem, mapping, flows, machine)):
            waited = [fs for _, fs in found.stalls]
            assert sum(waited) == found.makespan_fs - found.compute_cycles * machine.period_fs
            assert min(waited) >= 0
        compared.append(periodic.makespan_fs / whole.makespan_fs - 1)

    check()
    assert max(abs(error) for error in compared) < 0.01
    inexact = sum(error != 0 for error in compared)
    assert inexact < len(compared) / 20  # nearly always the period is exact


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(1, 50), st.sampled_from([4, 8, 16, 32]))
def test_vector_programs_move_what_they_hold(seed: int, rows: int, cols: int, width: int) -> None:
    _, machine = machine_of(random.Random(seed))
    elements = rows * cols
    problem = VectorProblem(
        "softmax", "softmax", rows, cols, (("ifmap", elements, width),), (("ofmap", elements, width),)
    )
    work = problem.work
    assert work is not None
    vector = vector_program(problem, work, machine)
    load, compute, store = vector.program.queues
    timeline = run(vector.program)
    assert int(load.bits.sum()) == int(store.bits.sum()) == elements * width
    assert timeline.deadlock == ()
    lanes, lookups = problem.operations(work)
    assert (lanes, lookups) == (4 * elements, elements + rows)
    assert vector.compute_cycles >= max(lanes // machine.vector_unit.lanes, lookups // machine.lut_unit.lanes)
    assert len(load) == len(compute) == len(store)


@pytest.mark.parametrize("group_size", [1, 2, 3, 4])
def test_periods_of_a_reduction_hold_whole_groups(group_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Psums come back at the end of a group: trips of an outermost reduction differ within it, groups do not."""
    rng, methods = random.Random(group_size), Counter[str]()
    machine = build_machine(arch({"kind": "adder_tree", "dataflow": "weight_stationary", "po": 1, "pci": 1, "pco": 1}))
    for _ in range(100):
        m, k, n = rng.randint(1, 5), rng.randint(100, 400), rng.randint(2, 5)
        problem = matmul_problem(MatmulDims(1, 1, m, k, n), 8, 8, 8, PsumScheme(8, group_size))
        outer = rng.randint(1, 9)
        nodes = (
            Loop("k", outer), Loop("n", rng.randint(1, n - 1)),
            *(Store(operand, machine.chain(operand)[-1].name) for operand in OPERANDS),
            Loop("k", rng.randint(1, outer)), Loop("m", 1), Loop("n", 1),
            *(Store(operand, "array") for operand in OPERANDS),
        )  # fmt: skip
        mapping = Mapping(without_single_trips(nodes, problem))
        flows = mac_flows(problem, mapping, machine)
        monkeypatch.setattr(timing, "FULL_STEPS", timing.MAX_STEPS)
        whole = timing.time_mac(problem, mapping, flows, machine)
        monkeypatch.setattr(timing, "FULL_STEPS", 0)
        periodic = timing.time_mac(problem, mapping, flows, machine)
        assert whole.dram_bits == bits(flows, ("ifmap", "weight", "psum"), "read") + bits(
            flows, ("psum", "ofmap"), "write"
        )
        assert (periodic.dram_bits, periodic.macs) == (whole.dram_bits, whole.macs)
        assert periodic.makespan_fs == pytest.approx(whole.makespan_fs, rel=1e-3)
        methods[periodic.method] += 1
    assert methods["periodic"] >= 50, methods
