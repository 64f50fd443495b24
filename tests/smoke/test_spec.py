"""Specs load, and a malformed one is answered with every fault, its line, its name and a fix."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from accelsim.errors import Fault, UserError
from accelsim.spec import (
    load_arch,
    load_arch_resolved,
    resolved_rows,
    spec_hash,
    split_overrides,
)
from accelsim.spec.cross_checks import RULES
from accelsim.spec.offload_checks import OFFLOAD_RULES
from accelsim.spec.stack_checks import STACK_RULES
from accelsim.spec.yaml_scalars import plain_scalar
from accelsim.spec.zero_checks import ZERO_RULES

SHIPPED = (
    "apsq_edge_is", "apsq_edge_lpddr5", "apsq_edge_os", "apsq_edge_ws", "apsq_llm_ws", "apsq_variant_h",
    "hybrid_bond_dram_28nm", "reram_logic_55nm", "reram_logic_55nm_x4",
    "row_stationary_12x14", "shared_l2_edge", "systolic_32x32",
)  # fmt: skip

GOOD = """\
spec_version: 1
name: chip
technology:
  node_nm: 28
  voltage_v: 0.9
  clock_mhz: 500
array:
  kind: adder_tree
  dataflow: weight_stationary
  po: 16
  pci: 8
  pco: 8
  operand_bits: 8
  accumulator_bits: 32
buffers:
  ifmap: {capacity_kib: 256, word_bits: 64, read_bits_per_cycle: 1024, write_bits_per_cycle: 512}
  weight:
    capacity_kib: 128
    read_bits_per_cycle: 512
    write_bits_per_cycle: 512
  psum_ofmap:
    capacity_kib: 256
    word_bits: 64
    read_bits_per_cycle: 4096
    write_bits_per_cycle: 4096
psum_engine:
  bits: [4, 8]
  group_sizes: [1, 2]
dram:
  kind: lpddr4
  bandwidth_gb_per_s: 25.6
  burst_bytes: 64
lut_unit:
  lanes: 16
vector_unit:
  lanes: 64
memories:
  - name: l2
    holds: [ifmap, weight]
    capacity_kib: 512
    read_bits_per_cycle: 1024
    write_bits_per_cycle: 1024
"""

# what is written for what, and the one fault it makes: line, name, part of what was found, part of the fix
BAD = [
    ("  po: 16", "  poo: 16", 10, "array.poo", "no such key", "did you mean 'po'"),
    ("  po: 16\n", "", 7, "array.po", "missing", "add po: a whole number, at least 1"),
    ("  po: 16", "  po: 0", 10, "array.po", "found 0", "at least 1 and at most 1048576"),
    ("  po: 16", "  po: -4", 10, "array.po", "found -4", "at least 1"),
    ("  po: 16", "  po: 16.0", 10, "array.po", "16.0, not a whole number", "write 16;"),
    ("  po: 16", "  po: true", 10, "array.po", "a truth value", "a whole number"),
    ("  po: 16", "  po: '16'", 10, "array.po", "the text '16'", "write 16 without quotes"),
    ("  po: 16", "  po:", 10, "array.po", "no value", "a whole number"),
    ("  po: 16", "  po: [16]", 10, "array.po", "[16]", "a whole number"),
    ("  po: 16", "  po: 12:30", 10, "array.po", "'12:30'", "a whole number"),
    ("  po: 16", f"  po: {'9' * 5000}", 10, "array.po", "5000 digits", "at most 100"),
    ("  po: 16", "  po: 16\n  po: 8", 11, "array.po", "first on line 10, again on line 11", "keep one"),
    ("  po: 16", "  po: !!python/object/apply:os.system ['true']", 10, "array.po", "!!python", "tags"),
    ("  po: 16", "  po: !!int 16", 10, "array.po", "tag '!!int'", "tags"),
    ("  po: 16", "  po: &size 16", 10, "array.po", "anchor &size", "aliases"),
    ("  po: 16", "  po: 16\n  <<: {}", 11, "array", "merge key", "extends"),
    ("  po: 16", "  po: 16\n  7: 1", 11, "array", "'7' is not a text", "a key is a word"),
    ("  po: 16", "  po: 16\n  ? [a]\n  : 1", 11, "array", "as a key", "a key is a word"),
    ("weight_stationary", "weight_stationry", 9, "array.dataflow", "weight_stationry", "'weight_stationary'"),
    ("kind: adder_tree", "kind: systolc", 8, "array.kind", "systolc", "did you mean 'systolic'"),
    ("  kind: adder_tree\n", "", 7, "array.kind", "missing", "adder_tree, pe_grid, systolic"),
    ("node_nm: 28", "node_nm: 28nm", 4, "technology.node_nm", "unit is already in the key", "write 28;"),
    ("voltage_v: 0.9", "voltage_v: .nan", 5, "technology.voltage_v", ".nan, not a finite", "at most 1.8"),
    ("clock_mhz: 500", "clock_mhz: .inf", 6, "technology.clock_mhz", ".inf", "at least 0.001 and at most 10000"),
    ("clock_mhz: 500", "clock_mhz: 1e400", 6, "technology.clock_mhz", ".inf", "at least 0.001"),
    ("clock_mhz: 500", f"clock_mhz: {'9' * 99}", 6, "technology.clock_mhz", "out of range", "at least 0.001"),
    ("clock_mhz: 500", "clock_ghz: 0.5", 6, "technology.clock_ghz", "no such key", "did you mean 'clock_mhz'"),
    ("spec_version: 1", "spec_version: true", 1, "spec_version", "true", "allowed: 1"),
    ("spec_version: 1", "spec_version: 2", 1, "spec_version", "found 2", "allowed: 1"),
    ("name: chip", "name: My Chip", 2, "name", "'My Chip'", "lower case"),
    ("name: chip", "name: 5", 2, "name", "not a text", "write '5' with quotes"),
    ("dram:\n", "drem:\n", 29, "drem", "no such key", "did you mean 'dram'"),
    ("kind: lpddr4", "kind: lpdr4", 30, "dram.kind", "lpdr4", "did you mean 'lpddr4'"),
    ("burst_bytes: 64", "burst_bytes: 48", 32, "dram.burst_bytes", "power of two", "32 or 64"),
    ("  bandwidth_gb_per_s: 25.6\n", "", 29, "dram.bandwidth_gb_per_s", "missing", "or timing"),
    ("burst_bytes: 64", "timing: lpddr4_320", 32, "dram.timing", "lpddr4_320", "did you mean 'lpddr4_3200'"),
    ("burst_bytes: 64", "timing: hbm2_2000", 32, "dram.timing", "no lpddr4", "timing: lpddr4_3200 or lpddr4_4266"),
    ("burst_bytes: 64", "channels: 2", 32, "dram.channels", "no dram.timing", "add timing, or remove channels"),
    ("capacity_kib: 128", "capacity_kb: 128", 18, "buffers.weight.capacity_kb", "no such key", "'capacity_kib'"),
    ("capacity_kib: 128", "capacity_kib: 100.3", 18, "buffers.weight.capacity_kib", "words of 64", "whole words"),
    ("word_bits: 64, read", "word_bits: 65, read", 16, "buffers.ifmap.capacity_kib", "words of 65", "whole words"),
    ("[4, 8]", "[8, 4]", 27, "psum_engine.bits", "ascending", "write [4, 8]"),
    ("[4, 8]", "[4, 4]", 27, "psum_engine.bits", "duplicates", "write [4]"),
    ("[4, 8]", "[4, 16]", 27, "psum_engine.bits[1]", "found 16", "at least 2 and at most 15"),
    ("[4, 8]", "[]", 27, "psum_engine.bits", "an empty list", "one or more"),
    ("[4, 8]", "8", 27, "psum_engine.bits", "not a list", "write [8]"),
    ("accumulator_bits: 32", "accumulator_bits: 15", 14, "array.accumulator_bits", "product", "at least 16"),
    ("operand_bits: 8\n  acc", "operand_bits: 33\n  acc", 14, "array.accumulator_bits", "product", "at least 66"),
    ("lanes: 16", "lanes: 16\n  bits: 8.0", 35, "lut_unit.bits", "8.0", "one of 8, 16, 32"),
    ("  - name: l2\n    holds", "  - holds", 38, "memories[0].name", "missing", "add name: a text"),
    ("- name: l2", "- name: L2", 38, "memories[0].name", "'L2', which is not allowed", "memories.l2.capacity_kib"),
    ("- name: l2", "- nmae: l2", 38, "memories[0].nmae", "no such key", "did you mean 'name'"),
    ("[ifmap, weight]", "[ifmap, wieght]", 39, "memories[0].holds[1]", "'wieght'", "did you mean 'weight'"),
    ("[ifmap, weight]", "ifmap", 39, "memories[0].holds", "'ifmap', not a list", "one of ifmap, weight, psum"),
    ("[ifmap, weight]", "[]", 39, "memories[0].holds", "an empty list", "of one or more"),
    ("capacity_kib: 512", "capacity_kib: 0.1", 40, "memories[0].capacity_kib", "out of range", "at least 1"),
    ("lut_unit:\n  lanes: 16", "lut_unit: 16", 33, "lut_unit", "16, not a mapping", "lanes"),
    ("lut_unit:\n  lanes: 16", "lut_unit: [", 35, "spec", "not readable as YAML", "brackets"),
    ("lut_unit:\n", "\tlut_unit:\n", 33, "spec", "not readable as YAML", "no tabs"),
    ("lanes: 64\n", f"lanes: {'[' * 100}\n", 36, "vector_unit.lanes[0]", "nested over 32", "levels"),
    ("lanes: 64\n", "lanes: 64 # \x07\n", 36, "spec", "U+0007", "remove it"),
]


def _write(folder: Path, text: str | bytes, name: str = "chip.yaml") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def _faults(path: str | Path, overrides: object = ()) -> tuple[Fault, ...]:
    with pytest.raises(UserError) as caught:
        load_arch(path, overrides)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "Input should" not in text
    assert "pydantic" not in text
    assert "extra_forbidden" not in text
    assert all(fault.found and fault.fix and fault.name for fault in caught.value.faults)
    return caught.value.faults


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_spec_loads_by_name_and_by_path(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    by_name = load_arch(name)
    assert by_name.name == name
    assert by_name.description
    assert load_arch(str(files("arch_specs") / f"{name}.yaml")) == by_name


def test_the_list_of_shipped_specs_is_whole() -> None:
    folder = Path(str(files("arch_specs")))
    assert sorted(path.stem for path in folder.glob("*.yaml")) == list(SHIPPED)


def test_the_edge_specs_differ_in_dataflow_alone() -> None:
    dumps = [load_arch(f"apsq_edge_{kind}").model_dump() for kind in ("ws", "is", "os")]
    flows = [(dump.pop("name"), dump.pop("description"), dump["array"].pop("dataflow")) for dump in dumps]
    assert dumps[0] == dumps[1] == dumps[2]
    assert [flow[2] for flow in flows] == ["weight_stationary", "input_stationary", "output_stationary"]


@pytest.mark.parametrize("name", [name for name in SHIPPED if name.startswith("apsq")])
def test_the_ports_of_the_adder_tree_specs_feed_the_array(name: str) -> None:
    spec = load_arch(name)
    array = spec.array
    assert array.kind == "adder_tree"
    assert spec.buffers.ifmap.read_bits_per_cycle == array.po * array.pci * array.operand_bits
    assert spec.buffers.weight.read_bits_per_cycle == array.pci * array.pco * array.operand_bits
    psum_bits = array.po * array.pco * array.accumulator_bits
    assert spec.buffers.psum_ofmap.read_bits_per_cycle == psum_bits
    assert spec.buffers.psum_ofmap.write_bits_per_cycle == psum_bits


@pytest.mark.parametrize(("old", "new", "line", "name", "found", "fix"), BAD)
def test_a_malformed_spec_is_one_fault(
    old: str, new: str, line: int, name: str, found: str, fix: str, tmp_path: Path
) -> None:
    assert GOOD.count(old) >= 1
    path = _write(tmp_path, GOOD.replace(old, new, 1))
    (fault,) = _faults(path)
    assert (fault.file, fault.line, fault.name) == (str(path), line, name)
    assert fault.column > 0
    assert found in fault.found
    assert fix in fault.fix


# overrides of GOOD, and the fault of the rule they break
CLASHES = [
    (["arch.dram.bandwidth_gb_per_s=null"], "arch.dram.bandwidth_gb_per_s", "missing"),
    (["arch.dram.timing=ddr4_3200"], "arch.dram.timing", "ddr4_3200 is no lpddr4"),
    (["arch.dram.channels=2"], "arch.dram.channels", "no dram.timing that it could belong to"),
    (["arch.dram.timing=lpddr4_3200", "arch.dram.channels=2"], "arch.dram.channels", "2 channels of lpddr4_3200"),
    (["arch.dram.timing=lpddr4_3200", "arch.dram.bytes_between_turnarounds=64", "arch.dram.row_hit_efficiency=0.5"],
     "arch.dram.bytes_between_turnarounds", "no effect"),
    (["arch.dram.burst_bytes=48"], "arch.dram.burst_bytes", "power of two"),
    (["arch.dram.burst_bytes=4096", "arch.buffers.ifmap.capacity_kib=2"], "arch.buffers.ifmap.capacity_kib", "burst"),
    (["arch.buffers.ifmap=null", "arch.memories.l2.holds=[weight]"], "arch.buffers.ifmap", "on chip holds ifmap"),
    (["arch.memories.l2.name=dram"], "arch.memories[0].name", "another block"),
    (["arch.memories.l2.holds=[psum, psum]"], "arch.memories[0].holds", "duplicates"),
    (["arch.buffers.ifmap.word_bits=48"], "buffers.ifmap.capacity_kib", "words of 48"),
    (["arch.buffers.weight.capacity_kib=1", "arch.buffers.weight.read_bits_per_cycle=8193"],
     "arch.buffers.weight.read_bits_per_cycle", "holds (8192 bits)"),
    (["arch.array.operand_bits=33", "arch.array.accumulator_bits=64", "arch.psum_engine=null",
      "arch.buffers.ifmap.word_bits=32"], "arch.buffers.ifmap.word_bits", "straddle"),
    (["arch.array.accumulator_bits=33", "arch.buffers.psum_ofmap.word_bits=32"],
     "arch.buffers.psum_ofmap.word_bits", "straddle"),
    (["arch.array.accumulator_bits=15"], "arch.array.accumulator_bits", "product"),
    (["arch.psum_engine.group_sizes=[2, 1]"], "arch.psum_engine.group_sizes", "ascending"),
    (["arch.mapping.objective=latency"], "arch.mapping.objective", "no effect: nothing is searched"),
    (["arch.array.operand_bits=4", "arch.array.accumulator_bits=8"], "psum_engine.bits", "narrower"),
    (["arch.technology.node_nm=180", "arch.technology.clock_mhz=5000"], "arch.technology.clock_mhz", "gate delays"),
    (["arch.array.po=65536", "arch.array.pci=65536"], "array", "wafer"),
]  # fmt: skip


@pytest.mark.parametrize(("overrides", "name", "found"), CLASHES)
def test_an_impossible_combination_is_one_fault(overrides: list[str], name: str, found: str, tmp_path: Path) -> None:
    faults = [fault for fault in _faults(_write(tmp_path, GOOD), overrides) if found in fault.found]
    (fault,) = faults
    assert fault.name == name
    assert (fault.line == 0) == name.startswith("arch.")


def test_every_rule_has_a_case() -> None:
    # Two of a pe_grid are in test_pe_grid_spec.py, three in test_registers_spec.py, the search's in test_map.py.
    # Those of stacked memory, units and chips are in test_stack_spec.py, the strided DMA's in test_strided_dma.py,
    # those of zeros in test_zeros.py.
    assert len(RULES) == len(CLASHES) + 7 + len(STACK_RULES) + len(OFFLOAD_RULES) + len(ZERO_RULES)


def test_the_good_spec_is_good(tmp_path: Path) -> None:
    assert load_arch(_write(tmp_path, GOOD)).name == "chip"


def test_all_faults_of_a_file_come_at_once(tmp_path: Path) -> None:
    text = GOOD
    for old, new in [
        ("po: 16", "po: 0"),
        ("po: 0\n", "po: 0\n  po: 1\n"),
        ("node_nm: 28", "node_nm: 28nm"),
        ("weight_stationary", "weight"),
        ("burst_bytes: 64", "burst_bytes: 48"),
        ("lut_unit:\n  lanes", "lut_unit:\n  lane"),
    ]:
        text = text.replace(old, new, 1)
    names = [(fault.line, fault.name) for fault in _faults(_write(tmp_path, text))]
    assert names == [
        (4, "technology.node_nm"),
        (9, "array.dataflow"),
        (10, "array.po"),
        (11, "array.po"),
        (33, "dram.burst_bytes"),
        (35, "lut_unit.lane"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("", 1, "holds nothing"),
        ("- 1\n", 1, "holds [1]"),
        ("just words\n", 1, "just words"),
        (b"name: \xff\n", 1, "0xff is not UTF-8"),
        ("a: 1\n" + "#" * (1 << 20), 0, "over 1 MiB"),
        ("{" * 100_000, 1, "nested over 32"),
        ("? " * 100_000, 1, "nested over 32"),
        ("[" * 100_000, 1, "nested over 32"),
        (GOOD + "---\na: 1\n", 43, "second document"),
        (GOOD.replace("lanes: 64", "lanes: *a"), 36, "alias *a"),
        (GOOD.replace("lanes: 64", "lanes: &a 64\n  bits: *a"), 37, "alias *a"),
        (b"\x00\x01\x02", 1, "unprintable"),
    ],
)
def test_a_file_that_is_no_spec(text: str | bytes, line: int, found: str, tmp_path: Path) -> None:
    faults = _faults(_write(tmp_path, text))
    assert any(fault.line == line and found in fault.found for fault in faults), faults


def test_a_huge_pile_of_faults_is_cut_and_says_so(tmp_path: Path) -> None:
    faults = _faults(_write(tmp_path, "".join(f"key{i}: 1\n" for i in range(5000))))
    assert len(faults) == 102  # the last: no buffers
    assert any("of which 100 are shown" in fault.found for fault in faults)


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, GOOD)
    (tmp_path / "folder.yaml").mkdir()
    monkeypatch.chdir(tmp_path)
    cases = [
        ("chop.yaml", "no such file", "did you mean 'chip.yaml'"),
        ("nowhere/chip.yaml", "no such file", "folder does not exist"),
        ("folder.yaml", "is a directory", "a YAML file"),
        ("/dev/null/x.yaml", "no such file", ""),
        ("/dev/zero", "not a regular file", ""),
        ("apsq_edge_ws.yaml", "no such file", "write apsq_edge_ws"),
        ("apsq_edge_w", "no shipped spec", "did you mean 'apsq_edge_ws'"),
        ("chip", "no shipped spec", "./chip.yaml"),
        ("", "no shipped spec", "apsq_edge_ws"),
        ("a\0b.yaml", "no such file", ""),
        (f"{'x' * 5000}.yaml", "no such file", ""),
    ]
    for name, found, fix in cases:
        (fault,) = _faults(name)
        assert found in fault.found, fault
        assert fix in fault.fix, fault


def test_yaml_reads_scalars_as_version_1_2() -> None:
    texts = ["12:30", "on", "yes", "1_000", "2001-01-01", "0b1", "=", "0x", "1e", "."]
    assert [plain_scalar(text) for text in texts] == texts
    assert [plain_scalar(text) for text in ("010", "0o10", "0x1F", "-3", "+3")] == [10, 8, 31, -3, 3]
    assert [plain_scalar(text) for text in ("1e9", ".5", "1.", "-1E-3")] == [1e9, 0.5, 1.0, -1e-3]
    assert [plain_scalar(text) for text in ("", "~", "null", "True", "false")] == [None, None, None, True, False]


def test_extends_merges_and_keeps_positions(tmp_path: Path) -> None:
    _write(tmp_path, GOOD, "base.yaml")
    path = _write(tmp_path, "extends: base.yaml\nname: child\narray:\n  po: 4\npsum_engine: null\n", "child.yml")
    resolved = load_arch_resolved(path)
    assert resolved.spec.name == "child"
    assert resolved.spec.psum_engine is None
    assert resolved.spec.array.model_dump()["po"] == 4
    assert resolved.spec.array.model_dump()["pci"] == 8
    origins = {key: origin for key, _, origin in resolved_rows(resolved)}
    assert origins["array.po"] == f"{path}:4"
    assert origins["array.pci"] == f"{tmp_path / 'base.yaml'}:11"
    assert origins["psum_engine"] == f"{path}:5"
    assert origins["mapping.spill"] == "default"


def test_a_fault_in_an_extended_file_points_there(tmp_path: Path) -> None:
    base = _write(tmp_path, GOOD.replace("pci: 8", "pci: 0"), "base.yaml")
    path = _write(tmp_path, "extends: ./base.yaml\narray:\n  po: 0\n")
    assert [(fault.file, fault.line) for fault in _faults(path)] == [(str(base), 11), (str(path), 3)]


def test_another_array_kind_replaces_the_array(tmp_path: Path) -> None:
    array = "  kind: systolic\n  dataflow: output_stationary\n  rows: 4\n  cols: 4\n"
    path = _write(tmp_path, f"extends: apsq_edge_ws\nname: other\narray:\n{array}")
    assert load_arch(path).array.model_dump()["rows"] == 4
    faults = _faults(_write(tmp_path, "extends: apsq_edge_ws\narray:\n  kind: systolic\n"))
    assert [(fault.line, fault.name) for fault in faults] == [
        (2, "array.cols"), (2, "array.dataflow"), (2, "array.rows"),
    ]  # fmt: skip


def test_faults_of_extends(tmp_path: Path) -> None:
    for text, found, fix in [
        ("apsq_edge_w", "no shipped spec", "did you mean 'apsq_edge_ws'"),
        ("nowhere.yaml", "no such file", "did you mean 'chip.yaml'"),
        ("[a]", "found ['a']", "name of a shipped spec"),
        ("chip.yaml", "a cycle", "remove"),
    ]:
        (fault,) = _faults(_write(tmp_path, f"extends: {text}\n"))
        assert fault.line == 1
        assert fault.name == "extends"
        assert found in fault.found
        assert fix in fault.fix
    for step in range(12):
        _write(tmp_path, f"extends: step{step + 1}.yaml\n", f"step{step}.yaml")
    (fault,) = _faults(tmp_path / "step0.yaml")
    assert fault.file.endswith("step8.yaml")
    assert "over 8 files deep" in fault.found


def test_overrides_set_values_defaults_and_sections() -> None:
    texts = ["arch.array.po=8", "arch.array.mac_energy_pj=2e-1", "arch.mapping.spill=bypass", "arch.psum_engine=null"]
    resolved = load_arch_resolved("apsq_edge_ws", texts)
    dump = resolved.spec.model_dump()
    assert (dump["array"]["po"], dump["array"]["mac_energy_pj"]) == (8, 0.2)
    assert dump["mapping"]["spill"] == "bypass"
    assert dump["psum_engine"] is None
    assert {resolved.origins[key] for key in ("array.po", "mapping.spill", "psum_engine")} == {"override"}
    assert (
        load_arch("apsq_edge_ws", {"arch.psum_engine.bits": (8,)}).psum_engine
        == load_arch("apsq_edge_ws", {"arch.psum_engine.bits": "[8]"}).psum_engine
    )
    assert load_arch("apsq_edge_ws", ["arch.array.po=16"]) == load_arch("apsq_edge_ws")


@pytest.mark.parametrize(
    ("override", "name", "fix"),
    [
        ("arch.arry.po=3", "arch.arry", "did you mean 'array'"),
        ("arch.array.dataflw=3", "arch.array.dataflw", "did you mean 'dataflow'"),
        ("arch.array.rows=3", "arch.array.rows", "allowed: accumulator_bits"),
        ("arch.buffers.wieght.capacity_kib=3", "arch.buffers.wieght", "did you mean 'weight'"),
        ("arch.array.po=x", "arch.array.po", "a whole number"),
        ("arch.array.po={a: 1}", "arch.array.po", "one key at a time"),
        ("arch.array.po=[", "arch.array.po", "brackets"),
        ("arch.array.po=*a", "arch.array.po", ""),
        ("arch.array.po=\ud800", "arch.array.po", "remove it"),
        ("arch.array.po.deep=1", "arch.array.po", "a whole number"),
        ("arch.psum_engine.bits.0=4", "arch.psum_engine.bits", "a list"),
        ("arch.extends=apsq_edge_is", "arch.extends", "allowed: array"),
        ("arch..po=3", "'arch..po'", "arch.array.po"),
        ("workload.psum.bits=8", "'workload.psum.bits'", "arch.array.po"),
    ],
)
def test_a_wrong_override_is_one_fault(override: str, name: str, fix: str) -> None:
    (fault,) = _faults("apsq_edge_ws", [override])
    assert (fault.file, fault.line, fault.name) == ("override", 0, name)
    assert fix in fault.fix


def test_overrides_that_contradict_each_other() -> None:
    (fault,) = _faults("apsq_edge_ws", ["arch.psum_engine=null", "arch.psum_engine.bits=[8]"])
    assert "overridden too" in fault.found


def test_memories_are_overridden_by_name(tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD)
    resolved = load_arch_resolved(str(path), ["arch.memories.l2.capacity_kib=256", "arch.buffers.weight=null"])
    assert (resolved.spec.memories[0].capacity_kib, resolved.spec.buffers.weight) == (256, None)
    assert resolved.origins["memories.l2.capacity_kib"] == "override"
    assert resolved.origins["memories.l2.holds"] == f"{path}:39"
    text = f"extends: {path}\nmemories:\n  l2: {{capacity_kib: 128}}\n"
    above = load_arch_resolved(_write(tmp_path, text, "above.yaml"))
    assert (above.spec.memories[0].name, above.spec.memories[0].capacity_kib) == ("l2", 128)
    assert above.origins["memories.l2.capacity_kib"] == f"{tmp_path / 'above.yaml'}:3"
    (fault,) = _faults(path, ["arch.memories.l3.capacity_kib=256"])
    assert (fault.name, fault.found) == ("arch.memories.l3", "no memory is called 'l3'")
    assert "did you mean 'l2'" in fault.fix
    (fault,) = _faults("apsq_edge_ws", ["arch.memories.l2.capacity_kib=256"])
    assert "has no memories" in fault.fix


def test_overrides_are_split_by_prefix() -> None:
    assert split_overrides(["arch.array.po=4", "workload.psum.bits=a=b"]) == (
        {"arch.array.po": "4"},
        {"workload.psum.bits": "a=b"},
    )
    with pytest.raises(UserError) as caught:
        split_overrides(["arch.array.po", "chip.po=1", "arch=1", "arch.name=a", "arch.name=b"])
    assert len(caught.value.faults) == 4


def test_equal_specs_have_equal_hashes(tmp_path: Path) -> None:
    first = load_arch(_write(tmp_path, GOOD))
    second = load_arch(_write(tmp_path, GOOD.replace("node_nm: 28", "node_nm: 28.0") + "mapping: {spill: through}\n"))
    assert spec_hash(first) == spec_hash(second) != spec_hash(load_arch("apsq_edge_ws"))
    assert len(spec_hash(first)) == 64


def test_every_leaf_has_an_origin() -> None:
    resolved = load_arch_resolved("apsq_llm_ws")
    rows = resolved_rows(resolved)
    assert [key for key, _, _ in rows] == list(resolved.origins)
    leaves = json.loads(json.dumps(resolved.spec.model_dump(), default=str))
    for key, value, origin in rows:
        below = leaves
        for part in key.split("."):
            below = below[part]
        assert below == (list(value) if isinstance(value, tuple) else value)
        assert origin


def test_loading_imports_nothing_heavy() -> None:
    code = "import sys, accelsim.spec as s; s.load_arch('apsq_edge_ws'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert not {"numpy", "numba", "pandas", "torch"} & set(done.stdout.split())
