"""Fused groups against a brute-force walk of both nests together, in hundreds of random cases.

`tests.reference.attention` holds every tile as a set of elements and shares no function with the mapper.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import random

from hypothesis import given, settings

from accelsim.engine.engine import run
from accelsim.hardware.machine import Machine
from accelsim.mapping.dataflow import map_fixed
from accelsim.mapping.fused import Extra, FusedPlan, VectorStage, group_flows
from accelsim.mapping.fused_attention import attention_plans, row_tiles
from accelsim.mapping.fused_chain import chain_plan
from accelsim.mapping.lower import MacWork
from accelsim.mapping.nest import Mapping
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.problem import matmul_problem
from accelsim.mapping.traffic import Flow, mac_flows
from accelsim.mapping.vector import VectorProblem, VectorWork, vector_flows
from accelsim.program.fused import fused_program
from accelsim.timing import time_fused
from accelsim.validate.random_nests import psum_scheme
from accelsim.workload.trace import MatmulDims
from tests.reference.attention import GroupWalk, buffer_demands
from tests.reference.cases import drawn, machine_of, placed_case_of

SOFTMAX = VectorWork(4, 1, 0, 1)
POINTWISE = VectorWork(1)
Attention = tuple[MacWork, tuple[VectorStage, ...], MacWork, Machine]


def attention_of(rng: random.Random, size: int) -> Attention:
    """A small attention, with a scale or a mask before or after its softmax now and then."""
    b, g = rng.choice([(1, 1), (2, 1), (1, 2), (2, 3)])
    m, k, n, columns = (rng.randint(1, max(2, size // 2)) for _ in range(4))
    query, key, score, probability, value, out = (rng.choice([3, 4, 8, 16]) for _ in range(6))
    psum = psum_scheme(rng)
    first = MacWork(matmul_problem(MatmulDims(b, g, m, k, n), query, key, score, psum), rng.choice(["weight", "kv"]))
    last = matmul_problem(MatmulDims(b, g, m, n, columns), probability, value, out, psum_scheme(rng))
    kinds = [*["scale"] * rng.randint(0, 1), "softmax", *["mask"] * rng.randint(0, 1)]
    rng.shuffle(kinds)
    widths = [score, *(rng.choice([4, 8, 16]) for _ in kinds[1:]), probability]
    vectors = tuple(
        _vector(rng, kind, (b * g * m, n), m * n, ends)
        for kind, ends in zip(kinds, itertools.pairwise(widths), strict=True)
    )
    _, machine = machine_of(rng, ("adder_tree", "systolic"))
    for buffer in machine.memories:
        roomy = dataclasses.replace(buffer, capacity_bits=buffer.capacity_bits * rng.choice([1, 2, 5, 40]))
        machine = machine.with_memory(roomy)
    return first, vectors, MacWork(last, "kv"), machine


def _vector(rng: random.Random, kind: str, shape: tuple[int, int], head: int, ends: tuple[int, int]) -> VectorStage:
    rows, cols = shape
    extras = [("ifmap", rng.choice([rows * cols, head, cols, 1]), rng.choice([4, 8]))] if kind == "mask" else []
    problem = VectorProblem(
        "softmax" if kind == "softmax" else "elementwise", "softmax" if kind == "softmax" else "add", rows, cols,
        (("ifmap", rows * cols, ends[0]), *extras), (("ofmap", rows * cols, ends[1]),),
    )  # fmt: skip
    work = SOFTMAX if kind == "softmax" else POINTWISE
    own = tuple(Extra(name, bits, None if values >= head else values) for name, values, bits in extras)
    return VectorStage(problem, work, *ends, own)


def table(flows: tuple[Flow, ...]) -> dict[tuple[str, str, str], tuple[int, int, int, int]]:
    return {(f.block, f.operand, f.action): (f.count, f.values, f.bits_useful, f.bits_moved) for f in flows}


def test_attention_groups_equal_the_walk() -> None:
    plans_seen, refused = [0], [0]

    @settings(max_examples=600, deadline=None, derandomize=True)
    @given(drawn(attention_of))
    def check(case: Attention) -> None:
        first, vectors, last, machine = case
        plans = attention_plans(first, vectors, last, machine)
        if isinstance(plans, Infeasible):
            refused[0] += 1
            assert plans.gap > 0
            assert plans.bound in (machine.ifmap_buffer.capacity_bits, machine.weight_buffer.capacity_bits,
                                   machine.psum_buffer.capacity_bits)  # fmt: skip
            return
        for plan in plans:
            plans_seen[0] += 1
            walked = GroupWalk(plan, machine)
            units = {"vector_unit", "lut_unit", "array"}
            for flows, expected in zip(group_flows(plan, machine), walked.flows, strict=True):
                moved = tuple(flow for flow in flows if flow.block not in units)
                assert table(moved) == dict(expected)
            for sram, demand in buffer_demands(walked):
                assert demand <= sram.capacity_bits, sram.name

    check()
    assert plans_seen[0] > 400
    assert refused[0] > 30


@settings(max_examples=400, deadline=None, derandomize=True)
@given(drawn(attention_of))
def test_attention_programs_move_the_counted_bits_and_end(case: Attention) -> None:
    first, vectors, last, machine = case
    plans = attention_plans(first, vectors, last, machine)
    for plan in () if isinstance(plans, Infeasible) else plans:
        flows = group_flows(plan, machine)
        fused = fused_program(plan, machine)
        timeline = run(fused.program)
        assert timeline.deadlock == ()
        moved = {queue.name: int(queue.bits.sum()) for queue in fused.program.queues}
        assert moved["load_q"] == _dram(flows[0], ("ifmap",))
        assert moved["load_k"] == _dram(flows[0], ("weight", "kv"))
        assert moved["load_v"] == _dram(flows[-1], ("weight", "kv"))
        assert moved.get("load_extra", 0) == sum(_dram(member, ("ifmap",)) for member in flows[1:-1])
        assert moved["store"] == _dram(flows[-1], ("ofmap",))
        assert sum(work.macs for work in fused.works) == first.problem.macs + last.problem.macs
        busy = [fused.busy_cycles[0] + fused.busy_cycles[-1], sum(fused.busy_cycles[1:-1])]
        assert timeline.makespan_fs >= max(busy) * machine.period_fs


def _dram(flows: tuple[Flow, ...], operands: tuple[str, ...]) -> int:
    return sum(flow.bits_useful for flow in flows if flow.block == "dram" and flow.operand in operands)


def test_a_group_in_one_row_tile_counts_as_its_ops_do() -> None:
    """DRAM and what stays on chip aside, members that walk the loops of the op alone count what it counts."""
    compared = [0]

    @settings(max_examples=500, deadline=None, derandomize=True)
    @given(drawn(attention_of))
    def check(case: Attention) -> None:
        first, vectors, last, machine = case
        plans = attention_plans(first, vectors, last, machine)
        for plan in () if isinstance(plans, Infeasible) else plans:
            flows = group_flows(plan, machine)
            for stage, member in zip(plan.stages, (flows[0], flows[-1]), strict=True):
                mapping = map_fixed(stage.problem, machine, "through")
                if isinstance(mapping, Infeasible) or _walked(mapping) != _walked(stage.mapping):
                    continue
                alone = table(mac_flows(stage.problem, mapping, machine, stage.weight_name))
                if ("dram", "psum", "write") in alone:
                    continue
                compared[0] += 1
                assert _of_the_array(table(member)) == _of_the_array(alone)
            for vector, member in zip(plan.vectors, flows[1:-1], strict=True):
                unfused = vector_flows(vector.problem, vector.work, machine)
                for block in ("vector_unit", "lut_unit"):
                    assert [f for f in member if f.block == block] == [f for f in unfused if f.block == block]

    check()
    assert compared[0] > 200


def _walked(mapping: Mapping) -> list[str]:
    """The dims a nest walks, outermost first; what only widens a loop's chunks for a buffer is no other walk."""
    return [dim for dim, _ in itertools.groupby(loop.dim for loop in mapping.loops)]


def _of_the_array(flows: dict[tuple[str, str, str], tuple[int, int, int, int]]) -> dict[object, object]:
    """What the array reads and writes."""
    ours = {("ifmap_buffer", "read"), ("weight_buffer", "read"), ("psum_buffer", "write"), ("array", "mac"),
            ("psum_engine", "requantise"), ("psum_engine", "dequantise")}  # fmt: skip
    psums = ("psum_buffer", "psum", "read")
    return {key: flow for key, flow in flows.items() if (key[0], key[2]) in ours or key == psums}


Chain = tuple[MacWork, tuple[VectorStage, ...], Machine, str]


def chain_of(rng: random.Random, size: int) -> Chain:
    problem, spec, machine = placed_case_of(rng, size)
    values = math.prod(problem.extent(dim) for dim in problem.relevant("output"))
    widths = [problem.ofmap_bits, *(rng.choice([4, 8, 16]) for _ in range(rng.randint(1, 3)))]
    vectors = tuple(
        _vector(rng, "add", (1, values), 0, ends) if rng.random() < 0.5 else _residual(rng, values, ends)
        for ends in itertools.pairwise(widths)
    )
    return MacWork(problem, "weight"), vectors, machine, spec.mapping.spill


def _residual(rng: random.Random, values: int, ends: tuple[int, int]) -> VectorStage:
    bits = rng.choice([4, 8])
    operands = (("ifmap", values, ends[0]), ("ifmap", values, bits))
    problem = VectorProblem("elementwise", "add", 1, values, operands, (("ofmap", values, ends[1]),))
    return VectorStage(problem, POINTWISE, *ends, (Extra("ifmap", bits),))


def test_chains_move_what_their_ops_move_but_the_kept_tensor() -> None:
    seen = [0]

    @settings(max_examples=500, deadline=None, derandomize=True)
    @given(drawn(chain_of))
    def check(case: Chain) -> None:
        first, vectors, machine, spill = case
        mapping = map_fixed(first.problem, machine, spill)  # type: ignore[arg-type]
        if isinstance(mapping, Infeasible):
            return
        plan = chain_plan(first, mapping, vectors, machine)
        if isinstance(plan, Infeasible):
            assert plan.gap > 0
            return
        seen[0] += 1
        flows = group_flows(plan, machine)
        alone = table(mac_flows(first.problem, mapping, machine))
        stays = {("psum_buffer", "ofmap", "read"), ("dram", "ofmap", "write")}
        assert table(flows[0]) == {key: flow for key, flow in alone.items() if key not in stays}
        values = vectors[0].problem.cols
        for number, (vector, member) in enumerate(zip(vectors, flows[1:], strict=True)):
            got, last = table(member), number == len(vectors) - 1
            assert got["psum_buffer", "ifmap", "read"][1:3] == (values, values * vector.in_bits)
            assert got["psum_buffer", "ofmap", "write"][1:3] == (values, values * vector.out_bits)
            extra = sum(values * each.bits for each in vector.extras)
            assert sum(f.bits_useful for f in member if f.block == "dram" and f.action == "read") == extra
            written = sum(f.bits_useful for f in member if f.block == "dram" and f.action == "write")
            assert written == (values * vector.out_bits if last else 0)
        _check_chain_program(plan, flows, machine)

    check()
    assert seen[0] > 100


def _check_chain_program(plan: FusedPlan, flows: tuple[tuple[Flow, ...], ...], machine: Machine) -> None:
    fused = fused_program(plan, machine)
    timeline = run(fused.program)
    assert timeline.deadlock == ()
    counted = sum(f.bits_useful for member in flows for f in member if f.block == "dram")
    assert sum(int(queue.bits.sum()) for queue in fused.program.queues) == counted
    whole, *members = time_fused(plan, machine)
    assert (whole.makespan_fs, whole.dram_bits, whole.macs) == (timeline.makespan_fs, counted, plan.first.problem.macs)
    assert [member.makespan_fs for member in members] == [busy * machine.period_fs for busy in fused.busy_cycles]


def test_row_tiles_cover_every_number_of_tiles() -> None:
    for rows in range(1, 60):
        for width in range(1, 9):
            heights = row_tiles(rows, width)
            allowed = {min(rows, width * times) for times in range(1, rows + 1)}
            assert set(heights) <= allowed
            assert {-(-rows // height) for height in heights} == {-(-rows // height) for height in allowed}
