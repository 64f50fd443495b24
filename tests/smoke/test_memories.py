"""Specs with memories between DRAM and the array, from the YAML to the report."""

from __future__ import annotations

import dataclasses
import json

import pytest
from click.testing import CliRunner

from accelsim import load_arch, load_trace, simulate
from accelsim.cli import cli
from accelsim.hardware.machine import build_machine
from accelsim.report.invariants import BrokenInvariant, check
from accelsim.report.report import Report

SMALL = {
    "arch.buffers.ifmap.capacity_kib": 32,
    "arch.buffers.weight.capacity_kib": 16,
    "arch.buffers.psum_ofmap.capacity_kib": 64,
}
UNIFIED = """\
extends: apsq_edge_ws
name: unified
memories:
  - {name: scratchpad, holds: [ifmap, weight, psum], capacity_kib: 64, word_bits: 64,
     read_bits_per_cycle: 4096, write_bits_per_cycle: 4096}
buffers: {ifmap: null, weight: null, psum_ofmap: null}
"""


def _moved(report: Report, block: str, operand: str, action: str) -> int:
    return sum(
        row.bits_useful for row in report.rows if (row.block, row.operand, row.action) == (block, operand, action)
    )


@pytest.fixture(scope="module")
def shared() -> Report:
    return simulate(load_arch("shared_l2_edge"), load_trace("bert_base"))


def test_a_shared_l2_saves_dram_traffic(shared: Report) -> None:
    assert shared.totals.complete
    assert [block.block for block in shared.blocks][:3] == ["array", "l2", "ifmap_buffer"]
    without = simulate(load_arch("apsq_edge_ws", SMALL), load_trace("bert_base"))
    assert _moved(shared, "dram", "ifmap", "read") < _moved(without, "dram", "ifmap", "read") / 2
    for operand in ("ifmap", "weight", "kv"):
        buffers = ("ifmap_buffer", "weight_buffer")
        assert _moved(shared, "l2", operand, "read") <= sum(_moved(shared, b, operand, "write") for b in buffers)
    used = {use.name for op in shared.ops for use in op.resources}
    assert {"dram", "array", "units", "l2 read", "l2 write", "ifmap_buffer write"} <= used


def test_the_same_op_in_a_unified_scratchpad(tmp_path: object) -> None:
    path = f"{tmp_path}/unified.yaml"
    with open(path, "w") as file:
        file.write(UNIFIED)
    machine = build_machine(load_arch(path))
    assert [memory.name for memory in machine.memories] == ["scratchpad"]
    assert machine.ifmap_buffer is machine.weight_buffer is machine.psum_buffer
    report = simulate(load_arch(path), load_trace("bert_base"))
    assert report.totals.complete
    assert {row.block for row in report.rows if row.level == "buffer"} == {"scratchpad"}
    short_of_room = ["arch.memories.scratchpad.capacity_kib=2", "arch.array.po=64"]
    tiny = simulate(load_arch(path, short_of_room), load_trace("matmul:128x768x768"))
    (short,) = tiny.infeasible
    # At least a tile of 64 x 8 psums of 32 b; two tiles of 64 x 8 and of 8 x 8 operands of 8 b.
    assert (short.resource, short.bound, short.demand) == ("scratchpad", 2 * 8192, 64 * 8 * 32 + 2 * 8 * (512 + 64))


def test_values_lost_between_two_memories_are_seen(shared: Report) -> None:
    for block, operand, action in (
        ("l2", "ifmap", "read"),
        ("weight_buffer", "weight", "write"),
        ("l2", "ofmap", "read"),
    ):
        at = next(i for i, r in enumerate(shared.rows) if (r.block, r.operand, r.action) == (block, operand, action))
        row = dataclasses.replace(shared.rows[at], values=shared.rows[at].values - 1)
        broken = dataclasses.replace(shared, rows=(*shared.rows[:at], row, *shared.rows[at + 1 :]))
        with pytest.raises(BrokenInvariant):
            check(broken)


def test_bits_lost_between_two_memories_are_seen(shared: Report) -> None:
    for block, operand, action in (("l2", "ifmap", "read"), ("weight_buffer", "weight", "write")):
        at = next(i for i, r in enumerate(shared.rows) if (r.block, r.operand, r.action) == (block, operand, action))
        row = dataclasses.replace(shared.rows[at], bits_useful=shared.rows[at].bits_useful - 8)
        broken = dataclasses.replace(shared, rows=(*shared.rows[:at], row, *shared.rows[at + 1 :]))
        with pytest.raises(BrokenInvariant):
            check(broken)


def test_the_command_line_shows_memories() -> None:
    def out(*args: str) -> str:
        result = CliRunner().invoke(cli, args)
        assert result.exit_code == 0, result.output
        return result.stdout

    explained = out("explain", "shared_l2_edge", "--set", "arch.memories.l2.capacity_kib=256")
    for text in ("memories.l2.capacity_kib", "256", "override", "ifmap, weight, psum", "l2            "):
        assert text in explained
    assert "l2 " in out("area", "shared_l2_edge")
    assert "memories" in json.loads(out("schema"))["properties"]
    assert "l2 " in out("simulate", "shared_l2_edge", "matmul:64x64x64")
