"""Executed ops: outputs against direct integer arithmetic, accesses against the closed forms."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings

from accelsim.errors import UserError
from accelsim.functional import Execution, run
from accelsim.hardware.machine import Machine
from accelsim.mapping.dataflow import map_fixed
from accelsim.mapping.nest import Mapping
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.problem import Problem
from accelsim.mapping.traffic import mac_flows
from accelsim.schemes import PsumScales, PsumScheme
from accelsim.spec.models import ArchSpec
from tests.reference.cases import buffered_nest_of, drawn, placed_case_of
from tests.reference.integers import direct, tensors, tile_products
from tests.reference.psums import apsq

SMALL = 3


def _counted(execution: Execution) -> dict[tuple[str, str, str], tuple[int, int, int, int]]:
    return {key: dataclasses.astuple(access) for key, access in execution.accesses.items()}


def _closed(problem: Problem, mapping: Mapping, machine: Machine) -> dict[tuple[str, str, str], tuple[int, ...]]:
    flows = mac_flows(problem, mapping, machine)
    return {(f.block, f.operand, f.action): (f.count, f.values, f.bits_useful, f.bits_moved) for f in flows}


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(drawn(lambda rng, size: (*buffered_nest_of(rng, size), rng)))
def test_lossless_nests(case: tuple[Problem, Mapping, Machine, random.Random]) -> None:
    """Any loops in any order, buffers anywhere among them."""
    problem, mapping, machine, rng = case
    problem = dataclasses.replace(problem, psum=PsumScheme(rng.choice([16, 24, 32])))
    ifmap, weight, bias = tensors(problem, rng, SMALL)
    execution = run(problem, mapping, machine, ifmap, weight, bias)
    assert np.array_equal(execution.outputs, direct(problem, ifmap, weight, bias))
    assert _counted(execution) == _closed(problem, mapping, machine)


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(drawn(lambda rng, size: (*placed_case_of(rng, size), rng)))
def test_lossless_dataflows(case: tuple[Problem, ArchSpec, Machine, random.Random]) -> None:
    problem, spec, machine, rng = case
    problem = dataclasses.replace(problem, psum=PsumScheme(rng.choice([16, 24, 32])))
    mapping = map_fixed(problem, machine, spec.mapping.spill)
    if isinstance(mapping, Infeasible):
        return
    ifmap, weight, bias = tensors(problem, rng, SMALL)
    execution = run(problem, mapping, machine, ifmap, weight, bias)
    assert np.array_equal(execution.outputs, direct(problem, ifmap, weight, bias))
    assert _counted(execution) == _closed(problem, mapping, machine)


def _apsq_case(rng: random.Random, size: int) -> tuple[Problem, Mapping, Machine, random.Random]:
    """Outputs that leave the accumulator, in any nest."""
    while True:
        problem, mapping, machine = buffered_nest_of(rng, size)
        if any(loop.dim in problem.reduction for loop in mapping.loops) or size == 1:
            break
    scheme = PsumScheme(rng.choice([4, 7, 8]), rng.randint(1, 4))
    return dataclasses.replace(problem, psum=scheme), mapping, machine, rng


def test_apsq_nests() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=1000, deadline=None, derandomize=True)
    @given(drawn(_apsq_case))
    def check(case: tuple[Problem, Mapping, Machine, random.Random]) -> None:
        problem, mapping, machine, rng = case
        ifmap, weight, bias = tensors(problem, rng, rng.randint(1, SMALL))
        products = tile_products(problem, mapping, ifmap, weight)
        visits = max(map(len, products.values()))
        shifts = tuple(rng.randint(0, 5) for _ in range(visits))
        scheme = problem.psum
        execution = run(problem, mapping, machine, ifmap, weight, bias, PsumScales(scheme, shifts))
        expected = np.zeros_like(execution.outputs)
        for output, own in products.items():
            expected[output] = apsq(own, shifts, scheme.bits, scheme.group_size)
        if bias is not None:
            expected += bias if problem.conv is None else bias.reshape(1, -1, 1, 1)
        assert np.array_equal(execution.outputs, expected)
        assert execution.psum_visits == visits
        same = _counted(execution) == _closed(problem, mapping, machine)
        seen[f"same {same} gs {scheme.group_size}"] += 1
    check()
    print(seen)
    assert 0
