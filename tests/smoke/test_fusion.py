"""`mapping.fusion` from spec to report: what is saved adds up, what is not fused says why."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from accelsim import load_arch, load_trace, simulate
from accelsim.cli import cli
from accelsim.cli.common import WIDTH
from accelsim.errors import UserError
from accelsim.report.files import to_json
from accelsim.report.report import Report
from accelsim.simulation import check

WORKLOADS = ("bert_base", "llama2_7b_prefill_2048", "llama2_7b_decode_2048", "segformer_b0", "vit_b_16")


def fused(arch: str, workload: str, mode: str, **overrides: object) -> Report:
    sets = {f"arch.{key.replace('__', '.')}": value for key, value in overrides.items()}
    return simulate(load_arch(arch, {"arch.mapping.fusion": mode, **sets}), load_trace(workload))  # type: ignore[dict-item]


def dram_bits(report: Report) -> int:
    return sum(row.bits_moved for row in report.rows if row.block == "dram")


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("arch", ["apsq_edge_ws", "apsq_edge_os", "systolic_32x32"])
def test_what_fusing_saves_is_what_the_totals_lose(arch: str, workload: str) -> None:
    alone = simulate(load_arch(arch), load_trace(workload))
    assert alone.groups == ()
    for mode in ("attention", "auto"):
        report = fused(arch, workload, mode)
        assert any(group.fused and group.kind == "attention" for group in report.groups)
        for group in report.groups:
            assert group.dram_bits <= group.unfused_dram_bits
            if mode == "auto":
                assert group.energy_pj <= group.unfused_energy_pj
        saved = math.fsum(group.unfused_energy_pj - group.energy_pj for group in report.groups)
        assert report.totals.energy_pj == pytest.approx(alone.totals.energy_pj - saved, rel=1e-9)
        saved_bits = sum(group.unfused_dram_bits - group.dram_bits for group in report.groups)
        assert dram_bits(report) == dram_bits(alone) - saved_bits
        saved_cycles = sum(group.unfused_cycles - group.cycles for group in report.groups)
        assert report.totals.cycles == alone.totals.cycles - saved_cycles
        assert report.totals.macs == alone.totals.macs
        assert [op.name for op in report.ops] == [op.name for op in alone.ops]


def test_bert_attention_moves_queries_keys_values_and_outputs_only() -> None:
    report = fused("apsq_edge_ws", "bert_base", "attention")
    assert len(report.groups) == 12
    for group in report.groups:
        assert group.dram_bits == 4 * 128 * 768 * 8  # Q, K, V, output; every tile is whole bursts
        assert group.unfused_dram_bits == group.dram_bits + 4 * 12 * 128 * 128 * 8
        members = [op for op in report.ops if op.group == group.name]
        assert [op.name for op in members] == list(group.ops)
        assert all(op.stall_cycles >= 0 for op in members)


@pytest.mark.parametrize(
    ("overrides", "resource"),
    [
        ({"buffers__psum_ofmap__capacity_kib": 1.0}, "psum_buffer"),
        ({"buffers__ifmap__capacity_kib": 3.0}, "ifmap_buffer"),
        # Row tiles of 16 bring K and V eight times, 112 KiB a head; not to move scores saves 64 KiB.
        ({"buffers__weight__capacity_kib": 8.0, "buffers__psum_ofmap__capacity_kib": 5.0}, "dram"),
    ],
)
def test_a_group_that_does_not_fit_says_why(overrides: dict[str, float], resource: str) -> None:
    report = fused("apsq_edge_ws", "bert_base", "attention", **overrides)
    assert not report.infeasible
    assert {group.resource for group in report.groups} == {resource}
    for group in report.groups:
        assert not group.fused
        assert group.demand > group.bound
        assert group.lever
        assert (group.cycles, group.energy_pj) == (group.unfused_cycles, group.unfused_energy_pj)
    assert all(op.group == "" for op in report.ops)


@pytest.mark.parametrize(
    ("arch", "mode", "why"),
    [
        ("shared_l2_edge", "auto", "no groups on a machine with memories beside one buffer an operand (l2)"),
        ("row_stationary_12x14", "attention", "no fused attention on a pe_grid"),
    ],
)
def test_a_machine_without_plans_says_so(arch: str, mode: str, why: str) -> None:
    report = fused(arch, "bert_base", mode, mapping__prefetch="weights")
    assert report.groups
    assert {(group.fused, group.resource, group.unit) for group in report.groups} == {(False, "mapping.fusion", why)}
    alone = simulate(load_arch(arch, {"arch.mapping.prefetch": "weights"}), load_trace("bert_base"))
    assert report.totals == alone.totals


def test_chains_fuse_on_a_pe_grid() -> None:
    report = fused("row_stationary_12x14", "resnet_50", "auto")
    assert any(group.fused for group in report.groups)


def test_nothing_is_prefetched_into_or_out_of_a_group() -> None:
    """BERT's attention runs as one, between projections whose weights come early; DRAM timed by a speed grade."""
    grade = {"arch.dram.bandwidth_gb_per_s": None, "arch.dram.timing": "lpddr4_3200"}
    early = {"arch.mapping.prefetch": "weights"}
    trace = load_trace("bert_base")
    both, group_only, early_only = (
        simulate(load_arch("apsq_edge_ws", {**grade, "arch.mapping.fusion": mode, **more}), trace)
        for mode, more in (("attention", early), ("attention", {}), ("none", early))
    )
    assert both.groups == group_only.groups
    assert sum(op.prefetch_saved_cycles for op in both.ops) == group_only.totals.cycles - both.totals.cycles > 0
    before = {op.name: op.prefetch_saved_cycles for op in early_only.ops}
    for op, after in zip(both.ops, [*both.ops[1:], None], strict=True):
        if op.group:
            assert op.prefetch_saved_cycles == 0
            assert after is None or after.group or after.prefetch_saved_cycles == 0
        else:
            assert op.prefetch_saved_cycles <= before[op.name]


def test_equal_bytes_and_invariants() -> None:
    first, second = (fused("apsq_edge_ws", "segformer_b0", "auto") for _ in range(2))
    check(first)
    assert to_json(first) == to_json(second)


def test_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    args = ("simulate", "apsq_edge_ws", "segformer_b0", "--set", "arch.mapping.fusion=auto", "--json", str(path))
    result = CliRunner().invoke(cli, args)
    assert result.exit_code == 0, result.output
    assert "Fused groups, and what they save" in result.stdout
    assert re.search(r"attention\.\(qk, softmax, pv\) +x2 ", result.stdout)
    assert "would help: raise buffers.psum_ofmap.capacity_kib" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= WIDTH
    saved = json.loads(path.read_text())
    assert {group["kind"] for group in saved["groups"]} == {"attention", "chain"}


def test_a_wrong_value_is_the_users_mistake() -> None:
    with pytest.raises(
        UserError,
        match=r"mapping\.fusion: found 'atention'\n.*did you mean 'attention'\? allowed: attention, auto, none",
    ):
        load_arch("apsq_edge_ws", {"arch.mapping.fusion": "atention"})
