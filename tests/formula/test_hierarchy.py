"""Memories in levels, shared and passed by: counts and placement against the brute-force walk."""

from __future__ import annotations

import dataclasses
import random
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import timing
from accelsim.engine.engine import run
from accelsim.hardware.machine import Machine
from accelsim.hardware.systolic import Systolic
from accelsim.mapping.dataflow import map_fixed
from accelsim.mapping.fit import misfit
from accelsim.mapping.nest import Mapping, Store
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.problem import OPERANDS, OperandName, Problem
from accelsim.mapping.traffic import mac_flows, stored_chain
from accelsim.mapping.vector import VectorProblem, vector_flows
from accelsim.program.mac import MacProgram, mac_program
from accelsim.program.vector import vector_program
from accelsim.spec.models import ArchSpec
from accelsim.validate.walk import Walk, walk
from accelsim.validate.walked_flows import Key, Numbers, demand_bits, psum_transfers, walked_flows
from tests.formula.test_counts import probe
from tests.reference.cases import chain_case_of, chain_machine_of, chained_nest_of, drawn, spilled_group_of


def _flow_table(problem: Problem, mapping: Mapping, machine: Machine) -> dict[Key, Numbers]:
    flows = mac_flows(problem, mapping, machine)
    found = {(f.block, f.operand, f.action): (f.count, f.values, f.bits_useful, f.bits_moved) for f in flows}
    assert len(found) == len(flows)
    return found


def test_flows_over_chains_of_memories_equal_walk() -> None:
    """One to three levels, memories shared or not, passed by or not."""
    seen: Counter[str] = Counter()

    @settings(max_examples=1500, deadline=None, derandomize=True)
    @given(drawn(chained_nest_of))
    def check(case: tuple[Problem, Mapping, Machine]) -> None:
        problem, mapping, machine = case
        assert _flow_table(problem, mapping, machine) == walked_flows(problem, machine, walk(problem, mapping))
        for operand in OPERANDS:
            used = len(stored_chain(mapping, machine, operand))
            seen[f"{operand} in {used}"] += 1
            seen["passed by"] += used < len(machine.chain(operand))
        seen["shared"] += any(len(memory.holds) > 1 for memory in machine.memories)

    check()
    assert all(seen[f"{operand} in {used}"] >= 30 for operand in OPERANDS for used in range(4)), seen
    assert min(seen["passed by"], seen["shared"]) >= 300


def _check_order(mapping: Mapping, machine: Machine) -> None:
    """Each operand's nodes stand in the order of its chain."""
    for operand in OPERANDS:
        levels = [node.level for node in mapping.nodes if isinstance(node, Store) and node.operand == operand]
        chain = ["dram", *(memory.name for memory in machine.chain(operand)), "array"]
        assert levels == [level for level in chain if level in levels]


def _position(mapping: Mapping, operand: OperandName, level: str) -> int:
    """How many of the dataflow's loops stand above a node: a grown tile's loop and its rest are one."""
    return len({loop.dim for loop in mapping.loops_above(operand, level)})


def _check_choice(problem: Problem, spec: ArchSpec, machine: Machine, mapping: Mapping, walked: Walk) -> int:
    """In memories of one operand nothing that fits moves less from above; how many choices that judged.

    The innermost memory chooses among all positions from the outer node's on; an outer one at least
    among those further out than it took.
    """
    logs, positions = probe(problem, spec)
    most_visits = logs.nodes["output", str(positions - 1)].most_visits
    judged = 0
    for operand in OPERANDS:
        chain, used, least = machine.chain(operand), stored_chain(mapping, machine, operand), 0
        for memory in used:
            position = _position(mapping, operand, memory.name)
            if len(memory.holds) == 1:
                last = positions - 1 if memory is chain[-1] else position
                tiles = [logs.nodes[operand, str(other)] for other in range(least, last + 1)]
                fitting = [
                    log for log in tiles if demand_bits(problem, memory, log, most_visits) <= memory.capacity_bits
                ]
                assert walked.nodes[operand, memory.name].total() <= min(log.total() for log in fitting)
                judged += len(fitting) > 1
            least = position
    return judged


def test_placement_in_chains_of_memories() -> None:
    """What is placed fits, keeps the order of the chains and moves what the walk moves."""
    seen: Counter[str] = Counter()

    @settings(max_examples=1500, deadline=None, derandomize=True)
    @given(drawn(chain_case_of))
    def check(case: tuple[Problem, ArchSpec, Machine]) -> None:
        problem, spec, machine = case
        mapping = map_fixed(problem, machine, spec.mapping.spill)
        if isinstance(mapping, Infeasible):
            assert mapping.demand > mapping.bound == machine.memory(mapping.resource).capacity_bits
            seen["infeasible"] += 1
            return
        assert misfit(problem, mapping, machine) is None
        _check_order(mapping, machine)
        walked = walk(problem, mapping)
        assert _flow_table(problem, mapping, machine) == walked_flows(problem, machine, walked)
        seen["judged"] += _check_choice(problem, spec, machine, mapping, walked)
        for operand in OPERANDS:
            used = stored_chain(mapping, machine, operand)
            assert used or operand == "output"
            seen[f"{operand} in {len(used)}"] += 1
            seen["passed by"] += 0 < len(used) < len(machine.chain(operand))
            seen["beside others"] += any(
                mapping.store(other, memory.name) for memory in used for other in OPERANDS if other != operand
            )

    check()
    wanted = [f"{operand} in {used}" for operand in OPERANDS for used in (1, 2, 3)]
    assert all(
        seen[name] >= 20 for name in (*wanted, "output in 0", "infeasible", "passed by", "beside others", "judged")
    ), seen


def _moved_bits(problem: Problem, machine: Machine, walked: Walk) -> dict[str, int]:
    """Bits that each queue moves, from the tiles that the walk saw arrive and leave."""
    moved: dict[str, int] = {}
    bias = problem.bias_values * problem.bias_bits
    for operand, bits, extra in (("ifmap", problem.ifmap_bits, 0), ("weight", problem.weight_bits, bias)):
        used = [memory.name for memory in machine.memories if (operand, memory.name) in walked.nodes]
        for at, level in enumerate(used or ["array"]):
            name = f"move_{operand}_{level}" if at else f"load_{operand}"
            moved[name] = walked.nodes[operand, level].total() * bits + extra
    used = [memory.name for memory in machine.memories if ("output", memory.name) in walked.nodes]
    for at, level in enumerate(used or ["dram" if ("output", "dram") in walked.nodes else "array"]):
        log = walked.nodes["output", level]
        out, way_in = (f"move_output_{used[at - 1]}", f"move_psum_{level}") if at else ("store", "load_psum")
        psums_up, psums_down = psum_transfers(problem, log, walked.nodes["output", "array"])
        moved[out] = psums_up(int) * problem.psum.bits + log.ofmap_writes() * problem.ofmap_bits
        moved[way_in] = psums_down(int) * problem.psum.bits
    return moved


def _check_program(problem: Problem, mapping: Mapping, machine: Machine) -> MacProgram:
    """Every queue moves what the walk says, the program ends, and nothing is used before it is there."""
    mac = mac_program(problem, mapping, machine)
    found = {queue.name: int(queue.bits.sum()) for queue in mac.program.queues if queue.name != "array"}
    wanted = _moved_bits(problem, machine, walk(problem, mapping))
    assert found == {name: bits for name, bits in wanted.items() if bits or name in found}
    timeline = run(mac.program)
    assert timeline.deadlock == ()
    assert mac.work.macs == problem.macs
    queues = mac.program.queues
    rows = {queue.name: row for row, queue in enumerate(queues)}
    for channel in mac.program.channels:
        gives = next(use for use in queues[rows[channel.producer]].signals if use.channel == channel.name)
        takes = next(use for use in queues[rows[channel.consumer]].waits if use.channel == channel.name)
        finish = np.repeat(timeline.finish_fs[rows[channel.producer]], gives.count)
        start = np.repeat(timeline.start_fs[rows[channel.consumer]], takes.count)
        assert start.size <= finish.size + channel.credits
        assert (start[channel.credits :] >= finish[: max(0, start.size - channel.credits)]).all()
    return mac


def test_programs_of_random_nests_over_chains() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=800, deadline=None, derandomize=True)
    @given(drawn(chained_nest_of) | drawn(spilled_group_of))
    def check(case: tuple[Problem, Mapping, Machine]) -> None:
        problem, mapping, machine = case
        if isinstance(machine.array, Systolic):  # the nests know no array, so let every piece fit
            machine = dataclasses.replace(machine, array=dataclasses.replace(machine.array, rows=4096, cols=4096))
        mac = _check_program(problem, mapping, machine)
        names = [queue.name for queue in mac.program.queues if queue.bits.any()]
        seen.update({re.sub(r"_level.*|_\w+_own", "", name) for name in names})

    check()
    moves = ("move_ifmap", "move_weight", "move_psum", "move_output", "load_ifmap", "load_weight", "load_psum", "store")
    assert all(seen[name] >= 40 for name in moves), seen


@settings(max_examples=500, deadline=None, derandomize=True)
@given(drawn(chain_case_of))
def test_programs_of_placed_nests_over_chains(case: tuple[Problem, ArchSpec, Machine]) -> None:
    problem, spec, machine = case
    mapping = map_fixed(problem, machine, spec.mapping.spill)
    if not isinstance(mapping, Infeasible):
        _check_program(problem, mapping, machine)


def test_long_programs_over_chains_are_timed_by_their_period(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[float] = []

    @settings(max_examples=700, deadline=None, derandomize=True)
    @given(drawn(chain_case_of))
    def check(case: tuple[Problem, ArchSpec, Machine]) -> None:
        problem, spec, machine = case
        mapping = map_fixed(problem, machine, spec.mapping.spill)
        if isinstance(mapping, Infeasible):
            return
        flows = mac_flows(problem, mapping, machine)
        monkeypatch.setattr(timing, "FULL_STEPS", timing.MAX_STEPS)
        whole = timing.time_mac(problem, mapping, flows, machine)
        monkeypatch.setattr(timing, "FULL_STEPS", 0)
        periodic = timing.time_mac(problem, mapping, flows, machine)
        assert periodic.unit_cycles == whole.unit_cycles
        assert (periodic.dram_bits, periodic.macs, periodic.lane_macs) == (whole.dram_bits, whole.macs, whole.lane_macs)
        compared.append(periodic.makespan_fs / whole.makespan_fs - 1)

    check()
    assert max(abs(error) for error in compared) < 0.01
    assert sum(error != 0 for error in compared) < len(compared) / 20


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(1, 50), st.sampled_from([4, 8, 16, 32]))
def test_vector_ops_pass_through_every_memory(seed: int, rows: int, cols: int, width: int) -> None:
    _, machine = chain_machine_of(random.Random(seed))
    elements = rows * cols
    problem = VectorProblem("softmax", "softmax", rows, cols, (("a", elements, width),), (("b", elements, width),))
    work = problem.work
    assert work is not None
    flows = vector_flows(problem, work, machine)
    for name, operand in (("a", "ifmap"), ("b", "output")):
        holders = [memory.name for memory in machine.memories if operand in memory.holds]
        for action in ("read", "write"):
            passed = {f.block: f.bits_useful for f in flows if (f.operand, f.action) == (name, action)}
            passed.pop("dram", None)
            assert passed == dict.fromkeys(passed, elements * width)
            assert sorted(passed) == sorted(holders)
    program = vector_program(problem, work, machine).program
    assert run(program).deadlock == ()
    expected = {queue.name for queue in program.queues if queue.name != "compute"}
    assert len(expected) == len(machine.chain("ifmap")) + len(machine.chain("output"))
    assert all(int(queue.bits.sum()) == elements * width for queue in program.queues if queue.name != "compute")
    for memory in machine.memories:
        slots = 2 * ("ifmap" in memory.holds) + 2 * ("output" in memory.holds)
        chunk = -(-elements * width // len(program.queues[0]))
        assert slots * (chunk - 1) < memory.capacity_bits  # bits are dealt out to a whole bit
