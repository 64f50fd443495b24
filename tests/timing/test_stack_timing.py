"""Weights out of a stacked memory, fused tiles, passes, rotations and gathers, every cycle counted by hand.

The machine and the op are those of `tests/timing/test_hand_timing.py`, at 8 bytes of DRAM a cycle: 12 cycles with
all operands in DRAM. The stack's port gives 64 bits a nanosecond: one of the two weight tiles a word.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from accelsim import load_trace, simulate
from accelsim.functional.codebook import decode, fused_product
from accelsim.hardware.machine import build_machine
from accelsim.report import Report
from accelsim.schemes import CodebookScheme, RotationScheme
from accelsim.spec.models import ArchSpec
from accelsim.spec.stacked import RotationUnit
from accelsim.workload import Op, Phase, Trace, VectorDims
from accelsim.workload.trace import Oracle, Tensor
from tests.reference.stack_cases import FAST, chained, decoding, in_codebooks, linked, rotating, stacked, widths
from tests.timing.test_hand_timing import spec

MATMUL = "matmul:4x4x4"
WEIGHT_BITS = 16 * 8


def counts(report: Report, block: str) -> dict[str, int]:
    """Actions of a block, leakage left out."""
    found: dict[str, int] = {}
    for row in report.rows:
        if row.block == block and row.action != "leakage":
            found[row.action] = found.get(row.action, 0) + row.count
    return found


def test_weights_come_beside_the_inputs() -> None:
    # ifmap (0, 2) from DRAM, weights (0, 1), (1, 2) from the stack, array (2, 6), (6, 10), last store (10, 11).
    report = simulate(stacked(spec(8.0), **FAST), load_trace(MATMUL))
    assert report.totals.cycles == 11
    (op,) = report.ops
    assert {use.name: use.busy_cycles for use in op.resources} == {"dram": 4, "reram": 2, "array": 8}
    assert dict(op.lower_bounds) == {"array": 8, "dram": 4, "reram": 2}
    assert counts(report, "reram") == {"read": WEIGHT_BITS, "link": WEIGHT_BITS}


@pytest.mark.parametrize(
    ("technology", "cycles", "pj_per_bit", "die_mm2"),
    [
        # Latency 10, a word each 10 ns: tiles there at 20 and 30; array (20, 24), (30, 34), store until 35.
        ("reram", 35, 0.968, 8192 / 1e6 / 3.02),
        # Latency 50, a word each 3.24 ns: tiles at 53.24 and 56.48; array until 61.24, store until 62.24.
        ("dram", 63, 0.67, 8192 / 1e6 / 99.4),
    ],
)
def test_another_technology(technology: str, cycles: int, pj_per_bit: float, die_mm2: float) -> None:
    report = simulate(stacked(spec(8.0), technology), load_trace(MATMUL))  # type: ignore[arg-type]
    assert report.totals.cycles == cycles
    energy = sum(row.energy_pj for row in report.rows if row.block == "reram" and row.action != "leakage")
    assert energy == pytest.approx(WEIGHT_BITS * pj_per_bit)
    assert {row.tier: row.area_mm2 for row in report.tiers}["reram 1"] == pytest.approx(die_mm2)


def test_sram_in_its_place() -> None:
    # Latency 2, a word each 2 ns: tiles at 4 and 6; array (4, 8), (8, 12), store until 13.
    arch = stacked(spec(8.0), "sram")
    report = simulate(arch, load_trace(MATMUL))
    assert report.totals.cycles == 13
    weight_buffer = build_machine(arch).weight_buffer  # 1 KiB of the same words: the same table
    per_bit = weight_buffer.actions["read"].energy_pj.value / 64 + 0.1
    energy = sum(row.energy_pj for row in report.rows if row.block == "reram" and row.action != "leakage")
    assert energy == pytest.approx(WEIGHT_BITS * per_bit)
    assert {row.tier: row.area_mm2 for row in report.tiers}["reram 1"] == pytest.approx(weight_buffer.area_mm2.value)


def test_crossing_to_the_core_clock() -> None:
    report = simulate(stacked(spec(8.0), crossing_cycles=3, **FAST), load_trace(MATMUL))
    # Weights at 4 and 5, last of what the array waits for: array (4, 8), (8, 12), store until 13.
    assert report.totals.cycles == 13
    assert dict(report.ops[0].stalls) == {"dram": 1, "array busy": 0, "buffer port": 0, "dependency": 0, "reram": 4}


def test_more_weights_than_room() -> None:
    arch = stacked(spec(8.0))
    report = simulate(arch, load_trace("matmul:4x40x40"))
    (row,) = report.infeasible
    assert (row.resource, row.demand, row.bound) == ("reram", 1600 * 8, 8192)
    assert not report.totals.complete
    assert simulate(arch, load_trace("matmul:4x32x32")).totals.complete


def test_wide_inputs_take_two_passes() -> None:
    arch = spec(8.0)
    passes = arch.model_copy(update={"array": arch.array.model_copy(update={"wide_operands": "passes"})})
    trace = widths(load_trace(MATMUL), ifmap=16)
    assert not simulate(arch, trace).totals.complete
    report = simulate(passes, trace)
    # ifmap (0, 4), weights (4, 5), (5, 6), array 8 cycles a step: (5, 13), (13, 21), store until 22.
    assert (report.totals.cycles, report.ops[0].compute_cycles) == (22, 16)
    assert counts(report, "array") == {"mac": 64, "extra_pass": 64}
    assert simulate(passes, widths(load_trace(MATMUL), 16, 16)).ops[0].compute_cycles == 32
    narrow = simulate(passes, widths(load_trace(MATMUL), weight=4))
    assert (narrow.ops[0].compute_cycles, counts(narrow, "array")) == (8, {"mac": 64})


SCHEME = CodebookScheme(2, 2, 2, group=4)
"""A 4 x 4 weight as four blocks out of two entries: (2 x 4 x 4 + 4 x 1) / 16 = 2.25 bits a value."""


def test_fused_tiles_against_the_twin() -> None:
    trace = in_codebooks(MATMUL, SCHEME)
    report = simulate(decoding(spec(8.0), tile_fusion="pairs", fused_share=1.0), trace)
    books, indices = np.array([[[1, 2, 3, -4], [5, -6, 7, 0]]]), np.array([0, 0, 1, 1])
    ifmap = np.arange(-8, 8).reshape(4, 4)
    twin = fused_product(SCHEME, books, indices, ifmap)
    assert (twin.outputs == ifmap @ decode(SCHEME, books, indices, 4, 4).T).all()
    assert counts(report, "array") == {"fused_mac": twin.multiplies}
    assert counts(report, "codebook_decoder") == {"decode": twin.fetches * 4, "preadd": twin.adds}
    # Weight tiles of 18 bits take 3 bursts of a byte, .375 cycles: array (2.375, 4.375), (4.375, 6.375), store 1.
    assert (report.totals.cycles, report.ops[0].compute_cycles) == (8, 4)


def test_without_fusion_decoding_costs_values() -> None:
    trace = in_codebooks(MATMUL, SCHEME)
    plain, decoded = simulate(spec(8.0), trace), simulate(decoding(spec(8.0)), trace)
    assert counts(decoded, "array") == counts(plain, "array") == {"mac": 64}
    assert counts(decoded, "codebook_decoder") == {"decode": 16}
    assert decoded.totals.cycles == plain.totals.cycles
    # A value a cycle: the 8 of a step last longer than its 4 cycles of work.
    slow = simulate(decoding(spec(8.0), values_per_cycle=1), trace)
    assert dict(slow.ops[0].stalls)["buffer port"] == 2 * (8 - 4)


def test_reads_of_fused_blocks_halve() -> None:
    trace = in_codebooks("matmul:4x8x8", CodebookScheme(2, 4, 2, group=8))
    fused, plain = (
        simulate(decoding(spec(8.0), tile_fusion=fusion, fused_share=1.0 if fusion == "pairs" else None), trace)
        for fusion in ("pairs", "none")
    )
    reads = [
        sum(row.bits_useful for row in report.rows if (row.block, row.action) == ("weight_buffer", "read"))
        for report in (fused, plain)
    ]
    assert reads[0] * 2 == reads[1]


def rotation(width: int, rows: int, scheme: RotationScheme) -> Trace:
    """Vectors rotated, at 8 bits."""
    tensors = tuple(Tensor(name, "activation", (rows, width), 8) for name in ("x", "y"))
    op = Op(0, "rotate", "rotate", VectorDims(rows, width), ("x",), ("y",), "hadamard", rotation=scheme)
    return Trace("rotation", (), Oracle(None, "none"), tensors, (Phase("encode", "encode", rows, 0, 1, (op,)),))


def test_rotations_on_the_unit() -> None:
    scheme = RotationScheme(24, 2, 12)
    trace = rotation(24, 3, scheme)
    unit = RotationUnit(kind="local", points=4, accumulators=1)
    report = simulate(rotating(spec(64.0), unit), trace)
    # A vector: butterflies 12 blocks of 2, two at once: 6; H_12 on 24 values, 4 of a row a cycle: 72. Fill: 3,
    # in each of three chunks.
    assert report.ops[0].compute_cycles == 3 * (72 + 3)
    assert counts(report, "rotation_unit") == {"add": 3 * scheme.adds}
    assert counts(report, "vector_unit") == {}
    on_lanes = simulate(spec(64.0), trace)
    assert counts(on_lanes, "vector_unit") == {"operation": 3 * scheme.adds}
    too_long = simulate(rotating(spec(64.0), unit), rotation(16, 3, RotationScheme(16, 8, 2)))
    assert (too_long.infeasible[0].demand, too_long.infeasible[0].bound) == (8, 4)


def two_chips(arch: ArchSpec, name: str) -> Report:
    return simulate(linked(arch, 2), load_trace(name))


def test_two_chips_split_the_columns() -> None:
    # Each has 4 x 4 x 2: ifmap (0, 2), weight (2, 3), array (3, 7), store of 8 bytes (7, 8).
    alone, both = simulate(spec(8.0), load_trace(MATMUL)), two_chips(spec(8.0), MATMUL)
    assert (alone.totals.cycles, both.totals.cycles) == (12, 8)
    assert counts(both, "array") == {"mac": 64}
    assert both.totals.area_mm2 == pytest.approx(2 * alone.totals.area_mm2)
    assert both.peak_macs_per_cycle == 2 * alone.peak_macs_per_cycle
    # The inputs are read on both chips, weights and outputs once.
    assert counts(both, "dram")["io"] == counts(alone, "dram")["io"] + 16 * 8
    leak = sum(row.count for row in both.rows if (row.block, row.action) == ("array", "leakage"))
    assert leak == 2 * 8


def test_ragged_columns() -> None:
    report = two_chips(spec(8.0), "matmul:4x4x5")
    assert counts(report, "array") == {"mac": 80}
    # The chip with three columns: ifmap (0, 2), weights (2, 3), (3, 3.5), array (3, 7), (7, 11), store .5.
    assert report.totals.cycles == 12


def test_outputs_are_gathered_for_the_next_op() -> None:
    report = simulate(linked(spec(8.0), 2), chained(load_trace(MATMUL)))
    first, gather, second = report.ops
    # Each chip lacks 8 of 16 values: 64 bits in a cycle, 3 cycles after they were sent.
    assert (first.cycles, gather.cycles, second.cycles) == (8, 4, 8)
    assert (gather.bound_by, gather.kind, dict(gather.stalls)) == ("link", "transfer", {"link": 4})
    assert counts(report, "link") == {"receive": 2 * 64}
    assert sum(row.energy_pj for row in report.rows if row.action == "receive") == pytest.approx(2 * 64 * 2.0)


def test_each_chip_holds_its_part_of_the_stack() -> None:
    arch = stacked(spec(8.0))
    trace = load_trace("matmul:4x32x64")  # 2 KiB of weights
    assert not simulate(arch, trace).totals.complete
    report = simulate(linked(arch, 2), trace)
    assert report.totals.complete
    assert report.stack is not None
    assert (report.stack.bits, report.stack.capacity_bits) == (2 * 8192, 2 * 8192)
    # Both chips write at once: 128 words of 64 bits in each, a microsecond a word, 3.85 pJ a bit.
    assert report.stack.write_s == pytest.approx(128e-6)
    assert report.stack.write_energy_pj == pytest.approx(2 * 8192 * 3.85)


def test_writing_crosses_the_bumps_in_whole_words() -> None:
    stack = build_machine(stacked(spec(8.0), link_energy_pj_per_bit=0.5)).reram_stack
    assert stack is not None
    assert stack.write_pj(65) == pytest.approx(2 * 64 * (3.85 + 0.5))


@pytest.mark.parametrize(
    ("changes", "needed", "unit"),
    [({"entries": 1}, 2, "entries of a codebook"), ({"value_bits": 3}, 4, "bits of an entry's values")],
)
def test_a_codebook_that_the_decoder_cannot_hold(changes: dict[str, int], needed: int, unit: str) -> None:
    """A result, with what is short: not a decoder that quietly chooses among more than it can."""
    report = simulate(decoding(spec(8.0), **changes), in_codebooks("matmul:4x4x4", SCHEME))
    (row,) = report.infeasible
    assert (row.resource, row.demand, row.bound, row.unit) == ("codebook_decoder", needed, needed - 1, unit)
    assert "codebook_decoder." in row.lever


def test_fused_share_of_even_indices() -> None:
    # Two blocks of two entries side by side: alike half of the time, so a quarter of a pair a block.
    decoder = build_machine(decoding(spec(8.0), tile_fusion="pairs")).codebook_decoder
    assert decoder is not None
    assert decoder.fused_pairs(SCHEME, 4, 4) == Fraction(1, 4)
    assert decoder.fused_pairs(replace(SCHEME, group=None), 4, 4) == Fraction(1, 4)
