"""Register files in a spec, in reports and in mapping files: what a user writes, and what is said about the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from accelsim import load_arch, load_trace, simulate
from accelsim.cli import cli
from accelsim.hardware.machine import build_machine
from tests.smoke.test_spec import _faults

ARCH, CONV = "row_stationary_12x14", "resnet_50"
MATMUL = "matmul:64x96x80"

# overrides; name, part of what was found, part of the fix
BAD = [
    (["ifmap.capacity_bits=100"], "ifmap.capacity_bits", "6.25 words of 16", "for example 96"),
    (["psum.capacity_bits=16", "psum.word_bits=16"], "psum.capacity_bits", "psum of 32 bits", "at least 32"),
    (["weight.word_bits=0"], "weight.word_bits", "found 0", "at least 1"),
    (["weight.cells=sramm"], "weight.cells", "'sramm'", "'sram'"),
    (["weight.capacity_kib=1"], "weight.capacity_kib", "no such key", "capacity_bits"),
    (
        ["shared.holds=[ifmap, psum]", "shared.capacity_bits=64", "shared.word_bits=32", "psum=null"],
        "shared.holds", "ifmap", "out of one of the two",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("sets", "name", "found", "fix"), BAD)
def test_malformed_registers_are_one_fault(sets: list[str], name: str, found: str, fix: str) -> None:
    (fault,) = _faults(ARCH, [f"arch.array.registers.{item}" for item in sets])
    assert fault.name.removeprefix("arch.") == f"array.registers.{name}"
    assert found in fault.found
    assert fix in fault.fix


def test_registers_stand_in_report_area_and_explain() -> None:
    report = simulate(load_arch(ARCH), load_trace(CONV))
    names = ["ifmap_registers", "weight_registers", "psum_registers"]
    assert [block.block for block in report.blocks if block.block in names] == names
    rows = {(row.block, row.operand, row.action) for row in report.rows if row.level == "registers"}
    assert {(names[0], "ifmap", "write"), (names[1], "weight", "read"), (names[2], "psum", "write")} <= rows
    for command in ("area", "explain"):
        result = CliRunner().invoke(cli, [command, ARCH])
        assert result.exit_code == 0, result.output
        assert all(name in result.output for name in names)
    assert "bit in each of 168 PEs" in result.output


def test_registers_save_buffer_traffic() -> None:
    """What they are for; one key of the spec takes them away."""
    plain = {f"arch.array.registers.{name}": None for name in ("ifmap", "weight", "psum")}
    with_registers, without = (simulate(load_arch(ARCH, sets), load_trace(CONV)) for sets in ({}, plain))
    assert not build_machine(load_arch(ARCH, plain)).registers
    moved = [
        sum(row.bits_moved for row in report.rows if row.level == "buffer") for report in (with_registers, without)
    ]
    assert moved[0] < moved[1] / 3


def _written(tmp_path: Path, workload: str) -> Path:
    path = tmp_path / "mapping.yaml"
    result = CliRunner().invoke(cli, ["map", ARCH, workload, "--out", str(path)])
    assert result.exit_code == 0, result.output
    return path


def test_a_mapping_with_registers_replays_to_the_same_bytes(tmp_path: Path) -> None:
    path = _written(tmp_path, CONV)
    assert "registers holds weight" in path.read_text()
    saved = []
    for name, extra in (("placed", []), ("replayed", ["--mapping", str(path)])):
        out = tmp_path / f"{name}.json"
        result = CliRunner().invoke(cli, ["simulate", ARCH, CONV, "--json", str(out), *extra])
        assert result.exit_code == 0, result.output
        saved.append(out.read_bytes())
    assert saved[0] == saved[1]


def test_a_mapping_that_the_registers_cannot_follow(tmp_path: Path) -> None:
    path = _written(tmp_path, MATMUL)
    text = path.read_text()
    assert "registers holds ifmap" in text
    swapped = text.replace("registers holds ifmap", "X").replace("ifmap_buffer holds ifmap", "registers holds ifmap")
    path.write_text(swapped.replace("X", "ifmap_buffer holds ifmap"))
    result = CliRunner().invoke(cli, ["simulate", ARCH, MATMUL, "--mapping", str(path)])
    assert result.exit_code == 2, result.output
    assert "ifmap is stored in" in result.output
    assert "dram, ifmap_buffer, registers, array" in " ".join(result.output.split())
    lines = text.splitlines()
    (at,) = (number for number, line in enumerate(lines) if "registers holds ifmap" in line)
    outermost = next(number for number, line in enumerate(lines) if "ifmap_buffer holds ifmap" in line) + 1
    lines.insert(outermost, lines.pop(at))
    path.write_text("\n".join(lines))
    out = tmp_path / "report.json"
    result = CliRunner().invoke(cli, ["simulate", ARCH, MATMUL, "--mapping", str(path), "--json", str(out)])
    (row,) = json.loads(out.read_text())["infeasible"]
    assert (row["resource"], row["bound"], row["unit"]) == ("ifmap_registers", 192, "bits in one PE")
    assert "array.registers.ifmap" in row["lever"]
