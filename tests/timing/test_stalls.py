"""Why the array waited: counted by hand on small programs, summed and recomputed on random ones."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import load_arch, load_trace, simulate
from accelsim.engine.engine import Stall, run
from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping.dataflow import map_fixed
from accelsim.mapping.nest import Mapping, Store
from accelsim.mapping.placement import Infeasible
from accelsim.program.mac import mac_program
from accelsim.program.program import Channel, Program, Resource
from accelsim.stalls import REASONS, apportioned, extrapolated, stalls_fs
from tests.reference.waits import waits_of
from tests.timing.test_engine import _double_buffer, _queue, _random_program
from tests.timing.test_hand_timing import MATMUL, NS, spec


def single(mapping: Mapping, operand: str) -> Mapping:
    """One slot for the operand's tiles instead of two."""
    nodes = (
        dataclasses.replace(node, double_buffered=False)
        if isinstance(node, Store) and node.operand == operand
        else node
        for node in mapping.nodes
    )
    return Mapping(tuple(nodes))


def cycles(machine: Machine, one_slot: str = "") -> tuple[int, dict[str, int]]:
    """Makespan of MATMUL, and its stalls beside the 8 cycles of the array."""
    mapping = map_fixed(MATMUL, machine, "through")
    assert not isinstance(mapping, Infeasible)
    program = mac_program(MATMUL, single(mapping, one_slot), machine)
    timeline = run(program.program)
    assert program.work.compute_cycles == 8
    stalls = stalls_fs(timeline, 8 * NS)
    return timeline.makespan_fs // NS, {reason: fs // NS for reason, fs in stalls if fs}


def test_waiting_for_dram() -> None:
    # array (24, 28), (32, 36), stores until 48: 24 for the first tiles, 4 for the second weight, 12 at the end.
    assert cycles(build_machine(spec(1.0))) == (48, {"dram": 40})


def test_a_slow_port_is_not_the_drams_fault() -> None:
    # array (3, 9), (9, 15), last store until 16: 2 + 2 cycles of port, 3 at the start and 1 at the end.
    assert cycles(build_machine(spec(8.0, psum_port_bits=64))) == (16, {"dram": 4, "buffer port": 4})


def test_one_slot_makes_a_transfer_wait_for_the_array() -> None:
    # weight 0 (16, 24), array (24, 28), weight 1 (28, 36), array (36, 40), stores (36, 44), (44, 52). With a
    # second slot weight 1 comes at 24 and the array waits 4 instead of 8: those 4 are the slot's.
    assert cycles(build_machine(spec(1.0)), "weight") == (52, {"dram": 40, "array busy": 4})


def test_one_output_slot_makes_the_array_wait_for_a_store() -> None:
    # weight 1 until 32, store (32, 40), array (40, 44), store (44, 52): 12 cycles for the slot, 24 + 8 for DRAM.
    assert cycles(build_machine(spec(1.0)), "output") == (52, {"dram": 32, "dependency": 12})


def test_a_psum_is_stored_before_it_is_loaded_again() -> None:
    """array (0, 4), store (4, 7), load_psum (7, 9), array (9, 13), store (13, 16): 3 for the store, 2 for the load."""
    load = _queue("load_psum", [0, 2], ("dram",), waits={"psum_stored": (0, 1)}, signals={"psum_full": (1, 1)})
    array = _queue("array", [4, 4], ("array",), waits={"psum_full": (1, 1)}, signals={"output_full": (1, 1)})
    store = _queue("store", [3, 3], ("dram",), waits={"output_full": (1, 1)}, signals={"psum_stored": (1, 0)})
    channels = (
        Channel("psum_full", "load_psum", "array"),
        Channel("output_full", "array", "store"),
        Channel("psum_stored", "store", "load_psum"),
    )
    timeline = run(Program((load, array, store), (Resource("dram"), Resource("array")), channels))
    assert timeline.makespan_fs == 16
    assert dict(stalls_fs(timeline, 8)) == {"dram": 2 + 3, "array busy": 0, "buffer port": 0, "dependency": 3}


def test_a_slot_costs_what_a_second_one_saves() -> None:
    """One slot: 14, two: 11. Of the array's waits, 3 at the start and 3 before C1, the second are the slot's."""
    assert [stall for stall in run(_double_buffer(1)).stalls if stall.resource == "array"] == [
        Stall("array", "load", "free", 3),
        Stall("array", "array", "full", 3),
    ]
    assert run(_double_buffer(2)).stalls == (Stall("array", "array", "full", 3),)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.integers(0, 2**48), st.sampled_from(range(1, 9)))
def test_random_programs(seed: int, size: int) -> None:
    timeline = run(_random_program(seed, size))
    found = {(stall.resource, stall.queue, stall.channel): stall.waited_fs for stall in timeline.stalls}
    single_servers = {resource.name for resource in timeline.program.resources if resource.capacity == 1}
    for use in timeline.resources:
        if use.name in single_servers:
            assert sum(fs for (name, *_), fs in found.items() if name == use.name) == use.stalled_fs
    assert {key: fs for key, fs in found.items() if key[0] in single_servers} == waits_of(timeline)


def test_parts_of_a_whole() -> None:
    parts = (("dram", 5), ("array busy", 3), ("buffer port", 0), ("dependency", 2))
    assert apportioned(parts, 7) == (("dram", 4), ("array busy", 2), ("buffer port", 0), ("dependency", 1))
    assert apportioned((("dram", 0), ("array busy", 0)), 0) == (("dram", 0), ("array busy", 0))
    before = (("dram", 5), ("array busy", 1), ("buffer port", 0), ("dependency", 1))
    assert [fs for _, fs in extrapolated(parts, before, 10)] == [5, 23, 0, 12]
    # 5, -1, 0 and 0 it would be, 4 altogether: 4/7 of 5, 1, 0 and 1.
    assert [fs for _, fs in extrapolated(before, parts, 1)] == [3, 1, 0, 0]


@pytest.mark.parametrize(
    ("arch", "workload"), [("apsq_edge_is", "segformer_b0"), ("apsq_llm_ws", "matmul:512x4096x4096")]
)
def test_every_stall_cycle_has_a_reason(arch: str, workload: str) -> None:
    report = simulate(load_arch(arch), load_trace(workload))
    for op in report.ops:
        assert tuple(reason for reason, _ in op.stalls) == REASONS
        assert sum(waited for _, waited in op.stalls) == op.cycles - op.compute_cycles
        assert all(waited >= 0 for _, waited in op.stalls)
