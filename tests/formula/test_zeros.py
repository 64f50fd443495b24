"""Zeros of activations: a run-length code against coding values one by one, what it moves, and what gating saves."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import Report, load_arch, load_trace, simulate
from accelsim.cli.app import cli
from accelsim.errors import UserError
from accelsim.hardware.machine import build_machine
from accelsim.hardware.run_length import RunLength
from accelsim.hardware.sram import packed_bits
from accelsim.mapping.closed_form import closed_form
from accelsim.mapping.dataflow import map_fixed
from accelsim.mapping.lower import MacWork, lower
from accelsim.mapping.nest import Mapping
from accelsim.mapping.search.search import search
from accelsim.workload import ConvDims, Trace, read_trace, workload_overrides, write_trace
from accelsim.workload.load import with_zeros

EYERISS = RunLength(5, 64)
CODED = {"arch.dram.run_length.run_bits": "5", "arch.dram.run_length.word_bits": "64"}


def coded_bits(values: np.ndarray, code: RunLength, value_bits: int) -> int:
    """A pair for every value that is not zero, and for every zero behind the longest run."""
    pairs, run, longest = 0, 0, 2**code.run_bits - 1
    for value in values.tolist():
        if value == 0 and run < longest:
            run += 1
        else:
            pairs, run = pairs + 1, 0
    words = -(-pairs // (code.word_bits // (code.run_bits + value_bits)))
    return words * code.word_bits


@pytest.mark.parametrize("zeros", [0.3, 0.5, 0.77, 0.95, 0.999, 1.0])
@pytest.mark.parametrize(("run_bits", "value_bits"), [(5, 16), (5, 8), (2, 8), (8, 4)])
def test_width_is_that_of_values_coded_one_by_one(zeros: float, run_bits: int, value_bits: int) -> None:
    code = RunLength(run_bits, 64)
    values = (np.random.default_rng(0).random(200_000) >= zeros).astype(int)
    coded = coded_bits(values, code, value_bits) / values.size
    expected = min(value_bits, coded) if abs(coded - value_bits) > 0.02 * value_bits else None
    if expected is not None:
        assert float(code.width(value_bits, zeros)) == pytest.approx(expected, rel=0.02, abs=2e-3)


def test_width_of_eyeriss() -> None:
    """Three pairs in 64 bits: 0.25 x 21.33 bits a value where three quarters are zero; plain where nothing is."""
    assert EYERISS.width(16, 0.0) == 16
    assert float(EYERISS.width(16, 0.75)) == pytest.approx(0.25 * 64 / 3, abs=1e-3)
    assert RunLength(16, 64).width(8, 1.0) == Fraction(1, 1024)  # never nothing
    assert EYERISS.width(16, 1.0) == Fraction(round(64 / 3 / 32 * 1024), 1024)
    assert RunLength(5, 16).width(16, 0.9) == 16  # no pair fits its word
    with pytest.raises(ValueError, match="from 0 to 1"):
        EYERISS.width(16, 1.5)


def moved(report: Report, block: str) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for row in report.rows:
        if row.block == block and row.action in ("read", "write"):
            found[row.operand, row.action] = found.get((row.operand, row.action), 0) + row.bits_useful
    return found


@pytest.mark.parametrize("arch", ["apsq_edge_ws", "shared_l2_edge", "systolic_32x32", "row_stationary_12x14"])
def test_activations_shrink_in_dram_and_nowhere_else(arch: str) -> None:
    trace = load_trace("matmul:48x64x40")
    plain = simulate(load_arch(arch, CODED), trace)
    coded = simulate(load_arch(arch, CODED), with_zeros(trace, 0.75))
    width = build_machine(load_arch(arch, CODED)).dram.run_length.width(8, 0.75)  # type: ignore[union-attr]
    before, after = moved(plain, "dram"), moved(coded, "dram")
    assert after["weight", "read"] == before["weight", "read"]
    for key in (("ifmap", "read"), ("ofmap", "write")):
        assert 0 <= after[key] - packed_bits(before[key] // 8, width) <= 64  # whole bits a tile
    assert [row for row in coded.rows if row.level == "buffer" and row.action != "leakage"] == [
        row for row in plain.rows if row.level == "buffer" and row.action != "leakage"
    ]
    assert coded.totals.cycles <= plain.totals.cycles


def test_vector_ops_shrink_too() -> None:
    trace = load_trace("bert_base")
    report = simulate(load_arch("apsq_edge_ws", CODED), with_zeros(trace, 0.75))
    plain = simulate(load_arch("apsq_edge_ws", CODED), trace)
    for part, whole in zip(report.ops, plain.ops, strict=True):
        assert part.cycles <= whole.cycles
    name = next(op.name for op in plain.ops if op.kind == "nonlinear")
    useful = [
        sum(row.bits_useful for row in each.rows if (row.op, row.block) == (name, "dram") and row.action == "read")
        for each in (report, plain)
    ]
    assert useful[0] < 0.6 * useful[1]


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.integers(1, 60)] * 3), st.sampled_from([0.4, 0.7, 1.0]))
def test_search_counts_what_the_closed_form_counts(extents: tuple[int, int, int], zeros: float) -> None:
    """The best mapping over compressed traffic costs what it is said to, and no more than the placed one."""
    m, k, n = extents
    trace = with_zeros(load_trace(f"matmul:{m}x{k}x{n}"), zeros)
    machine = build_machine(load_arch("apsq_edge_ws", {**CODED, "arch.array.dataflow": "search"}))
    (op,) = trace.phases[0].ops
    work = lower(op, trace.tensor_by_id(), machine)
    assert isinstance(work, MacWork)
    found = search(work.problem, machine, "energy", "through", 1_000_000, 0.0)
    cost = closed_form(work.problem, found.mapping, machine)  # type: ignore[union-attr]
    assert found.energy_pj == pytest.approx(cost.energy_pj, rel=1e-9)  # type: ignore[union-attr]
    fixed = build_machine(load_arch("apsq_edge_ws", CODED))
    placed = map_fixed(work.problem, fixed, "through")
    assert isinstance(placed, Mapping)
    assert cost.energy_pj <= closed_form(work.problem, placed, fixed).energy_pj * (1 + 1e-9)


@pytest.mark.parametrize(
    ("key", "bits"),
    [
        ("arch.buffers.ifmap.write_bits_per_cycle", 48 * 64 * 8),
        ("arch.buffers.psum_ofmap.read_bits_per_cycle", 48 * 40 * 8),
    ],
)
def test_the_chip_s_ports_see_plain_values(key: str, bits: int) -> None:
    """Through a port of 8 bits everything goes, however little crosses the DRAM's pins."""
    arch = load_arch("apsq_edge_ws", {**CODED, key: "8"})
    report = simulate(arch, with_zeros(load_trace("matmul:48x64x40"), 0.9))
    assert report.totals.cycles >= bits // 8


def test_bounds_are_of_what_is_moved() -> None:
    arch = load_arch("apsq_edge_ws", {**CODED, "arch.array.dataflow": "search"})
    plain, coded = (simulate(arch, with_zeros(load_trace("matmul:512x512x512"), zeros)) for zeros in (0.0, 0.9))
    assert coded.ops[0].energy_bound_pj < plain.ops[0].energy_bound_pj
    for report in (plain, coded):
        assert report.ops[0].energy_pj >= report.ops[0].energy_bound_pj


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.integers(1, 60)] * 3))
def test_no_mapping_of_plain_values_is_better(extents: tuple[int, int, int]) -> None:
    """What the search finds for compressed tensors costs no more there than what it finds for plain ones."""
    m, k, n = extents
    machine = build_machine(load_arch("apsq_edge_ws", {**CODED, "arch.array.dataflow": "search"}))
    trace = load_trace(f"matmul:{m}x{k}x{n}")
    (op,) = trace.phases[0].ops
    works = [lower(op, with_zeros(trace, zeros).tensor_by_id(), machine) for zeros in (0.0, 0.9)]
    found = [search(work.problem, machine, "energy", "through", 1_000_000, 0.0) for work in works]  # type: ignore[union-attr]
    cost = closed_form(works[1].problem, found[0].mapping, machine)  # type: ignore[union-attr]
    assert found[1].energy_pj <= cost.energy_pj * (1 + 1e-9)  # type: ignore[union-attr]


def test_gating_saves_multipliers_and_their_weights() -> None:
    trace = with_zeros(load_trace("resnet_50"), 0.25)
    reports = [
        simulate(load_arch("row_stationary_12x14", {"arch.array.zero_gating": on}), trace) for on in ("false", "true")
    ]
    plain, gated = ({(row.op, row.block, row.action): row.count for row in report.rows} for report in reports)
    reads = 0
    for op in trace.phases[0].ops:
        if isinstance(op.dims, ConvDims):
            still = gated[op.name, "array", "gated_mac"]
            assert still == op.dims.macs - -(-3 * inside(op.dims) // 4)
            assert gated[op.name, "array", "mac"] + still == plain[op.name, "array", "mac"] == op.dims.macs
            read = (op.name, "weight_registers", "read")
            if read in plain:
                assert plain[read] - gated[read] == still
                reads += 1
    assert reads > 10
    assert reports[0].totals.cycles == reports[1].totals.cycles
    assert reports[0].totals.energy_pj > reports[1].totals.energy_pj


def inside(dims: ConvDims) -> int:
    """MACs whose input is no padding, position by position."""

    def pairs(axis: int) -> int:
        outputs, taps, size = ((dims.p, dims.r, dims.h), (dims.q, dims.s, dims.w))[axis]
        at = [o * dims.stride[axis] + t - dims.padding[axis] for o in range(outputs) for t in range(taps)]
        return sum(0 <= position < size for position in at)

    return dims.n * dims.groups * dims.c * dims.k * pairs(0) * pairs(1)


def test_a_trace_keeps_its_zeros(tmp_path: Path) -> None:
    trace: Trace = workload_overrides(load_trace("matmul:4x4x4"), {"workload.zeros": "0.5"})
    assert [tensor.zeros for tensor in trace.tensors] == [0.5, 0.0, 0.5]
    write_trace(trace, tmp_path / "t.json")
    assert read_trace(str(tmp_path / "t.json")) == trace


@pytest.mark.parametrize("text", ["1.5", "-0.1", "half", "nan", "inf", ""])
def test_shares_that_are_none(text: str) -> None:
    with pytest.raises(UserError, match="a share from 0 to 1"):
        workload_overrides(load_trace("matmul:4x4x4"), {"workload.zeros": text})


def test_zeros_that_nothing_reads() -> None:
    run = CliRunner().invoke(cli, ["simulate", "apsq_edge_ws", "matmul:8x8x8", "--set", "workload.zeros=0.5"])
    assert run.exit_code == 2
    assert "has no effect" in run.output + run.stderr


@pytest.mark.parametrize(
    ("arch", "overrides", "said"),
    [
        ("apsq_edge_ws", {"arch.mapping.fusion": "auto"}, "beside dram.run_length"),
        ("validation/gemmini_16x16", {}, "beside host"),
        ("validation/vta_1x16", {}, "beside strided_dma"),
    ],
)
def test_specs_that_cannot_compress(arch: str, overrides: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_arch(arch, {**CODED, **overrides})
