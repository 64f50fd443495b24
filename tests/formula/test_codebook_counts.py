"""Weights out of codebooks move as indices and entries: counted by hand, against the executed op, and searched.

By hand: a matmul 6 x 8 x 12 whose weight (12 x 8) comes from blocks of 2 x 2, 2 entries for every 8 blocks,
4-bit values: 24 indices of 1 b and 3 codebooks of 2 x 4 x 4 b are 120 b for 96 values. The machine is
that of `test_hand_counts`: words and bursts of 64 b, so 51 such values a word.
"""

from __future__ import annotations

import dataclasses
import math
import random
from fractions import Fraction

import numpy as np
import pytest

from accelsim.functional.op import MappedOp
from accelsim.hardware.machine import build_machine
from accelsim.hardware.sram import packed_bits
from accelsim.mapping.bound import op_bound
from accelsim.mapping.closed_form import closed_form
from accelsim.mapping.dataflow import map_fixed
from accelsim.mapping.lower import MacWork, codebook_bits, lower
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.problem import Problem
from accelsim.mapping.search.search import search
from accelsim.mapping.traffic import mac_flows
from accelsim.schemes import CodebookScheme, PsumScheme
from accelsim.simulation import simulate
from accelsim.workload import MatmulDims, Op, Oracle, Phase, Tensor, Trace
from tests.formula.test_hand_counts import ADDER_TREE, SYSTOLIC, arch
from tests.reference.search_cases import search_case

SCHEME = CodebookScheme(2, 2, entries=2, group=8)
DRAM_READ = ("dram", "weight", "read")


def trace(m: int, k: int, n: int, scheme: CodebookScheme | None) -> Trace:
    tensors = (
        Tensor("x", "activation", (m, k), 8),
        Tensor("w", "weight", (n, k), 4, codebook=scheme),
        Tensor("y", "activation", (m, n), 8),
    )
    op = Op(0, "op", "matmul", MatmulDims(1, 1, m, k, n), ("x", "w"), ("y",), psum=PsumScheme(8, 2))
    return Trace("hand", (), Oracle(m * k * n, "by hand"), tensors, (Phase("encode", "encode", m, 0, 1, (op,)),))


def test_counted_by_hand() -> None:
    report = simulate(arch(ADDER_TREE), trace(6, 8, 12, SCHEME))
    rows = {(row.block, row.action): row for row in report.rows if row.operand == "weight" and row.action != "io"}
    # Three tiles of 8 x 4 values come in, 40 b each: a burst, and a word.
    assert (rows["dram", "read"].bits_useful, rows["dram", "read"].bits_moved) == (120, 192)
    assert (rows["weight_buffer", "write"].bits_useful, rows["weight_buffer", "write"].count) == (120, 3)
    # Six tiles of 4 x 4 values, 20 b each, once.
    assert (rows["weight_buffer", "read"].bits_useful, rows["weight_buffer", "read"].count) == (120, 6)
    plain = simulate(arch(ADDER_TREE), trace(6, 8, 12, None))
    others = [[row for row in found.rows if row.operand not in ("weight", "")] for found in (report, plain)]
    assert others[0] == others[1]
    macs = [[row.count for row in found.rows if row.action == "mac"] for found in (report, plain)]
    assert macs[0] == macs[1] == [576]


def test_a_whole_matrix_takes_what_the_scheme_says() -> None:
    """Ragged groups too; scales are no part of it."""
    for scheme, shape in ((SCHEME, (12, 8)), (CodebookScheme(2, 2, 3, 7), (12, 8)), (CodebookScheme(1, 4, 9), (6, 20))):
        bits = scheme.bits(*shape)
        assert packed_bits(bits.values, codebook_bits(scheme, shape)) == bits.codebook_bits + bits.index_bits
    assert codebook_bits(CodebookScheme(16, 16, 4, 8), (128, 16)) == Fraction(4 * 256 * 4 + 8 * 2, 8 * 256)


def random_problem(seed: int) -> Problem:
    """A search case whose weight takes a fraction of a bit up to several bits a value."""
    problem, _ = search_case(seed)
    rng = random.Random(seed)
    return dataclasses.replace(problem, codebook_weight_bits=Fraction(rng.randint(1, 60), rng.randint(1, 40)))


def check_executed(op: MappedOp) -> None:
    """Accesses as they happen are the counts, with every bit of a tile's indices and entries."""
    problem, rng = op.problem, np.random.default_rng(0)
    b, g, m, k, n = (problem.extent(dim) for dim in ("b", "g", "m", "k", "n"))
    found = op.run(rng.integers(-8, 8, (b, g, m, k)), rng.integers(-8, 8, (b, k, n)))
    counted = {
        (flow.block, flow.operand, flow.action): (flow.count, flow.values, flow.bits_useful, flow.bits_moved)
        for flow in mac_flows(problem, op.mapping, op.machine)
        if flow.operand == "weight"
    }
    executed = {key: dataclasses.astuple(access) for key, access in found.accesses.items() if key[1] == "weight"}
    assert executed == counted
    assert len(counted) == 3


@pytest.mark.parametrize("seed", range(60))
def test_counts_are_what_is_executed_and_searched(seed: int) -> None:
    problem = dataclasses.replace(random_problem(seed), psum=PsumScheme(32))
    machine = build_machine(arch({**(ADDER_TREE if seed % 2 else SYSTOLIC), "dataflow": "weight_stationary"}))
    mapping = map_fixed(problem, machine, "through")
    assert not isinstance(mapping, Infeasible)
    check_executed(MappedOp("op", problem, mapping, machine))


@pytest.mark.parametrize("seed", range(20))
def test_searched_cost_is_the_closed_form(seed: int) -> None:
    problem = random_problem(seed)
    _, machine = search_case(seed, smallest_bytes=40)
    found = search(problem, machine, ("energy", "latency", "edp")[seed % 3], "through", 20_000, 0.002)
    if isinstance(found, Infeasible):
        pytest.skip("fits nowhere")
    cost = closed_form(problem, found.mapping, machine)
    assert math.isclose(cost.energy_pj, found.energy_pj, rel_tol=1e-9)
    assert math.isclose(cost.latency_fs, found.latency_fs, rel_tol=1e-9)


@pytest.mark.parametrize("dataflow", ["weight_stationary", "input_stationary", "output_stationary", "search"])
@pytest.mark.parametrize(
    "scheme", [SCHEME, CodebookScheme(2, 4, 3, 7, value_bits=3), CodebookScheme(1, 4, 16)], ids=str
)
def test_reports_hold_together(scheme: CodebookScheme, dataflow: str) -> None:
    """Every transfer of the engine, every invariant of the report; a decoded weight is as wide as before."""
    spec = arch({**ADDER_TREE, "dataflow": dataflow})
    for m, k, n in ((6, 8, 12), (3, 52, 36)):
        given = trace(m, k, n, scheme)
        report = simulate(spec, given)
        plain = simulate(spec, trace(m, k, n, None))
        read = [row.bits_useful for row in report.rows if (row.block, row.operand, row.action) == DRAM_READ]
        assert sum(read) >= packed_bits(k * n, codebook_bits(scheme, (n, k)))
        saved = scheme.bits(n, k).codebook_bits + scheme.bits(n, k).index_bits < 4 * k * n
        assert report.totals.energy_pj <= plain.totals.energy_pj or not saved  # equal where bursts and words hide it
        work = lower(given.phases[0].ops[0], {tensor.id: tensor for tensor in given.tensors}, build_machine(spec))
        assert isinstance(work, MacWork)
        assert work.problem.weight_bits == 4
        bound, op = op_bound(work.problem, build_machine(spec)), report.ops[0]
        assert bound.energy_pj <= report.totals.energy_pj * (1 + 1e-9)
        assert bound.cycles <= op.cycles
