"""Gemmini's RTL beside ours: errors of today, the constants as fitted, and how its mappings are read."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner

from accelsim import load_trace, simulate
from accelsim.cli.app import cli
from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping import command_tiles
from accelsim.mapping.command_nest import commands_of, map_commands
from accelsim.mapping.commands import DIMS, Dim, time_commands
from accelsim.mapping.loop_text import mapping_of
from accelsim.mapping.mapping_file import check_mapping
from accelsim.mapping.nest import Mapping
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.problem import Problem, conv_problem, matmul_problem
from accelsim.mapping.traffic import mac_flows
from accelsim.offload import run_commands
from accelsim.schemes import PsumScheme
from accelsim.spec import load_arch
from accelsim.validate.measured import Measurement
from accelsim.validate.silicon import gemmini, tables
from accelsim.validate.silicon.gemmini_fit import fitted
from accelsim.validate.silicon.gemmini_text import conv_commands, matmul_commands
from accelsim.validate.silicon.tables import Line
from accelsim.validate.statistics import Summary, failures, summaries
from accelsim.workload import ConvDims, MatmulDims

CONV = "L3[WIO] Q4 C8 K8 P7 - L2[WI] N1 K4X - L1[O] K4 C2 Q14 C4X - L0[W] P8"
MATMUL = "L3[WIO] C16 K8 - L2[WI] N1 K16X - L1[O] K4 C2 C16X - L0[W] N1"


@pytest.fixture(scope="module")
def measurement() -> Measurement:
    return gemmini.measurement()


@pytest.fixture(scope="module")
def found(measurement: Measurement) -> dict[str, Summary]:
    return {line.subset: line for line in summaries(measurement.runs)}


def test_no_error_has_grown(measurement: Measurement, found: dict[str, Summary]) -> None:
    assert list(failures(list(found.values()), measurement.limits)) == []
    assert sum(line.runs + line.fitted_runs for line in found.values()) == 835 + 3 * 96 + 103


def test_errors_are_half_a_roofline_s(found: dict[str, Summary]) -> None:
    """On every array; ranks are kept on all of 8 to 64, and MoCA's layers are within 12 %."""
    for size in gemmini.SIZES:
        line = found[f"{size}x{size} mappings"]
        assert line.roofline_error_pct is not None
        assert line.rank_correlation is not None
        assert line.mean_abs_error_pct <= line.roofline_error_pct / 2
        assert size == 4 or line.rank_correlation > 0.97
    assert found[gemmini.MOCA].mean_abs_error_pct < 12
    theirs = [abs(float(row["timeloop_cycles"]) / float(row["rtl_cycles_given_mapping"]) - 1) for row in
              tables.lines("gemmini_networks")]  # fmt: skip
    assert found[gemmini.GIVEN].mean_abs_error_pct < 100 * sum(theirs) / len(theirs)


def test_the_constants_are_those_fitted() -> None:
    """Rounded to three digits; the rows fitted on are in no statistic."""
    layers, cycles, machine = gemmini.fitting_rows()
    conv, matmul, latency = fitted(layers, cycles, machine)
    assert len(layers) == 24
    assert machine.host is not None
    assert machine.dma is not None
    assert (machine.host.conv_issue_cycles, machine.host.matmul_issue_cycles, machine.dma.latency_cycles) == (
        pytest.approx(conv, rel=5e-3), pytest.approx(matmul, rel=5e-3), pytest.approx(latency, rel=5e-3)
    )  # fmt: skip


def test_mappings_are_read_as_they_ran() -> None:
    conv = conv_commands(CONV, 1)
    assert conv.loops == (("q", 4), ("c", 8), ("k", 8), ("p", 7))
    assert [conv.extents[dim] for dim in DIMS] == [1, 64, 128, 56, 56, 1, 1]
    assert [conv.tile[dim] for dim in DIMS] == [1, 8, 16, 8, 14, 1, 1]
    long = conv_commands(CONV.replace("P7", "P14"), 1)
    assert (long.extents["q"], long.tile["q"]) == (112, 28)
    for rows, tile in ((16, {"c": 32, "k": 64}), (4, {"c": 8, "k": 16}), (32, {"c": 64, "k": 128})):
        matmul = matmul_commands(MATMUL, rows)
        assert {dim: matmul.tile[dim] for dim in tile} == tile  # type: ignore[index]


@pytest.mark.parametrize("text", ["L3[WIO] Q4", "L3[WIO] q4 - L2[WI] N1 - L1[O] N1 - L0[W] P8", "", f"{CONV} - L0[W]"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"mapping|level|no loop"):
        conv_commands(text, 1)


def test_the_tiler_is_gemmini_s() -> None:
    """Tiles of every layer of the networks as its own software chose them; it names rows before columns."""
    machine = build_machine(load_arch("validation/gemmini_256k"))
    for row in tables.lines("gemmini_networks"):
        extents: dict[Dim, int] = {dim: int(row[dim.upper()]) for dim in DIMS}
        theirs = dict(zip("rspqckn", map(int, row["default_tile_R_S_P_Q_C_K_N"].split("_")), strict=True))
        if row["op"] == "conv":
            ours = command_tiles.default_commands(extents, int(row["stride"]), machine).tile
            assert [ours[dim] for dim in "nrsck"] == [theirs[dim] for dim in "nrsck"], row  # type: ignore[index]
            assert sorted((ours["p"], ours["q"])) == sorted((theirs["p"], theirs["q"])), row
        else:
            ours = command_tiles.matmul_commands(extents["p"], extents["k"], extents["c"], machine).tile
            assert all(ours[dim] == min(theirs[dim], extents[dim]) for dim in ("p", "k", "c")), row


def test_the_tiles_that_we_find_are_no_slower(measurement: Measurement) -> None:
    """By our model; on the machine they would take its own software's time or less if the model were right."""
    ours, own = ([run.ours for run in measurement.runs if run.subset == name] for name in (gemmini.BEST, gemmini.OWN))
    assert all(a <= b for a, b in zip(ours, own, strict=True))
    assert sum(a < 0.99 * b for a, b in zip(ours, own, strict=True)) > 30


def test_given_mappings_are_mapping_files(tmp_path: Path) -> None:
    """A conv's loops as text, through `map --loops` and `simulate --mapping`, cost what they do here."""
    layers, loops, out = tmp_path / "layer.csv", tmp_path / "mapping.yaml", tmp_path / "report.json"
    layers.write_text(
        "Layer name,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Channels,Num Filter,Strides,\n"
        "one,56,56,1,1,64,128,1,\n"
    )
    arch = "validation/gemmini_4x4"
    made = CliRunner().invoke(cli, ["map", arch, str(layers), "--loops", CONV, "--out", str(loops)])
    assert made.exit_code == 0, made.output
    ran = CliRunner().invoke(cli, ["simulate", arch, str(layers), "--mapping", str(loops), "--json", str(out)])
    assert ran.exit_code == 0, ran.output
    ours = time_commands(conv_commands(CONV, 1), gemmini.machine_of(4)).cycles
    cycles = json.loads(out.read_text())["totals"]["cycles"]
    assert cycles == pytest.approx(ours, rel=1e-6)


@pytest.mark.parametrize("line", ["K16 C16 P16", "C16 P16 K16X", "K16 P16 C16X", "K4 C16 P16 K4X"])
def test_a_command_runs_its_own_folds(line: str) -> None:
    """Whatever loops a mapping has within a command: the array's time is the command's, and a part of all."""
    machine = gemmini.machine_of(16)
    problem = matmul_problem(MatmulDims(1, 1, 16, 16, 16), 8, 8, 8, PsumScheme(32))
    mapping = mapping_of(f"L3[WIO] - L2[WI] - L1[O] - L0[W] {line}", problem, machine)
    _, timing = run_commands(problem, mapping, mac_flows(problem, mapping, machine, "weight"), machine)
    assert timing.compute_cycles == 16 + 1 + 16 + 16 - 2 + 16  # pixels, a gap, skew and the weights' way in
    assert timing.lane_macs == problem.macs
    assert all(use.busy_fs <= timing.makespan_fs for use in timing.resources)
    assert all(femtoseconds >= 0 for _, femtoseconds in timing.stalls)


def test_a_simulated_layer_is_the_one_validated() -> None:
    """Layers of the networks as `simulate` maps them by itself: tiles, and so the time, of the machine's software."""
    machine = build_machine(load_arch("validation/gemmini_256k"))
    for row in tables.lines("gemmini_networks")[::5]:
        problem = _problem_of(row)
        mapping = map_commands(problem, machine, "placed")
        assert isinstance(mapping, Mapping)
        assert check_mapping(problem, mapping, machine) is None
        batch = commands_of(problem, mapping, machine)
        own = time_commands(gemmini._own_tiles(row, machine), machine)
        assert batch.copies == 1
        warm = commands_of(problem, mapping, machine, cold=())
        assert time_commands(warm, machine).cycles == pytest.approx(own.cycles, rel=1e-9)
        better = map_commands(problem, machine, "searched")
        assert isinstance(better, Mapping)
        assert time_commands(commands_of(problem, better, machine, cold=()), machine).cycles <= own.cycles


def _problem_of(row: Line) -> Problem:
    n, c, k, p, q, r, s, stride = (int(row[key]) for key in ("N", "C", "K", "P", "Q", "R", "S", "stride"))
    if row["op"] != "conv":
        return matmul_problem(MatmulDims(1, 1, p, c, k), 8, 8, 8, PsumScheme(32))
    dims = ConvDims(n, 1, c, k, (p - 1) * stride + r, (q - 1) * stride + s, r, s, (stride, stride), (0, 0))
    return conv_problem(dims, 8, 8, 8, PsumScheme(32), "nested")


def test_searched_tiles_take_no_longer() -> None:
    trace = load_trace("resnet_50")
    own, found = (
        simulate(load_arch("validation/gemmini_256k", {"arch.mapping.tiles": tiles}), trace).totals.cycles
        for tiles in ("placed", "searched")
    )
    assert 0.5 * own < found < 0.95 * own


def _without_cache_misses(machine: Machine) -> Machine:
    """DRAM so fast that a missing line costs nothing."""
    return replace(machine, dram=replace(machine.dram, fs_per_byte=Fraction(1, 10**12)))


@pytest.mark.parametrize("dims", [(1, 1030, 1030, 1030), (64, 128, 64, 512), (1, 3136, 256, 512)])
def test_time_and_energy_are_of_the_same_misses(dims: tuple[int, int, int, int]) -> None:
    """Where the DMA engine bounds every command, time with misses less time without is bits over bandwidth."""
    batch, m, k, n = dims
    machine = build_machine(load_arch("validation/gemmini_256k", {"arch.host.matmul_issue_cycles": 0}))
    assert machine.dma is not None
    slow = replace(machine, dma=replace(machine.dma, latency_cycles=1e6))
    problem = matmul_problem(MatmulDims(batch, 1, m, k, n), 8, 8, 8, PsumScheme(32))
    mapping = map_commands(problem, slow, "placed")
    assert isinstance(mapping, Mapping)
    layer = commands_of(problem, mapping, slow)
    time, free = time_commands(layer, slow), time_commands(layer, _without_cache_misses(slow))
    missed_cycles = sum(time.missed_bits.values()) / 8 * float(slow.dram.fs_per_byte) / slow.period_fs
    assert time.cycles - free.cycles == pytest.approx(missed_cycles, rel=1e-3)
    assert missed_cycles > 0


def test_stored_weights_come_from_dram_at_least_once() -> None:
    """Keys and values, written a moment ago, need not; nor inputs that fit the cache with all that is beside them."""
    arch = load_arch("validation/gemmini_256k")
    trace = load_trace("resnet_50")
    report = simulate(arch, trace)
    read = {(row.op, row.operand): row for row in report.rows if (row.block, row.action) == ("dram", "read")}
    for op in trace.phases[0].ops:
        if isinstance(op.dims, ConvDims):
            dims = op.dims
            assert read[op.name, "weight"].bits_moved >= 8 * dims.c * dims.k * dims.r * dims.s
            assert read[op.name, "ifmap"].values >= dims.c * dims.h * dims.w / dims.stride[0] ** 2
    batched = {count: simulate(arch, load_trace(f"matmul:{count}x128x64x512")) for count in (1, 64)}
    inputs = {
        count: sum(r.bits_moved for r in each.rows if (r.block, r.operand, r.action) == ("dram", "ifmap", "read"))
        for count, each in batched.items()
    }
    assert inputs[1] == 0
    assert inputs[64] >= 64 * 128 * 64 * 8


@pytest.mark.parametrize(
    ("changes", "unit"),
    [
        ({"groups": 2, "c": 4}, "groups"), ({"dilation": (2, 2)}, "dilation"), ({"stride": (1, 2)}, "strides"),
    ],
)  # fmt: skip
def test_convs_that_no_command_knows(changes: dict[str, object], unit: str) -> None:
    conv = replace(ConvDims(1, 1, 8, 8, 20, 20, 3, 3), **changes)  # type: ignore[arg-type]
    machine = build_machine(load_arch("validation/gemmini_16x16"))
    found = map_commands(conv_problem(conv, 8, 8, 8, PsumScheme(32), "nested"), machine, "placed")
    assert isinstance(found, Infeasible)
    assert unit in found.unit


def test_flows_are_of_what_commands_load() -> None:
    """Every command loads its tile whole, into words of the scratchpad."""
    machine = build_machine(load_arch("validation/gemmini_256k"))
    problem = matmul_problem(MatmulDims(3, 2, 500, 700, 300), 8, 8, 8, PsumScheme(32))
    mapping = map_commands(problem, machine, "placed")
    assert isinstance(mapping, Mapping)
    batch = commands_of(problem, mapping, machine)
    flows, timing = run_commands(problem, mapping, mac_flows(problem, mapping, machine), machine)
    moved = {(flow.block, flow.operand, flow.action): flow for flow in flows}
    tile, extents = batch.tile, batch.extents
    assert (batch.copies, extents["n"], tile["n"]) == (3, 2, 1)
    values = words = 0
    for _, p, c, _k in itertools.product(range(3 * 2), *(_chunks(extents[d], tile[d]) for d in ("p", "c", "k"))):
        values += p * c
        words += machine.memory("scratchpad").accesses(p * c, 8)
    assert moved["dram", "ifmap", "read"].values == values == moved["scratchpad", "ifmap", "write"].values
    assert moved["scratchpad", "ifmap", "write"].count == words
    folds = 3 * sum(
        2 * -(-c // 16) * -(-k // 16) * p * 256
        for p, c, k in itertools.product(*(_chunks(extents[d], tile[d]) for d in ("p", "c", "k")))
    )
    assert timing.lane_macs == folds >= timing.macs == problem.macs


def _chunks(extent: int, step: int) -> list[int]:
    return [min(step, extent - start) for start in range(0, extent, step)]


@pytest.mark.parametrize("size", gemmini.SIZES)
def test_every_given_conv_is_a_mapping(size: int) -> None:
    """Read as a nest of ours, square convs become the commands that they are read as here, and cost as much."""
    machine, same = gemmini.machine_of(size), 0
    for row in tables.lines("gemmini_mappings"):
        if row["pe_dim"] != str(size) or row["op"] != "conv" or row["P"] != row["Q"]:
            continue
        n, c, k, p, q, r, s, stride = (int(row[key]) for key in ("N", "C", "K", "P", "Q", "R", "S", "stride"))
        dims = ConvDims(n, 1, c, k, (p - 1) * stride + r, (q - 1) * stride + s, r, s, (stride, stride), (0, 0))
        problem = conv_problem(dims, 8, 8, 8, PsumScheme(32), "nested")
        mapping = mapping_of(row["mapping"], problem, machine)
        assert check_mapping(problem, mapping, machine) is None
        ours, theirs = commands_of(problem, mapping, machine, cold=()), conv_commands(row["mapping"], stride)
        assert time_commands(ours, machine) == time_commands(theirs, machine)
        same += 1
    assert same > 40
