"""Stacked memory against banks word by word, rotation units block by block, fused pairs drawn and enumerated, and
what chips share against the whole."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import load_trace
from accelsim.hardware.codebook_decoder import pairs_of_even_indices
from accelsim.hardware.machine import build_machine
from accelsim.hardware.reram_stack import build_reram_stack
from accelsim.hardware.rotation_unit import build_rotation_unit, butterfly_adders
from accelsim.hardware.technology import Process
from accelsim.residency import weights_of
from accelsim.schemes import CodebookScheme, RotationScheme
from accelsim.spec.stacked import PlacementRule, RotationUnit
from accelsim.workload.chips import split_over_chips
from accelsim.workload.trace import MatmulDims
from tests.reference.stack_cases import STACK, chained, in_codebooks, stacked
from tests.timing.test_hand_timing import spec

PROCESS = Process(28.0, 0.9, 1000.0)
FS_PER_NS = 1_000_000


@settings(max_examples=60, deadline=None)
@given(
    words=st.integers(1, 300), dies=st.integers(1, 4), banks=st.integers(1, 8),
    port_ns=st.integers(1, 10), bank_ns=st.integers(0, 40),
)  # fmt: skip
def test_streams_against_banks_word_by_word(words: int, dies: int, banks: int, port_ns: int, bank_ns: int) -> None:
    """Words go to the dies in turn, in a die to its banks; port and bank are held. Off by one bank's cycle at most."""
    changes = {"dies": dies, "banks_per_die": banks, "clock_mhz": 1000.0 / port_ns, "bank_cycle_ns": float(bank_ns)}
    stack = build_reram_stack(STACK.model_copy(update=changes | {"bumps": 64 * dies}), PROCESS, "test")
    last = 0
    for die in range(dies):
        port_free, bank_free = 0, [0] * banks
        for turn in range(len(range(die, words, dies))):
            start = max(port_free, bank_free[turn % banks])
            port_free, bank_free[turn % banks] = start + port_ns, start + bank_ns
            last = max(last, start + port_ns)
    assert abs(stack.transfer_fs(64 * words) - last * FS_PER_NS) <= max(port_ns, bank_ns) * FS_PER_NS
    assert stack.moved_bits(64 * words - 63) == 64 * words


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["local", "global"]), stages=st.integers(1, 6), short=st.integers(0, 6),
    order=st.sampled_from([1, 2, 4, 12, 20, 28]), accumulators=st.integers(1, 4),
)  # fmt: skip
def test_rotation_cycles_block_by_block(kind: str, stages: int, short: int, order: int, accumulators: int) -> None:
    """Butterflies take whole blocks, side by side where they may; each accumulator group a block of one row a cycle."""
    points, length = 2**stages, 2 ** min(short, stages)
    unit = build_rotation_unit(
        RotationUnit(kind=kind, points=points, accumulators=accumulators),  # type: ignore[arg-type]
        PROCESS,
    )
    scheme = RotationScheme(length * order, length, order)
    blocks, butterfly_cycles = order, 0
    while blocks > 0:
        blocks -= points // length if kind == "local" else 1
        butterfly_cycles += 1
    adds, sums = 0, length * order * order
    while sums > 0:
        sums -= accumulators * points
        adds += 1
    expected = max(butterfly_cycles if length > 1 else 1, adds if order > 1 else 1)
    assert unit.row_cycles(scheme) == expected
    assert unit.cycles(scheme, 5) == 5 * expected + stages + 1
    assert butterfly_adders(points) == sum(points for _ in range(stages))


def test_a_transform_longer_than_the_unit() -> None:
    unit = build_rotation_unit(RotationUnit(kind="local", points=64), PROCESS)
    with pytest.raises(ValueError, match="128 points in a unit of 64"):
        unit.row_cycles(RotationScheme(128, 128))


@pytest.mark.parametrize(("blocks", "entries"), [(2, 2), (4, 2), (3, 4), (5, 3), (4, 4)])
def test_expected_pairs_enumerated(blocks: int, entries: int) -> None:
    scheme = CodebookScheme(1, 2, entries, group=max(blocks, entries))
    total = sum(
        sum(drawn.count(entry) // 2 for entry in range(entries))
        for drawn in itertools.product(range(entries), repeat=blocks)
    )
    expected = Fraction(total, entries**blocks * blocks)
    assert abs(pairs_of_even_indices(scheme, 1, 2 * blocks) - expected) <= Fraction(1, 10**6)


@given(st.integers(1, 9), st.integers(1, 7), st.integers(2, 6))
def test_pairs_where_groups_end_within_rows(across: int, down: int, group: int) -> None:
    """Block by block: a run ends with its row, and where the next group begins."""
    scheme, runs = CodebookScheme(1, 1, 2, group=group), []
    for block in range(across * down):
        if block % across and block % group:
            runs[-1] += 1
        else:
            runs.append(1)
    drawn = [[sum(each.count(e) // 2 for e in (0, 1)) for each in itertools.product((0, 1), repeat=n)] for n in runs]
    expected = sum(Fraction(sum(pairs), len(pairs)) for pairs in drawn) / (across * down)
    assert abs(pairs_of_even_indices(scheme, down, across) - expected) <= Fraction(1, 10**6)


def test_the_chips_codebooks_fuse_three_eighths() -> None:
    """Eight blocks out of four entries: 3.004 pairs (a Monte-Carlo run of 20,000 agrees)."""
    scheme = CodebookScheme(16, 16, 4, group=8)
    draw = random.Random(0)
    runs = [[draw.randrange(4) for _ in range(8)] for _ in range(20_000)]
    drawn = sum(sum(run.count(entry) // 2 for entry in range(4)) for run in runs) / len(runs) / 8
    found = float(pairs_of_even_indices(scheme, 16, 128))
    assert found == pytest.approx(3.0039 / 8, abs=1e-4)
    assert drawn == pytest.approx(found, abs=0.003)


@settings(max_examples=60, deadline=None)
@given(m=st.integers(1, 9), k=st.integers(1, 40), n=st.integers(1, 40), chips=st.integers(2, 5))
def test_parts_of_chips_are_the_whole(m: int, k: int, n: int, chips: int) -> None:
    trace = load_trace(f"matmul:{m}x{k}x{n}")
    parts = [split_over_chips(trace, chips, chip).trace for chip in range(chips)]
    columns = [op.dims.n for part in parts for op in part.phases[0].ops if isinstance(op.dims, MatmulDims)]
    assert sum(columns) == n
    assert max(columns) - min(columns) <= 1
    assert columns == sorted(columns, reverse=True)
    assert sum(part.macs for part in parts) == trace.macs


@pytest.mark.parametrize("chips", [2, 3, 5])
def test_every_chip_lacks_what_the_others_have(chips: int) -> None:
    trace = chained(load_trace("matmul:4x16x16"))
    gathered = [split_over_chips(trace, chips, chip).gathered_bits for chip in range(chips)]
    assert sum(sum(each.values()) for each in gathered) == (chips - 1) * 4 * 16 * 8


def test_bits_of_a_codebook_in_the_stack() -> None:
    """Two entries of 4 x 4 bits and an index of one bit for each of four blocks."""
    trace = in_codebooks("matmul:4x4x4", CodebookScheme(2, 2, 2, group=4))
    machine = build_machine(stacked(spec(8.0)))
    (row,) = weights_of(trace, machine)
    assert (row.store, row.bits) == ("reram", 2 * 16 + 4)


def test_rules_are_read_in_order() -> None:
    arch = stacked(spec(8.0))
    trace = chained(load_trace("matmul:4x4x4"))
    weight = trace.phases[0].ops[0].inputs[1]
    in_books = in_codebooks("matmul:4x4x4", CodebookScheme(2, 2, 2, group=4))

    def stores(*rules: tuple[str, str]) -> list[str]:
        placement = tuple(PlacementRule(weights=pattern, store=store) for pattern, store in rules)  # type: ignore[arg-type]
        machine = build_machine(arch.model_copy(update={"placement": placement}))
        return [weights_of(each, machine)[0].store for each in (trace, in_books)]

    assert stores() == ["dram", "dram"]
    assert stores(("codebook", "reram")) == ["dram", "reram"]
    assert stores((weight, "reram"), ("*", "dram"))[0] == "reram"
    assert stores(("matmul*", "dram"), ("*", "reram"))[0] == "dram"


def test_area_of_bumps_and_tiers() -> None:
    arch = stacked(spec(8.0))
    assert arch.reram_stack is not None
    four = arch.reram_stack.model_copy(update={"dies": 4, "tiers": 2, "bumps": 256})
    machine = build_machine(arch.model_copy(update={"reram_stack": four}))
    assert machine.bump_field is not None
    assert machine.bump_field.area_mm2.value == pytest.approx(256 * 0.1 * 1.0**2 / 1e6)
    die = 8192 / 1e6 / 3.02
    tiers = machine.tier_areas_mm2
    assert (tiers["reram 1"], tiers["reram 2"]) == (pytest.approx(2 * die), pytest.approx(2 * die))
    assert machine.total_area_mm2 == pytest.approx(math.fsum(tiers.values()))
    assert machine.footprint_mm2 == max(tiers.values())


def test_supply_follows_the_clock() -> None:
    from accelsim import load_arch

    found = [
        build_machine(load_arch("reram_logic_55nm", {"arch.technology.clock_mhz": mhz})).process.voltage_v
        for mhz in (63.5, 174.25, 285.0)
    ]
    assert found == pytest.approx([0.89, (0.89 + 1.40) / 2, 1.40])
    given = load_arch("reram_logic_55nm", {"arch.technology.clock_mhz": 100.0, "arch.technology.voltage_v": 1.2})
    assert build_machine(given).process.voltage_v == 1.2


def test_a_stack_of_nothing_else_changes_nothing() -> None:
    """Weights in the DRAM of a machine with a stack: the same cycles."""
    from accelsim import simulate

    arch = stacked(spec(8.0))
    alone, beside = (
        simulate(each, load_trace("matmul:4x4x4")) for each in (spec(8.0), arch.model_copy(update={"placement": ()}))
    )
    assert [replace(op, lower_bounds=(), energy_pj=0.0, energy_bound_pj=0.0) for op in alone.ops] == [
        replace(op, lower_bounds=(), energy_pj=0.0, energy_bound_pj=0.0) for op in beside.ops
    ]
