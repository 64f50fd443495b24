"""Specs with stacked memory, units and several chips: what is refused, what commands show, and what stays as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from accelsim import UserError, load_arch, load_trace, simulate
from accelsim.cli import cli
from accelsim.map_workload import map_workload
from accelsim.spec import spec_hash

CHIP, SYSTEM = "reram_logic_55nm", "reram_logic_55nm_x4"


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("apsq_edge_ws", "7c14e12f7be97be784025b6875d0ffd762270177bc27d449b0f536cb80634592"),
        ("systolic_32x32", "708c28399bbddc91971ebb96d62028d105670ba4c4923906dc8ab59b8df5df0d"),
        ("row_stationary_12x14", "6884aac0f57a11c555e53f7e377bb16053b1a09821e281c8e2500c72cd74eea0"),
    ],
)
def test_specs_without_the_new_keys_keep_their_hash(name: str, digest: str) -> None:
    """Keys that a spec leaves out are not in its hash: mapping files and reports of before stay valid."""
    assert spec_hash(load_arch(name)) == digest
    assert spec_hash(load_arch(CHIP)) != spec_hash(load_arch(SYSTEM))


@pytest.mark.parametrize(
    ("changes", "where", "found"),
    [
        ({"arch.technology.operating_points": []}, "technology.voltage_v", "missing"),
        ({"arch.technology.clock_mhz": 300.0}, "technology.clock_mhz", "300 MHz is outside"),
        ({"arch.reram_stack.tiers": 3}, "reram_stack.tiers", "4 dies are not the same number"),
        ({"arch.reram_stack.bumps": 100}, "reram_stack.bumps", "100 bumps for ports of 2048 bits"),
        ({"arch.reram_stack.die_capacity_kib": 2047.99}, "reram_stack.die_capacity_kib", "no whole words"),
        ({"arch.reram_stack": None}, "placement[0].store", "the spec has no reram_stack"),
        ({"arch.rotation_unit.points": 48}, "rotation_unit.points", "48 is not a power of two"),
        ({"arch.array.dataflow": "search"}, "placement[0].store", "a search of mappings knows no store"),
        ({"arch.array.dataflow": "search"}, "array.wide_operands", "does not know passes"),
        ({"arch.array.dataflow": "search"}, "codebook_decoder.tile_fusion", "does not know fused tiles"),
        ({"arch.codebook_decoder.tile_fusion": "none", "arch.codebook_decoder.fused_share": 0.5},
         "codebook_decoder.fused_share", "has no effect without tile_fusion"),
        ({"arch.system.link": None}, "system.link", "missing between 4 chips"),
        ({"arch.mapping.fusion": "auto"}, "mapping.fusion", "not fused over several chips"),
        ({"arch.buffers.weight.banks": 3}, "buffers.weight.capacity_kib", "in each of 3 banks"),
    ],
)  # fmt: skip
def test_what_no_hardware_can_have(changes: dict[str, object], where: str, found: str) -> None:
    with pytest.raises(UserError) as caught:
        load_arch(SYSTEM, changes)
    assert any(fault.name.endswith(where) and found in fault.found for fault in caught.value.faults), str(caught.value)


def test_bumps_that_a_die_has_no_room_for() -> None:
    with pytest.raises(UserError, match=r"728 bumps a die take 7\.28 mm2 of its 5\.553 mm2"):
        simulate(load_arch(CHIP, {"arch.reram_stack.bump_pitch_um": 100.0}), load_trace("matmul:4x4x4"))


def test_area_shows_tiers_and_footprint(tmp_path: Path) -> None:
    shown = CliRunner().invoke(cli, ["area", SYSTEM, "--json", str(tmp_path / "a.json")])
    assert shown.exit_code == 0, shown.output
    for text in ("Tiers of a chip", "logic", "reram 1", "22.2120", "footprint", "4 chips:"):
        assert text in shown.output
    saved = json.loads((tmp_path / "a.json").read_text())
    assert saved["chips"] == 4
    assert saved["footprint_mm2"] == pytest.approx(max(saved["tiers_mm2"].values()))
    assert saved["totals"]["area_mm2"] == pytest.approx(sum(saved["tiers_mm2"].values()))


@pytest.mark.parametrize("name", [CHIP, "hybrid_bond_dram_28nm"])
def test_explain_shows_the_stack(name: str) -> None:
    shown = CliRunner().invoke(cli, ["explain", name])
    assert shown.exit_code == 0, shown.output
    for text in ("Stacked memory", "read latency", "rotation_unit", "codebook_decoder", "bump_field", "footprint"):
        assert text in shown.output


def all_in_reram(folder: Path, base: str) -> str:
    """The path of a spec that places every weight in the stack."""
    path = folder / "placed.yaml"
    path.write_text(f"extends: {base}\nname: placed\nplacement:\n  - weights: '*'\n    store: reram\n")
    return str(path)


def test_a_report_says_where_weights_live(tmp_path: Path) -> None:
    arch, path = all_in_reram(tmp_path, SYSTEM), tmp_path / "r.json"
    shown = CliRunner().invoke(cli, ["simulate", arch, "matmul:4x512x512", "--json", str(path)])
    assert shown.exit_code == 0, shown.output
    for text in ("Where weights live", "hold weights, written once in", "tiers of a chip", "4 chips"):
        assert text in shown.output
    saved = json.loads(path.read_text())
    assert saved["weights"] == [{"weight": saved["weights"][0]["weight"], "store": "reram", "bits": 512 * 512 * 8}]
    assert saved["system"] == {"chips": 4}
    assert {row["level"] for row in saved["rows"]} >= {"reram", "buffer", "compute", "dram"}
    assert CliRunner().invoke(cli, ["diff", str(path), str(path)]).exit_code == 0


def test_what_is_too_large_says_by_how_much(tmp_path: Path) -> None:
    shown = CliRunner().invoke(cli, ["simulate", all_in_reram(tmp_path, CHIP), "matmul:4x4096x4096"])
    assert "reram has 67,108,864 (67,108,864 short)" in " ".join(shown.output.split())
    assert "place fewer weights there" in shown.output


def test_convs_and_mapping_files_are_of_one_chip() -> None:
    with pytest.raises(UserError, match="a conv is not split over chips"):
        simulate(load_arch(SYSTEM), load_trace("resnet_50"))
    with pytest.raises(UserError, match="a file of mappings is of one"):
        map_workload(load_arch(SYSTEM), load_trace("matmul:4x4x4"))
