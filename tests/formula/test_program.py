"""A program moves exactly the bits that the closed form counts, and always runs to its end."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.engine.engine import run
from accelsim.hardware.adder_tree import AdderTree
from accelsim.mapping.dataflow import map_fixed
from accelsim.mapping.nest import Loop, chunk_count
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


@settings(max_examples=500, deadline=None, derandomize=True)
@given(drawn(placed_case_of))
def test_every_program_ends_and_respects_its_bounds(case: tuple) -> None:  # type: ignore[type-arg]
    problem, spec, machine = case
    mapping = map_fixed(problem, machine, spec.mapping.spill)
    if isinstance(mapping, Infeasible):
        return
    mac = mac_program(problem, mapping, machine)
    timeline = run(mac.program)
    assert timeline.deadlock == ()
    assert all((start >= 0).all() for start in timeline.start_fs)
    assert timeline.makespan_fs >= max(use.busy_fs for use in timeline.resources)
    assert (mac.work.cycles >= mac.work.compute_cycles).all()
    assert mac.work.compute_cycles.sum() * machine.peak_macs_per_cycle >= problem.macs
    if isinstance(machine.array, AdderTree):
        pieces = 1
        for dim, extent in problem.extents:
            pieces *= chunk_count(extent, dim, [node for node in mapping.nodes if isinstance(node, Loop)])
        instructions = mac.work.cycles.size
        assert mac.work.compute_cycles.sum() == pieces + instructions * machine.array.pipeline_stages


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
    assert int(compute.busy_fs.sum()) >= vector.compute_cycles * machine.period_fs
