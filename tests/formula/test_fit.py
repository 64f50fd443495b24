"""What a mapping needs of every memory, against tiles held as sets of elements."""

from __future__ import annotations

import dataclasses
from collections import Counter

from hypothesis import given, settings

from accelsim.hardware.machine import Machine
from accelsim.mapping.fit import demands, misfit
from accelsim.mapping.nest import Mapping, Store
from accelsim.mapping.problem import Problem
from accelsim.validate.walk import Walk, walk
from accelsim.validate.walked_flows import sram_words
from tests.reference.cases import chained_nest_of, drawn


def _needed(problem: Problem, mapping: Mapping, machine: Machine, walked: Walk) -> dict[str, int]:
    """Every stay of every tile laid out in words, the largest of each node kept."""
    needed = {memory.name: 0 for memory in machine.memories}
    live = min(problem.psum.group_size, walked.nodes["output", "array"].most_visits - 1)
    widths = {"ifmap": problem.ifmap_bits, "weight": problem.weight_bits}
    for node in mapping.nodes:
        if not isinstance(node, Store) or node.level == "array":
            continue
        memory = machine.memory(node.level)
        words = 0
        for stay in walked.nodes[node.operand, node.level].stays:
            if node.operand == "output":
                psums = sram_words(memory, problem.psum.bits)(live * stay.values)
                words = max(words, psums, sram_words(memory, problem.ofmap_bits)(stay.values))
            else:
                words = max(words, sram_words(memory, widths[node.operand])(stay.values))
        needed[node.level] += words * memory.word_bits * (2 if node.double_buffered else 1)
    return needed


def test_demands_and_misfits_of_random_nests() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=1000, deadline=None, derandomize=True)
    @given(drawn(chained_nest_of))
    def check(case: tuple[Problem, Mapping, Machine]) -> None:
        problem, mapping, machine = case
        needed = _needed(problem, mapping, machine, walk(problem, mapping))
        assert demands(problem, mapping, machine) == needed
        over = [memory.name for memory in machine.memories if needed[memory.name] > memory.capacity_bits]
        found = misfit(problem, mapping, machine)
        seen["misfit" if over else "fits"] += 1
        if found is None:
            assert not over
            return
        assert found.resource == over[0]
        assert (found.demand, found.bound) == (needed[over[0]], machine.memory(over[0]).capacity_bits)
        assert found.gap > 0
        assert over[0] in found.lever
        enlarged = machine
        for name in over:
            enlarged = enlarged.with_memory(dataclasses.replace(machine.memory(name), capacity_bits=needed[name]))
        assert misfit(problem, mapping, enlarged) is None

    check()
    assert min(seen["misfit"], seen["fits"]) >= 200, seen
