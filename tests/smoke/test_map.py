"""`accelsim map` and `simulate --mapping`: replayed byte for byte, bad files answered, rules of a searched spec."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import accelsim
from accelsim import load_arch, load_trace, simulate
from accelsim.cli.app import cli
from accelsim.errors import UserError
from accelsim.hardware.machine import build_machine
from accelsim.map_workload import map_workload
from accelsim.mapping.closed_form import closed_form
from accelsim.mapping.dataflow import loop_order, map_in_order
from accelsim.mapping.lower import MacWork, lower
from accelsim.mapping.mapping_file import load_mappings, save_mappings
from accelsim.mapping.nest import Mapping, Store
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.problem import matmul_problem
from accelsim.mapping.search import cached
from accelsim.mapping.search.cached import cached_search, forget
from accelsim.mapping.search.result import SearchResult
from accelsim.mapping.search.search import search
from accelsim.report.terminal import ENERGY_UNITS, TIME_UNITS, scaled_text
from accelsim.schemes import PsumScheme
from accelsim.workload.trace import MatmulDims

SEARCH = ["--set", "arch.array.dataflow=search"]
MATMUL = "matmul:24x40x56"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("ACCELSIM_MAPPING_CACHE", raising=False)
    forget()


def run(*args: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, list(args))
    return result.exit_code, result.output


def written(tmp_path: Path, workload: str, *sets: str) -> tuple[bytes, bytes, Path]:
    """Reports of the search itself and of the replay, and the mapping file."""
    file, first, second = (tmp_path / name for name in ("m.yaml", "a.json", "b.json"))
    assert run("map", "apsq_edge_ws", workload, "--out", str(file), *sets)[0] == 0
    forget()
    assert run("simulate", "apsq_edge_ws", workload, "--json", str(first), *sets)[0] == 0
    assert run("simulate", "apsq_edge_ws", workload, "--json", str(second), "--mapping", str(file), *sets)[0] == 0
    return first.read_bytes(), second.read_bytes(), file


@pytest.mark.parametrize(
    "sets",
    [
        SEARCH,
        [*SEARCH, "--set", "workload.psum.bits=8", "--set", "workload.psum.group_size=2"],
        [*SEARCH, "--set", "arch.mapping.objective=latency", "--set", "arch.mapping.search_budget=50"],
        ["--set", "arch.mapping.tiles=searched"],
        [],
    ],
)
def test_replay_is_byte_identical(tmp_path: Path, sets: list[str]) -> None:
    searched, replayed, _ = written(tmp_path, MATMUL, *sets)
    assert searched == replayed
    search = json.loads(searched)["ops"][0]["search"]
    assert (search is None) == (not sets)


def test_replay_of_a_nested_conv(tmp_path: Path) -> None:
    """Searched by rows, columns and taps: what `map` writes, `simulate --mapping` replays to the byte."""
    sets = [*SEARCH, "--set", "arch.array.spatial_reduction=nested", "--set", "arch.mapping.search_budget=5000"]
    layers = tmp_path / "layers.csv"
    layers.write_text(
        "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"
        "conv, 31, 31, 3, 3, 32, 48, 2,\n"
    )
    searched, replayed, file = written(tmp_path, str(layers), *sets)
    assert searched == replayed
    search = json.loads(searched)["ops"][0]["search"]
    assert (search["proved"], search["stop_reason"]) == (False, "budget")
    assert "for p in chunks of" in file.read_text()


def test_replay_of_bert_with_fusion_and_prefetch(tmp_path: Path) -> None:
    extra = ["--set", "arch.mapping.fusion=auto", "--set", "arch.mapping.prefetch=weights"]
    searched, replayed, _ = written(tmp_path, "bert_base", *SEARCH, *extra)
    assert searched == replayed


def test_search_is_no_worse_than_the_fixed_dataflows() -> None:
    """By the closed form, which is what a search minimises; within its tolerance."""
    arch, trace = load_arch("apsq_edge_ws", {"arch.array.dataflow": "search"}), load_trace("matmul:128x768x768")
    machine = build_machine(arch)
    work = lower(trace.phases[0].ops[0], trace.tensor_by_id(), machine)
    assert isinstance(work, MacWork)
    (mapped,) = map_workload(arch, trace)[0].mappings.values()
    for dataflow in ("weight_stationary", "input_stationary", "output_stationary"):
        fixed = map_in_order(work.problem, loop_order(work.problem, dataflow), machine, "through")
        assert isinstance(fixed, Mapping)
        assert mapped.search is not None
        assert mapped.search.energy_pj <= closed_form(work.problem, fixed, machine).energy_pj * 1.002


def test_the_cache_is_read_and_its_loss_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arch, trace = load_arch("apsq_edge_ws", {"arch.array.dataflow": "search"}), load_trace(MATMUL)
    first = map_workload(arch, trace)[0]
    (kept,) = (tmp_path / "cache").rglob("*.json")
    with monkeypatch.context() as patch:
        patch.setattr(cached, "search", None)  # not called
        forget()
        assert map_workload(arch, trace)[0] == first
    whole = kept.read_bytes()
    said, _, text = whole.partition(b"\n")
    for bad in (
        b"", b"no json", whole[:-9], text, said + b"\n", whole.replace(b'"counted": ', b'"counted": 7'),
        whole.replace(b'"proved": true', b'"proved": "yes"'), whole.replace(b"for k", b"for m"), b"\xff\n" * 9,
    ):  # fmt: skip
        assert bad != whole
        kept.write_bytes(bad)
        forget()
        assert map_workload(arch, trace)[0] == first
        assert kept.read_bytes() == whole


def test_the_cache_tells_memories_apart_by_name() -> None:
    """The same machine with its L2 renamed: a mapping holds names."""
    problem = matmul_problem(MatmulDims(1, 1, 64, 64, 64), 8, 8, 8, PsumScheme(32))
    machine = build_machine(load_arch("shared_l2_edge", {"arch.array.dataflow": "search"}))
    (l2,) = (memory for memory in machine.memories if memory.name == "l2")
    others = tuple(memory for memory in machine.memories if memory is not l2)
    renamed = replace(machine, memories=(replace(l2, name="gb"), *others))
    for one in (machine, renamed):
        found = cached_search(problem, one, "energy", "through", 10_000, 0.1)
        assert isinstance(found, SearchResult)
        levels = {node.level for node in found.mapping.nodes if isinstance(node, Store)}
        assert levels <= {"dram", "array", *(memory.name for memory in one.memories)}


def test_psums_that_go_past_their_buffer_need_no_room_in_it() -> None:
    problem = matmul_problem(MatmulDims(2, 1, 4, 6, 2), 4, 8, 32, PsumScheme(4))
    machine = build_machine(load_arch("apsq_edge_ws", {"arch.array.dataflow": "search"}))
    machine = replace(machine, array=replace(machine.array, po=5, pci=2, pco=5))
    for memory, word, bits in zip(machine.memories, (8, 16, 16), (16, 128, 16), strict=True):
        machine = machine.with_memory(replace(memory, word_bits=word, capacity_bits=bits))
    assert isinstance(search(problem, machine, spill="bypass", tolerance=0.0), SearchResult)
    assert isinstance(search(problem, machine, spill="through", tolerance=0.0), Infeasible)
    groups = replace(problem, psum=PsumScheme(4, 2))  # which stay in their buffer until they are finished
    assert isinstance(search(groups, machine, spill="bypass", tolerance=0.0), Infeasible)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("for ", "four ", "cannot read"),
        ("arch_hash: ", "arch_hash: x", "arch_hash"),
        ("mapping_version: 1", "mapping_version: 2", "mapping_version"),
        ("weight_buffer holds weight", "psum_buffer holds weight", "does not hold weight"),
        ("dram holds ifmap", "array holds ifmap", "ifmap is stored in"),
        ("parallel k x 8", "parallel k x 4", "the array runs"),
        ("encode/", "decode/", "no matmul or conv of this name"),
        ("nest:", "nests:", "nests"),
    ],
)
def test_bad_mapping_files(tmp_path: Path, before: str, after: str, says: str) -> None:
    _, _, file = written(tmp_path, MATMUL, *SEARCH)
    text = file.read_text()
    if before not in text:
        before = {"encode/": "ops:\n  - ", "for ": "holds weight"}.get(before, before)
        after = {"ops:\n  - ": "ops:\n  - x", "holds weight": "hold weight"}.get(before, after)
    assert before in text
    file.write_text(text.replace(before, after, 1))
    code, output = run("simulate", "apsq_edge_ws", MATMUL, "--mapping", str(file), *SEARCH)
    assert code == 2, output
    assert says in output, output
    assert "Traceback" not in output


Change = Callable[[list[str]], list[str]]


def swapped(before: str, after: str) -> Change:
    return lambda lines: [line.replace(before, after) for line in lines]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (swapped("mapping_version: 1", "mapping_version: true"), "m.yaml:1:18: mapping_version: found true"),
        (swapped("mapping_version: 1", "mapping_version: 1.0"), "found 1.0"),
        (swapped("arch_hash: ", "arch_hash: x"), "m.yaml:2:12: arch_hash"),
        (swapped("encode/", "decode/"), "the workload has no matmul or conv of this name"),
        (swapped("encode/", "decode/"), "did you mean 'encode/"),
        (swapped("encode/", "y" * 5000), "m.yaml:6:5"),
        (swapped("weight_buffer holds weight", "psum_buffer holds weight"), "m.yaml:7:3: encode/"),
        (swapped("parallel k x 8", "parallel k x 4"), "m.yaml:7:3: encode/"),
        (swapped("parallel k x 8", "parallel k x " + "8" * 5000), "cannot read 'parallel k x 888"),
        (swapped("holds ifmap", "y" * 5000 + " holds ifmap"), "m.yaml"),
        (swapped("counted: ", "counted: " + "9" * 80 + "."), "counted: found 1e+80"),
        (swapped("counted: ", "counted: " + "9" * 5000), "at most 100 digits"),
        (swapped("energy_pj: ", "energy_pj: 9"), "its search speaks of another nest"),
        (swapped("energy_pj: ", "energy: "), "did you mean 'energy_pj'"),
        (swapped("stop_reason: proved", "stop_reason: bored"), "found 'bored'"),
        (swapped("stop_reason: proved", "stop_reason: budget"), "true beside stop_reason budget"),
        (lambda lines: [line for line in lines if "objective" not in line], "objective: missing"),
        (lambda lines: ["[]"], "found []"),
        (lambda lines: [*lines, *lines[4:]], "mapped twice, first in line 6"),
    ],
)
def test_faults_of_mapping_files_say_where(tmp_path: Path, change: Change, says: str) -> None:
    _, _, file = written(tmp_path, MATMUL, *SEARCH)
    file.write_text("\n".join(change(file.read_text().splitlines())))
    code, output = run("simulate", "apsq_edge_ws", MATMUL, "--mapping", str(file), *SEARCH)
    assert code == 2, output
    assert says in output, output
    assert "m.yaml:" in output
    assert "Traceback" not in output
    assert "Input should" not in output
    assert max(map(len, output.splitlines())) < 600


def test_placed_mappings_are_shown_with_their_cost() -> None:
    arch, trace = load_arch("apsq_edge_ws"), load_trace(MATMUL)
    (group,) = map_workload(arch, trace)[1]
    assert group.cost is not None
    _, output = run("map", "apsq_edge_ws", MATMUL)
    (line,) = (line for line in output.splitlines() if "placed" in line)
    assert scaled_text(group.cost.energy_pj, ENERGY_UNITS) in line
    assert scaled_text(group.cost.latency_fs / 1e15, TIME_UNITS) in line
    _, output = run("map", "row_stationary_12x14", MATMUL)
    (line,) = (line for line in output.splitlines() if "placed" in line)
    assert line.split()[-3:] == ["-", "-", "placed"]


@pytest.mark.parametrize(
    ("command", "kernels"),
    [
        (("simulate", "apsq_edge_ws", MATMUL), {"engine"}),
        (("simulate", "apsq_edge_ws", MATMUL, *SEARCH), {"engine", "search"}),
        (("map", "apsq_edge_ws", MATMUL, *SEARCH), {"search"}),
        (("map", "apsq_edge_ws", MATMUL), set()),
        (("sweep", "apsq_edge_ws", MATMUL, "--over", "arch.array.po=8,16"), {"engine"}),
        (("sweep", "apsq_edge_ws", MATMUL, "--over", "arch.mapping.tiles=searched"), {"engine", "search"}),
    ],
)
def test_compiling_is_announced(
    command: tuple[str, ...], kernels: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where kernels that the command runs are not compiled yet."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    missing: set[str]
    for missing in ({"engine"}, {"search"}, set()):
        root = tmp_path / f"without_{'_'.join(missing)}"
        for name, folder in (("engine", root / "engine"), ("search", root / "mapping" / "search")):
            (folder / "__pycache__").mkdir(parents=True)
            if name not in missing:
                (folder / "__pycache__" / "kernel.nbi").write_bytes(b"")
        with monkeypatch.context() as patch:
            patch.setattr(accelsim, "__path__", [str(root), *accelsim.__path__])
            result = CliRunner().invoke(cli, list(command))
        assert result.exit_code == 0, result.output
        assert ("compiling kernels" in result.stderr) == bool(missing & kernels)


def test_a_tile_that_does_not_fit_is_a_result(tmp_path: Path) -> None:
    arch, trace = load_arch("apsq_edge_ws", {"arch.array.dataflow": "search"}), load_trace("matmul:128x768x768")
    file = map_workload(arch, trace)[0]
    path = tmp_path / "m.yaml"
    save_mappings(file, path)
    text = path.read_text()
    lines = [line for line in text.splitlines() if "weight_buffer holds weight" not in line]
    at = next(i for i, line in enumerate(lines) if "dram holds weight" in line)
    path.write_text("\n".join([*lines[: at + 1], "  - weight_buffer holds weight", *lines[at + 1 :]]))
    report = simulate(arch, trace, load_mappings(path))
    (row,) = report.infeasible
    assert (row.resource, row.demand, row.bound) == ("weight_buffer", 768 * 768 * 8, 128 * 8192)


@pytest.mark.parametrize(
    ("arch", "overrides", "says"),
    [
        ("row_stationary_12x14", {"arch.mapping.tiles": "searched"}, "pe_grid"),
        ("apsq_edge_ws", {"arch.mapping.tiles": "searched", "arch.array.spatial_reduction": "nested"}, "nested"),
        ("systolic_32x32", {"arch.array.dataflow": "search"}, "dataflow"),
        ("apsq_edge_ws", {"arch.mapping.search_budget": 0}, "search_budget"),
        ("apsq_edge_ws", {"arch.mapping.objective": "speed"}, "objective"),
        ("apsq_edge_ws", {"arch.mapping.objective": "latency"}, "objective: has no effect: nothing is searched"),
        ("apsq_edge_ws", {"arch.mapping.search_budget": 10}, "search_budget: has no effect"),
        ("row_stationary_12x14", {"arch.mapping.search_tolerance": 0.1}, "search_tolerance: has no effect"),
        (
            "validation/gemmini_256k",
            {"arch.mapping.tiles": "searched", "arch.mapping.objective": "edp"},
            "a host's tiles are searched for time",
        ),
    ],
)
def test_rules_of_a_searched_spec(arch: str, overrides: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        load_arch(arch, overrides)


def test_given_loops(tmp_path: Path) -> None:
    """A mapping as a line of loops, of Timeloop's form: the nest it says, and the report of replaying it."""
    file, out = tmp_path / "m.yaml", tmp_path / "r.json"
    line = "L2[WIO] K4 - L1[WIO] P3 C10 K2 - L0[] P8X C4X K8X"
    code, said = run("map", "apsq_edge_ws", "matmul:24x40x64", "--loops", line, "--out", str(file))
    assert code == 0, said
    (mapped,) = load_mappings(file).mappings.values()
    assert [(loop.dim, loop.step) for loop in mapped.mapping.loops] == [("n", 16), ("m", 8), ("k", 4), ("n", 8)]
    stored = [
        (node.operand, node.level, node.double_buffered) for node in mapped.mapping.nodes if isinstance(node, Store)
    ]
    assert stored[3:6] == [
        ("ifmap", "ifmap_buffer", False), ("weight", "weight_buffer", True), ("output", "psum_buffer", True),
    ]  # fmt: skip
    assert run("simulate", "apsq_edge_ws", "matmul:24x40x64", "--mapping", str(file), "--json", str(out))[0] == 0
    assert json.loads(out.read_text())["totals"]["macs"] == 24 * 40 * 64


@pytest.mark.parametrize(
    ("workload", "line", "answer"),
    [
        (MATMUL, "L2[WIO] K4 Z3", "'Z3' is no loop, in 'L2[WIO] K4 Z3'"),
        (MATMUL, "L2[WIO] K0", "'K0' is no loop"),
        (MATMUL, "L2[WXO] K4", "'L2[WXO] K4' is no level"),
        (MATMUL, "L2[WIO] K4 - L1[WIO] P3 C10 - L0[] P8X C4X K8X", "K makes 32 in all, the op has 56"),
        (MATMUL, "L2[WI] K7 - L1[WIO] P3 C10 - L0[] P8X C4X K8X", "O is in L1; this spec holds output in dram, psum"),
        (MATMUL, "L2[WIO] K7 R3 - L1[WIO] P3 C10 - L0[] P8X C4X K8X", "R makes 3 in all, the op has 1"),
        (MATMUL, "L2[WIO] - L1[WIO] - L0[] P24X C40X K56X", "m reaches the array in chunks of"),
        (MATMUL, "L2[WIO] K7 - L3[WIO] P3 C10 - L0[] P8X C4X K8X", "L3 follows L2; numbers fall"),
        (MATMUL, "L2[WIO] K7 - L2[WIO] P3 C10 - L0[] P8X C4X K8X", "L2 follows L2; numbers fall"),
        (MATMUL, "L2[WWIO] K7 - L1[WIO] P3 C10 - L0[] P8X C4X K8X", "L2 holds an operand twice"),
        ("matmul:4096x4096x8", "L2[WIO] - L1[WIO] P512 C1024 - L0[] P8X C4X K8X", "needed"),
        ("bert_base", "L2[WIO] - L1[WIO]", "kinds of matmul and conv"),
        (MATMUL, "P8 - " * 3000, "over 10000 characters"),
    ],
)
def test_given_loops_that_do_not_fit(tmp_path: Path, workload: str, line: str, answer: str) -> None:
    file = tmp_path / "good.yaml"
    file.write_text("as before")
    code, said = run("map", "apsq_edge_ws", workload, "--loops", line, "--out", str(file))
    assert code == 2, said
    assert answer in said
    assert file.read_text() == "as before"


def test_no_op_can_be_mapped(tmp_path: Path) -> None:
    file = tmp_path / "good.yaml"
    file.write_text("as before")
    small = ("array.po=64", "array.pco=32", "buffers.psum_ofmap.capacity_kib=1")
    sets = [word for key in small for word in ("--set", f"arch.{key}")]
    code, said = run("map", "apsq_edge_ws", "matmul:64x40x56", *sets, "--out", str(file))
    assert code == 2, said
    assert "no op can be mapped" in said
    assert file.read_text() == "as before"


def test_given_loops_of_a_folded_conv(tmp_path: Path) -> None:
    layers = tmp_path / "layers.csv"
    layers.write_text(
        "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"
        "conv, 8, 8, 1, 1, 8, 8, 1,\n"
    )
    line = "L2[WIO] P8 Q8 - L1[WIO] - L0[] C8X K8X"
    code, said = run("map", "apsq_edge_ws", str(layers), "--loops", line)
    assert code == 2
    assert "spatial_reduction=nested" in said
    code, said = run(
        "map", "apsq_edge_ws", str(layers), "--loops", line, "--set", "arch.array.spatial_reduction=nested"
    )
    assert code == 0, said
    assert "given" in said
