"""A program moves exactly the bits that the closed form counts, and always runs to its end."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import timing
from accelsim.engine.engine import Timeline, run
from accelsim.hardware.adder_tree import AdderTree
from accelsim.mapping.dataflow import map_fixed
from accelsim.mapping.nest import chunk_count
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.traffic import Flow, mac_flows
from accelsim.mapping.vector import VectorProblem
from accelsim.program.mac import mac_program
from accelsim.program.vector import vector_program
from tests.reference.cases import drawn, machine_of, placed_case_of


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
def test_the_bound_of_endless_programs_is_below_their_time(case: tuple) -> None:  # type: ignore[type-arg]
    problem, spec, machine = case
    mapping = map_fixed(problem, machine, spec.mapping.spill)
    if isinstance(mapping, Infeasible):
        return
    whole = timing.time_mac(problem, mapping, mac_flows(problem, mapping, machine), machine)
    if isinstance(machine.array, AdderTree) and machine.array.pipeline_stages == 0:
        alone = timing.whole_work(problem, mapping, machine)
        assert alone.macs == whole.macs
        assert alone.lane_macs == whole.lane_macs
        assert alone.compute_cycles <= whole.compute_cycles


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
        compared.append(periodic.makespan_fs / whole.makespan_fs - 1)

    check()
    assert max(abs(error) for error in compared) < 0.01
    trips = sum(error != 0 for error in compared)
    assert trips < len(compared) / 20  # nearly always the period is exact


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
