"""Memories in levels, shared and passed by: counts and placement against the brute-force walk."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings

from accelsim.hardware.machine import Machine
from accelsim.mapping.dataflow import map_fixed
from accelsim.mapping.fit import misfit
from accelsim.mapping.nest import Mapping, Store
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.problem import OPERANDS, Problem
from accelsim.mapping.traffic import mac_flows, stored_chain
from accelsim.spec.models import ArchSpec
from tests.reference.cases import chain_case_of, chained_nest_of, drawn
from tests.reference.flows import Key, Numbers, walked_flows
from tests.reference.walk import walk


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
        assert _flow_table(problem, mapping, machine) == walked_flows(problem, machine, walk(problem, mapping))
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
    assert all(seen[name] >= 20 for name in (*wanted, "output in 0", "infeasible", "passed by", "beside others")), seen
