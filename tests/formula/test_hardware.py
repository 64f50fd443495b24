"""Every block's energy, area, leakage and cycles against arithmetic done here by hand from the cited tables."""

from __future__ import annotations

import csv
import math
import subprocess
import sys
from collections.abc import Mapping
from importlib import resources
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import UserError
from accelsim.hardware import arithmetic, sram_table, technology
from accelsim.hardware.adder_tree import AdderTree, tree_adders
from accelsim.hardware.block import Cost, total
from accelsim.hardware.interpolation import linear, log_log
from accelsim.hardware.lut_gates import LutShape, gates_area_um2, gates_energy_pj
from accelsim.hardware.machine import Machine, Node, build_machine
from accelsim.hardware.systolic import Systolic
from accelsim.hardware.technology import Process
from accelsim.spec.models import ArchSpec

TOLERANCE = 1e-6
KINDS: tuple[Literal["read", "write"], ...] = ("read", "write")
AT_45 = Process(45.0, 0.9, 500.0)

# Stillmaker & Baas at .9 V by hand: f45 = .698850, f28 = (2 f32 + f20) / 3 with f32 = .457137, f20 = .200790.
ENERGY_45_TO_28 = (2 * 0.457137 + 0.20079) / 3 / 0.69885
AREA_45_TO_28 = (2 * 0.46 + 0.21) / 3


def buffer(**changes: float) -> dict[str, float]:
    return {"capacity_kib": 256.0, "read_bits_per_cycle": 1024, "write_bits_per_cycle": 1024} | changes


def spec(**changes: object) -> ArchSpec:
    """A 16 x 8 x 8 weight-stationary accelerator at 28 nm, .9 V, 500 MHz, with parts replaced."""
    parts: dict[str, object] = {
        "spec_version": 1,
        "name": "fixture",
        "technology": {"node_nm": 28.0, "voltage_v": 0.9, "clock_mhz": 500.0},
        "array": {"kind": "adder_tree", "dataflow": "weight_stationary", "po": 16, "pci": 8, "pco": 8},
        "buffers": {"ifmap": buffer(), "weight": buffer(capacity_kib=128.0), "psum_ofmap": buffer()},
        "psum_engine": {"bits": (4, 8), "group_sizes": (1, 2, 4)},
        "dram": {"kind": "ddr3", "bandwidth_gb_per_s": 25.6},
        "lut_unit": {"lanes": 16},
        "vector_unit": {"lanes": 16},
    }
    return ArchSpec.model_validate(parts | changes)


def machine(**changes: object) -> Machine:
    return build_machine(spec(**changes))


def systolic(**changes: object) -> Systolic:
    array = {"kind": "systolic", "dataflow": "weight_stationary", "rows": 16, "cols": 16}
    built = machine(array=array | changes).array
    assert isinstance(built, Systolic)
    return built


def energy(built: Machine, block: str, action: str) -> Cost:
    return built.block(block).actions[action].energy_pj


# -- scaling -----------------------------------------------------------------------------------------


def test_scaling_from_45_to_28_nm() -> None:
    assert technology.energy_factor(45, 0.9, 28, 0.9) == pytest.approx(ENERGY_45_TO_28, rel=TOLERANCE)
    assert technology.energy_factor(45, 0.9, 28, 0.9) == pytest.approx(0.532, abs=5e-4)
    assert technology.area_factor(45, 28) == pytest.approx(AREA_45_TO_28, rel=TOLERANCE)
    assert technology.area_factor(45, 28) == pytest.approx(0.377, abs=5e-4)


@pytest.mark.parametrize(
    ("voltage", "factors"),
    [
        (0.7, [1.054, 0.838, 0.623, 0.535, 0.395, 0.317, 0.201, 0.162, 0.126, 0.101, 0.086, 0.068]),
        (0.8, [1.230, 1.014, 0.797, 0.688, 0.513, 0.415, 0.268, 0.219, 0.172, 0.138, 0.117, 0.094]),
        (0.9, [1.514, 1.257, 1, 0.867, 0.654, 0.532, 0.348, 0.287, 0.226, 0.181, 0.154, 0.124]),
        (1.1, [2.405, 1.949, 1.494, 1.307, 1.009, 0.824, 0.548, 0.456, 0.360, 0.289, 0.245, 0.199]),
    ],
)
def test_ready_made_energy_factors(voltage: float, factors: list[float]) -> None:
    nodes = [65, 55, 45, 40, 32, 28, 22, 20, 16, 14, 10, 7]
    assert [technology.energy_factor(45, 0.9, node, voltage) for node in nodes] == pytest.approx(factors, abs=6e-4)


def test_every_row_of_the_scaling_table() -> None:
    """Nominal to nominal from 45 nm, by hand from a, b, c of each row; below 130 nm printed ready-made too."""
    nominal = {130: 1.2, 90: 1.1, 65: 1.1, 45: 1.1, 32: 0.97, 20: 0.9, 16: 0.86, 14: 0.86, 10: 0.83, 7: 0.8}
    factors = [technology.energy_factor(45, 1.1, node, voltage) for node, voltage in nominal.items()]
    f_130 = 7.171 * 1.44 - 6.709 * 1.2 + 2.904
    f_90 = 4.762 * 1.21 - 4.781 * 1.1 + 2.092
    f_45 = 1.018 * 1.21 - 0.3107 * 1.1 + 0.1539
    assert factors[:2] == pytest.approx([f_130 / f_45, f_90 / f_45], rel=TOLERANCE)
    assert factors[2:] == pytest.approx([1.61, 1, 0.514, 0.192, 0.136, 0.109, 0.085, 0.063], abs=5e-3)
    areas = [technology.area_factor(45, node) for node in nominal]
    assert areas == pytest.approx([6.4, 2.8, 1.5, 1, 0.46, 0.21, 0.19, 0.17, 0.1, 0.059], rel=TOLERANCE)
    highest = [technology.voltage_range(node)[1] for node in nominal]
    assert highest == pytest.approx([1.5 * voltage for voltage in nominal.values()], rel=TOLERANCE)
    # The lower end is where the fit of 65 nm, or of its neighbour, turns: -b / 2a.
    assert technology.voltage_range(65)[0] == pytest.approx(4.398 / 2 / 3.755, rel=TOLERANCE)


@pytest.mark.parametrize(
    ("start", "end", "printed"),
    [(65, 32, 0.31), (32, 7, 0.13), (90, 45, 0.35), (20, 65, 7.1), (16, 10, 0.54), (45, 55, 1.25), (45, 40, 0.792)],
)
def test_area_through_45_nm_agrees_with_the_printed_matrix(start: float, end: float, printed: float) -> None:
    assert technology.area_factor(start, end) == pytest.approx(printed, rel=0.04)


def test_scaling_is_exact_for_equal_points_and_independent_of_the_path() -> None:
    known = Cost(2.0, "somewhere", "published")
    assert Process(45.0, 0.9, 1.0).energy(known, 45.0, 0.9) is known
    there = technology.energy_factor(45, 0.9, 28, 0.8) * technology.energy_factor(28, 0.8, 10, 0.7)
    assert there == pytest.approx(technology.energy_factor(45, 0.9, 10, 0.7))
    assert Process(28.0, 0.9, 1.0).energy(known, 45.0, 0.9).confidence == "derived"


@pytest.mark.parametrize(
    ("node", "voltage", "key"),
    [(180.0, 1.2, "technology.node_nm"), (65.0, 0.5, "technology.voltage_v"), (28.0, 1.6, "technology.voltage_v")],
)
def test_outside_the_table_is_a_users_mistake(node: float, voltage: float, key: str) -> None:
    with pytest.raises(UserError, match=key):
        machine(technology={"node_nm": node, "voltage_v": voltage, "clock_mhz": 500.0})


def test_library_calls_outside_the_table_fail() -> None:
    with pytest.raises(ValueError, match="180 nm"):
        technology.energy_factor(45, 0.9, 180, 1.8)
    with pytest.raises(ValueError, match="5 nm"):
        technology.area_factor(45, 5)


# -- confidence --------------------------------------------------------------------------------------


def test_the_weakest_confidence_holds() -> None:
    published, assumed = Cost(1.0, "a", "published"), Cost(2.0, "b", "assumed")
    assert total([published, assumed], "sum") == Cost(3.0, "sum: a + b", "assumed")
    assert assumed.scaled(2.0, "twice", "derived") == Cost(4.0, "b; twice", "assumed")
    assert published.scaled(64, "per word").confidence == "published"


def test_assumed_numbers_stay_assumed_through_scaling() -> None:
    built = machine(technology={"node_nm": 22.0, "voltage_v": 0.8, "clock_mhz": 500.0})
    assumed = [built.lut_unit.leakage_mw, built.psum_engine.area_mm2, built.vector_unit.area_mm2]  # type: ignore[union-attr]
    assumed += [block.leakage_mw for block in (built.array, built.ifmap_buffer, built.dram)]
    assert {cost.confidence for cost in assumed} == {"assumed"}


def test_every_table_row_has_a_source_and_a_known_confidence() -> None:
    folder = resources.files("accelsim.hardware") / "data"
    words = {"published", "computed", "third-party", "derived", "assumed"}
    files = [file for file in folder.iterdir() if file.name.endswith(".csv")]
    assert len(files) == 10
    for file in files:
        for line in csv.DictReader(file.read_text(encoding="utf-8").splitlines()):
            sources = {key.removesuffix("source"): text for key, text in line.items() if key.endswith("source")}
            assert any(sources.values()), (file.name, line)
            for about, source in sources.items():
                marks = {line[about + "confidence"]} if about + "confidence" in line else set()
                assert marks <= (words if source else {""}), (file.name, line)
            assert {text for key, text in line.items() if key.endswith("confidence")} <= words | {""}


# -- arithmetic --------------------------------------------------------------------------------------


def test_horowitz_rows_and_the_widths_between() -> None:
    adds = [arithmetic.add_energy_pj(bits, AT_45).value for bits in (8, 16, 24, 32)]
    assert adds == pytest.approx([0.03, 0.05, 0.075, 0.1], rel=TOLERANCE)
    multiplies = [arithmetic.multiply_energy_pj(a, b, AT_45).value for a, b in ((8, 8), (32, 32), (4, 8))]
    exponent = math.log(3.1 / 0.2) / math.log(1024 / 64)
    assert multiplies == pytest.approx([0.2, 3.1, 0.2 * 0.5**exponent], rel=TOLERANCE)
    areas = [arithmetic.add_area_um2(bits, AT_45).value for bits in (8, 16, 32)]
    assert areas == pytest.approx([36, 67, 137], rel=TOLERANCE)
    assert arithmetic.multiply_area_um2(8, 8, AT_45).value == pytest.approx(282)
    assert arithmetic.add_energy_pj(16, AT_45).confidence == "published"
    assert arithmetic.add_energy_pj(24, AT_45).confidence == "derived"


def test_cells() -> None:
    at_40 = Process(40.0, 0.9, 500.0)
    assert arithmetic.register_energy_pj(at_40).value == 0.009
    assert arithmetic.cell_area_um2("register_bit", at_40).value == 5.98
    assert arithmetic.cell_area_um2("mux2", AT_45).value == pytest.approx(1.33 * 1.4)
    assert arithmetic.mux2_energy_pj(AT_45).value == pytest.approx(0.1 * 1.33 * 1.4 / 137, rel=TOLERANCE)
    assert arithmetic.mux2_energy_pj(AT_45).confidence == "assumed"


def test_interpolation() -> None:
    points = [(1.0, 1.0), (4.0, 16.0), (16.0, 64.0)]
    assert log_log(points, 2.0) == pytest.approx(4.0)
    assert log_log(points, 64.0) == pytest.approx(256.0)
    assert linear(points, 10.0) == pytest.approx(40.0)
    assert linear(points, 0.0) == pytest.approx(-4.0)


# -- SRAM --------------------------------------------------------------------------------------------


def cacti_rows() -> list[Mapping[str, str]]:
    file = resources.files("accelsim.hardware") / "data" / "sram_cacti7.csv"
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def test_every_table_row_comes_back_at_its_own_node_and_voltage() -> None:
    assert len(cacti_rows()) == 75
    supplies = {22: 0.8, 28: 0.92, 32: 1.0, 45: 1.1, 65: 1.2}
    for line in cacti_rows():
        node, kib, width = float(line["node_nm"]), float(line["capacity_kib"]), int(line["width_bits"])
        process = Process(node, supplies[int(node)], 500.0)
        for kind in KINDS:
            cost = sram_table.access_energy_pj(kind, kib, width, process)
            assert cost.value == pytest.approx(float(line[f"{kind}_energy_pj"]), rel=1e-12), line
            assert cost.confidence == "computed"
        if line["area_mm2"]:
            assert sram_table.area_mm2(kib, width, process).value == pytest.approx(
                float(line["area_mm2"]), rel=1e-12
            ), line


def test_sram_between_the_rows() -> None:
    at_28 = Process(28.0, 0.92, 500.0)
    halfway = sram_table.access_energy_pj("read", math.sqrt(128 * 256), 64, at_28)
    assert halfway.value == pytest.approx(math.sqrt(13.85 * 20.84), rel=TOLERANCE)
    # 38.5 nm lies halfway between 32 and 45 nm, in energy and in supply.
    at_38 = sram_table.access_energy_pj("write", 256, 64, Process(38.5, 1.05, 500.0))
    assert at_38.value == pytest.approx((21.33 + 38.495) / 2, rel=TOLERANCE)
    # Area has no 32 nm row: 28 and 45 nm on either side.
    area = sram_table.area_mm2(256, 64, Process(36.5, 1.0, 500.0))
    assert area.value == pytest.approx((0.377 + 0.87209) / 2, rel=TOLERANCE)


def test_sram_width_rule() -> None:
    """32 b at 28 nm goes on with the slope of 64 to 128 b; 22 nm takes 28 nm's slope; area takes 45 nm's."""
    at_28, at_22 = Process(28.0, 0.92, 500.0), Process(22.0, 0.8, 500.0)
    assert sram_table.access_energy_pj("read", 256, 32, at_28).value == pytest.approx(
        20.84 * 20.84 / 32.60, rel=TOLERANCE
    )
    at_22_cost = sram_table.access_energy_pj("read", 256, 128, at_22)
    assert at_22_cost.value == pytest.approx(11.858 * 32.60 / 20.84, rel=TOLERANCE)
    area = sram_table.area_mm2(256, 256, at_28)
    assert area.value == pytest.approx(0.377 * 0.85977 / 0.87209, rel=TOLERANCE)


def test_sram_outside_the_rows_says_so() -> None:
    at_28 = Process(28.0, 0.92, 500.0)
    big = sram_table.access_energy_pj("read", 8192, 64, at_28)
    assert big.value == pytest.approx(76.78**2 / 55.05, rel=TOLERANCE)
    small = sram_table.access_energy_pj("read", 1, 64, at_28)
    assert small.value == pytest.approx(1.16 / (2.70 / 1.16) ** 0.5, rel=TOLERANCE)
    for cost in (big, small):
        assert cost.confidence == "derived"
        assert "extrapolated from 2..4096 KiB" in cost.source
    tiny_node = sram_table.access_energy_pj("read", 256, 64, Process(7.0, 0.7, 500.0))
    assert tiny_node.value == pytest.approx(11.858 * technology.energy_factor(22, 0.8, 7, 0.7), rel=TOLERANCE)


def test_sram_block_energy_area_and_leakage() -> None:
    built = machine()
    # f28(.9) / f28(.92): each f by hand as 2/3 f32 + 1/3 f20.
    f_90 = (2 * 0.457137 + 0.20079) / 3
    f_92 = (2 * (0.8367 * 0.8464 - 0.4341 * 0.92 + 0.1701) + 0.373 * 0.8464 - 0.1582 * 0.92 + 0.04104) / 3
    assert energy(built, "ifmap_buffer", "read").value == pytest.approx(20.84 * f_90 / f_92, rel=TOLERANCE)
    assert energy(built, "psum_buffer", "write").value == pytest.approx(16.33 * f_90 / f_92, rel=TOLERANCE)
    assert energy(built, "weight_buffer", "read").value == pytest.approx(13.85 * f_90 / f_92, rel=TOLERANCE)
    assert built.ifmap_buffer.area_mm2.value == pytest.approx(0.377)
    assert built.weight_buffer.leakage_mw.value == pytest.approx(128 * 0.004)
    assert built.weight_buffer.capacity_bits == 128 * 1024 * 8


@given(
    low=st.floats(1.0, 32768.0),
    ratio=st.floats(1.001, 64.0),
    width=st.sampled_from([32, 64, 128, 256]),
    node=st.floats(10.0, 65.0),
)
def test_bigger_buffers_never_cost_less(low: float, ratio: float, width: int, node: float) -> None:
    process = Process(node, 0.9, 500.0)
    for kind in KINDS:
        small = sram_table.access_energy_pj(kind, low, width, process).value
        big = sram_table.access_energy_pj(kind, low * ratio, width, process).value
        assert 0 < small < big
    assert sram_table.area_mm2(low, width, process).value < sram_table.area_mm2(low * ratio, width, process).value


def test_values_do_not_straddle_words() -> None:
    sram = machine().psum_buffer
    assert [sram.values_per_word(bits) for bits in (4, 6, 8, 12, 32, 64)] == [16, 10, 8, 5, 2, 1]
    assert [sram.accesses(21, bits) for bits in (6, 12, 33, 64, 65, 128, 129)] == [3, 5, 21, 21, 42, 42, 63]
    assert sram.accesses(0, 8) == 0
    with pytest.raises(ValueError, match="65 b"):
        sram.values_per_word(65)
    with pytest.raises(ValueError, match="cannot move"):
        sram.accesses(-1, 8)


def test_buffer_bandwidth() -> None:
    built = machine(
        buffers={"ifmap": buffer(read_bits_per_cycle=100), "weight": buffer(), "psum_ofmap": buffer()}
    ).ifmap_buffer
    assert [built.read_cycles(accesses) for accesses in (0, 1, 2, 3, 25)] == [0, 1, 2, 2, 16]
    assert [built.write_cycles(accesses) for accesses in (16, 17)] == [1, 2]


# -- arrays ------------------------------------------------------------------------------------------


def test_adder_tree_mac_is_multiplier_plus_shared_adders() -> None:
    """8 products of 16 b: 4 + 2 + 1 adders of 17, 18, 19 b, then one 32 b accumulation for all 8 MACs."""
    assert tree_adders(8, 8) == [(17, 4), (18, 2), (19, 1)]
    adders = (4 * 17 + 2 * 18 + 19) * 0.1 / 32 + 0.1
    mac = energy(machine(), "array", "mac")
    assert mac.value == pytest.approx((0.2 + adders / 8) * ENERGY_45_TO_28, rel=TOLERANCE)
    assert 0.12 <= mac.value <= 0.16
    assert mac.confidence == "derived"


@given(pci=st.integers(1, 1000))
def test_a_tree_has_one_adder_fewer_than_leaves(pci: int) -> None:
    levels = tree_adders(8, pci)
    assert sum(count for _, count in levels) == pci - 1
    assert len(levels) == (pci - 1).bit_length()


def test_array_area_and_leakage() -> None:
    built = machine().array
    assert built.area_mm2.value == pytest.approx(687.6072 * AREA_45_TO_28 * 1024 / 1e6, rel=TOLERANCE)
    assert built.leakage_mw.value == pytest.approx(22.952 * AREA_45_TO_28 * 1024 / 1e3, rel=TOLERANCE)
    at_45 = machine(technology={"node_nm": 45.0, "voltage_v": 0.9, "clock_mhz": 500.0}).array
    assert (at_45.area_mm2.confidence, at_45.leakage_mw.confidence) == ("third-party", "third-party")
    array = {"kind": "adder_tree", "dataflow": "weight_stationary", "po": 1, "pci": 1, "pco": 1, "operand_bits": 12}
    wide = machine(array=array, technology={"node_nm": 45.0, "voltage_v": 0.9, "clock_mhz": 500.0}).array
    slope = math.log(2203.236034 / 687.6072) / math.log(2)
    assert wide.area_mm2.value * 1e6 == pytest.approx(687.6072 * 1.5**slope, rel=TOLERANCE)


@pytest.mark.parametrize(
    ("bits", "um2", "uw"),
    [(2, 124.8912, 2.8327), (4, 282.239998, 7.7807), (8, 687.6072, 22.952), (16, 2203.236034, 68.98)],
)
def test_pe_rows(bits: int, um2: float, uw: float) -> None:
    array = {"kind": "systolic", "dataflow": "weight_stationary", "rows": 2, "cols": 5, "operand_bits": bits}
    built = machine(array=array, technology={"node_nm": 45.0, "voltage_v": 0.9, "clock_mhz": 500.0}).array
    assert built.area_mm2.value == pytest.approx(10 * um2 / 1e6, rel=TOLERANCE)
    assert built.leakage_mw.value == pytest.approx(10 * uw / 1e3, rel=TOLERANCE)


def test_adder_tree_cycles() -> None:
    built = machine().array
    assert isinstance(built, AdderTree)
    assert (built.cycles(1), built.cycles(1000)) == (5, 1004)
    with pytest.raises(ValueError, match="at least one"):
        built.cycles(0)


@pytest.mark.parametrize(("dataflow", "bits"), [("weight_stationary", 40), ("output_stationary", 48)])
def test_systolic_mac_adds_the_registers_it_clocks(dataflow: str, bits: int) -> None:
    # f40 = f32 + 8/13 (f45 - f32) at .9 V.
    f_40 = 0.457137 + 8 / 13 * (0.69885 - 0.457137)
    register = 0.009 * (2 * 0.457137 + 0.20079) / 3 / f_40
    mac = systolic(dataflow=dataflow).actions["mac"].energy_pj
    assert mac.value == pytest.approx((0.2 + 0.1) * ENERGY_45_TO_28 + bits * register, rel=TOLERANCE)


@pytest.mark.parametrize(
    ("dataflow", "size", "expected"),
    [
        ("output_stationary", 16, 306432),
        ("weight_stationary", 16, 400896),
        ("input_stationary", 16, 312576),
        ("output_stationary", 32, 79680),
        ("weight_stationary", 32, 127872),
        ("input_stationary", 32, 82752),
    ],
)
def test_systolic_equals_scale_sim_on_a_gemm(dataflow: str, size: int, expected: int) -> None:
    """SCALE-Sim's cycles of 128 x 768 x 768 (m, k, n) on square arrays."""
    m, k, n = 128, 768, 768
    rows, cols, stream = {
        "output_stationary": (m, n, k),
        "weight_stationary": (k, n, m),
        "input_stationary": (k, m, n),
    }[dataflow]
    array = systolic(dataflow=dataflow, rows=size, cols=size)
    folds = -(-rows // size) * -(-cols // size)
    assert folds * array.fold_cycles(stream, size, size) == expected


@given(stream=st.integers(1, 12), rows=st.integers(1, 6), cols=st.integers(1, 6), data=st.data())
def test_systolic_fold_equals_a_walk_over_every_pe(stream: int, rows: int, cols: int, data: st.DataObject) -> None:
    """Value t reaches PE (r, c) one cycle after it left the neighbour above or to the left."""
    used = data.draw(st.integers(1, rows)), data.draw(st.integers(1, cols))
    trimmed = data.draw(st.booleans())
    dataflow = data.draw(st.sampled_from(["weight_stationary", "input_stationary", "output_stationary"]))
    overlapped = data.draw(st.booleans())
    array = systolic(
        dataflow=dataflow,
        rows=rows,
        cols=cols,
        weight_load="overlapped" if overlapped else "serial",
        ragged_fold="trimmed" if trimmed else "full",
    )
    busy_rows, busy_cols = used if trimmed else (rows, cols)
    loaded = 0
    if dataflow != "output_stationary" and not overlapped:
        loaded = sum(1 for _ in range(busy_rows))
    last = 0
    for t in range(stream):
        arrival = [[0] * busy_cols for _ in range(busy_rows)]
        for r in range(busy_rows):
            for c in range(busy_cols):
                from_left = arrival[r][c - 1] + 1 if c else loaded + t + r
                from_above = arrival[r - 1][c] + 1 if r else loaded + t + c
                arrival[r][c] = max(from_left, from_above)
        last = max(last, arrival[-1][-1])
    assert array.fold_cycles(stream, *used) == last + 1


def test_systolic_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="17 x 1"):
        systolic().fold_cycles(4, 17, 1)
    with pytest.raises(ValueError, match="at least one"):
        systolic().fold_cycles(0, 1, 1)


# -- psum engine, DRAM, LUT, vector ------------------------------------------------------------------


def test_psum_engine_from_component_counts() -> None:
    """A = 32, b = 8, G = 4, 128 lanes: a shifter is 5 stages of 32 mux2."""
    built = machine()
    mux2 = 0.1 * 1.862 / 137
    assert energy(built, "psum_engine", "dequantise").value == pytest.approx(
        (0.1 + (160 + 8) * mux2) * ENERGY_45_TO_28, rel=TOLERANCE
    )
    assert energy(built, "psum_engine", "requantise").value == pytest.approx(
        (0.1 + (160 + 32 + 8) * mux2) * ENERGY_45_TO_28, rel=TOLERANCE
    )
    lane_um2 = (5 * 137 + (5 * 160 + 32 + 2 * 4 * 8) * 1.862) * AREA_45_TO_28
    engine = built.psum_engine
    assert engine is not None
    assert engine.area_mm2.value == pytest.approx(128 * lane_um2 / 1e6, rel=TOLERANCE)
    assert engine.leakage_mw.value == pytest.approx(128 * lane_um2 * 22.952 / 687.6072 / 1e3, rel=TOLERANCE)
    assert (engine.psums_per_cycle, engine.cycles(128), engine.cycles(129)) == (128, 1, 2)
    assert engine.supports(8, 4)
    assert not engine.supports(6, 4)
    assert not engine.supports(8, 3)


def test_psum_engine_lanes() -> None:
    array = {"kind": "systolic", "dataflow": "weight_stationary", "rows": 16, "cols": 12}
    assert machine(array=array).psum_engine.psums_per_cycle == 12  # type: ignore[union-attr]
    own = {"bits": (8,), "group_sizes": (1,), "psums_per_cycle": 3}
    assert machine(psum_engine=own).psum_engine.psums_per_cycle == 3  # type: ignore[union-attr]


def test_psums_wider_than_the_accumulator_are_a_users_mistake() -> None:
    array = {"kind": "adder_tree", "dataflow": "weight_stationary", "po": 1, "pci": 1, "pco": 1, "accumulator_bits": 12}
    with pytest.raises(UserError, match=r"psum_engine\.bits"):
        machine(array=array, psum_engine={"bits": (15,), "group_sizes": (1,)})


@pytest.mark.parametrize(
    ("kind", "pj_per_bit", "background_mw"),
    [
        ("ddr3", 1300 / 64, 100),
        ("ddr4", 20, 100),
        ("lpddr3", 8, 20),
        ("lpddr4", 8, 20),
        ("lpddr5", 9, 20),
        ("lpddr5x", 7.5, 20),
        ("gddr5", 14, 300),
        ("gddr6", 7.4, 300),
        ("hbm2", 3.9, 500),
        ("hbm3", 3.5, 500),
    ],
)
def test_dram_costs_do_not_scale_with_the_logic_node(kind: str, pj_per_bit: float, background_mw: float) -> None:
    for node in (45.0, 7.0):
        built = machine(
            technology={"node_nm": node, "voltage_v": 0.8, "clock_mhz": 500.0},
            dram={"kind": kind, "bandwidth_gb_per_s": 25.6},
        )
        assert built.dram.pj_per_bit.value == pj_per_bit
        assert built.dram.leakage_mw.value == background_mw
        assert (built.dram.area_mm2.value, built.dram.die) == (0, "dram")
        assert "excluded" in built.dram.area_mm2.source


def test_dram_time_is_whole_bursts_at_the_effective_bandwidth() -> None:
    dram = machine(dram={"kind": "ddr4", "bandwidth_gb_per_s": 25.6, "latency_ns": 0.5}).dram
    assert [dram.moved_bits(bits) for bits in (0, 1, 512, 513)] == [0, 512, 512, 1024]
    assert dram.transfer_fs(0) == 0
    # 64 B / (25.6 B/ns x .9) = 2.7 repeating ns.
    assert dram.transfer_fs(1) == dram.transfer_fs(512) == 2_777_778
    assert dram.transfer_fs(9 * 512) == 25_000_000
    assert dram.latency_fs == 500_000
    with pytest.raises(ValueError, match="-1"):
        dram.transfer_fs(-1)


def test_lut_unit() -> None:
    built = machine()
    assert energy(built, "lut_unit", "lookup").value == pytest.approx(0.8)
    assert built.lut_unit.area_mm2.value == pytest.approx(16 * 961e-6)
    assert built.lut_unit.leakage_mw.value == pytest.approx(16 * 961 * 22.952 / 687.6072 / 1e3, rel=TOLERANCE)
    assert [built.lut_unit.cycles(elements) for elements in (0, 1, 16, 17)] == [0, 1, 1, 2]
    half = machine(lut_unit={"lanes": 1, "bits": 16})
    assert energy(half, "lut_unit", "lookup").value == pytest.approx(math.sqrt(0.8 * 3.86), rel=TOLERANCE)
    assert half.lut_unit.area_mm2.value == pytest.approx(math.sqrt(961 * 5243) / 1e6, rel=TOLERANCE)
    assert energy(half, "lut_unit", "lookup").confidence == "derived"
    wide = machine(lut_unit={"lanes": 1, "bits": 32})
    assert energy(wide, "lut_unit", "lookup").value == pytest.approx(3.86)
    assert wide.lut_unit.area_mm2.value == pytest.approx(5243e-6)


def test_lut_entries_scale_the_stored_bits() -> None:
    """16 entries hold 47 B instead of 23 B: 192 more register bits of 5.98 um2 at 40 nm."""
    built = machine(lut_unit={"lanes": 1, "entries": 16})
    area_40 = 0.46 + 8 / 13 * (1 - 0.46)
    area = 961 + 192 * 5.98 * AREA_45_TO_28 / area_40
    assert built.lut_unit.area_mm2.value * 1e6 == pytest.approx(area, rel=TOLERANCE)
    assert energy(built, "lut_unit", "lookup").value == pytest.approx(0.8 * area / 961, rel=TOLERANCE)
    for bits in (8, 16, 32):
        smallest = machine(lut_unit={"lanes": 1, "entries": 2, "bits": bits})
        assert smallest.lut_unit.area_mm2.value > 0


def test_lut_unit_from_its_parts() -> None:
    """Four entries, INT8 inputs, slopes of 10 b, intercepts of 12 b, counted by hand at 45 nm 0.9 V."""
    here = Process(45.0, 0.9, 500.0)
    shape = LutShape(4, 8, 10, 12)
    register_um2 = 5.98 / (1 - 5 / 13 * (1 - 0.46))  # between the 45 and 32 nm area factors
    area = {name: cost.value for name, cost in gates_area_um2(shape, here).items()}
    assert area["table"] == pytest.approx((4 * 22 + 3 * 8) * register_um2, rel=TOLERANCE)
    assert area["comparators"] == pytest.approx(3 * 36)
    assert area["multiplexers"] == pytest.approx((3 * 22 + 3 * 18) * 1.862)  # selection; 3 levels of 18 bits
    assert area["pipeline"] == pytest.approx((8 + 22 + 8 + 19) * register_um2, rel=TOLERANCE)
    exponent = math.log(3495 / 282) / math.log(32 * 32 / 64)
    assert area["multiplier"] == pytest.approx(282 * (80 / 64) ** exponent)
    assert area["adder"] == pytest.approx(67 + 3 / 16 * (137 - 67))
    energy_pj = {name: cost.value for name, cost in gates_energy_pj(shape, here).items()}
    assert "table" not in energy_pj
    assert energy_pj["comparators"] == pytest.approx(3 * 0.03)
    assert energy_pj["pipeline"] == pytest.approx(57 * 0.009 / 0.867, rel=1e-3)
    assert energy_pj["multiplexers"] == pytest.approx(120 * 1.862 / 137 * 0.1)
    assert energy_pj["adder"] == pytest.approx(0.05 + 3 / 16 * 0.05)
    floats = LutShape(8, 32, 32, 32, "float")
    assert gates_area_um2(floats, here)["multiplier"].value == 7700
    assert gates_energy_pj(floats, here)["adder"].value == 0.9
    assert floats.multiplexers == 7 * 64
    for wrong in ((1, 8, 8, 8), (8, 8, 1, 8), (8, 16, 16, 16, "float")):
        with pytest.raises(ValueError, match="bits"):
            LutShape(*wrong)  # type: ignore[arg-type]


def test_lut_unit_scales_with_the_node() -> None:
    built = machine(lut_unit={"lanes": 1}, technology={"node_nm": 45.0, "voltage_v": 0.9, "clock_mhz": 500.0})
    assert energy(built, "lut_unit", "lookup").value == pytest.approx(0.8 / ENERGY_45_TO_28, rel=TOLERANCE)
    assert built.lut_unit.area_mm2.value == pytest.approx(961e-6 / AREA_45_TO_28, rel=TOLERANCE)


def test_vector_unit() -> None:
    built = machine()
    assert energy(built, "vector_unit", "operation").value == pytest.approx(
        (0.1 + 3.1) / 2 * ENERGY_45_TO_28, rel=TOLERANCE
    )
    area = 16 * (137 + 3495) * AREA_45_TO_28
    assert built.vector_unit.area_mm2.value == pytest.approx(area / 1e6, rel=TOLERANCE)
    assert built.vector_unit.leakage_mw.value == pytest.approx(area * 22.952 / 687.6072 / 1e3, rel=TOLERANCE)
    narrow = machine(vector_unit={"lanes": 16, "bits": 8})
    assert energy(narrow, "vector_unit", "operation").value == pytest.approx(0.115 * ENERGY_45_TO_28, rel=TOLERANCE)
    assert [built.vector_unit.cycles(operations) for operations in (0, 16, 17)] == [0, 1, 2]


# -- the user's own numbers --------------------------------------------------------------------------

ARRAY = {"kind": "adder_tree", "dataflow": "weight_stationary", "po": 16, "pci": 8, "pco": 8}
SYSTOLIC = {"kind": "systolic", "dataflow": "weight_stationary", "rows": 8, "cols": 8}
BOTH = {"area_mm2": 2.5, "leakage_mw": 3.5}


@pytest.mark.parametrize(
    ("part", "values", "block", "energies"),
    [
        ("array", ARRAY | {"mac_energy_pj": 0.5} | BOTH, "array", {"mac": 0.5}),
        ("array", SYSTOLIC | {"mac_energy_pj": 0.5} | BOTH, "array", {"mac": 0.5}),
        (
            "psum_engine",
            {"bits": (8,), "group_sizes": (1,), "requantise_energy_pj": 0.5, "dequantise_energy_pj": 0.25} | BOTH,
            "psum_engine",
            {"requantise": 0.5, "dequantise": 0.25},
        ),
        ("lut_unit", {"lanes": 2, "energy_pj_per_element": 0.5} | BOTH, "lut_unit", {"lookup": 0.5}),
        ("vector_unit", {"lanes": 2, "energy_pj_per_operation": 0.5} | BOTH, "vector_unit", {"operation": 0.5}),
    ],
)
def test_given_costs_win_and_are_the_users(
    part: str, values: dict[str, object], block: str, energies: dict[str, float]
) -> None:
    built = machine(**{part: values}).block(block)
    assert {name: action.energy_pj.value for name, action in built.actions.items()} == energies
    assert (built.area_mm2.value, built.leakage_mw.value) == (2.5, 3.5)
    costs = [action.energy_pj for action in built.actions.values()] + [built.area_mm2, built.leakage_mw]
    assert {(cost.source, cost.confidence) for cost in costs} == {("spec", "user")}


def test_given_buffer_and_dram_costs_win() -> None:
    own = buffer(word_bits=128, read_energy_pj_per_bit=0.5, write_energy_pj_per_bit=0.0, area_mm2=2.5, leakage_mw=3.5)
    built = machine(
        buffers={"ifmap": own, "weight": buffer(), "psum_ofmap": buffer()},
        dram={"kind": "ddr4", "bandwidth_gb_per_s": 1.0, "energy_pj_per_bit": 7.0, "background_power_mw": 0.0},
    )
    assert energy(built, "ifmap_buffer", "read") == Cost(64.0, "spec", "user")
    assert energy(built, "ifmap_buffer", "write") == Cost(0.0, "spec", "user")
    assert built.ifmap_buffer.area_mm2 == Cost(2.5, "spec", "user")
    assert built.ifmap_buffer.leakage_mw == Cost(3.5, "spec", "user")
    assert built.dram.pj_per_bit == Cost(7.0, "spec", "user")
    assert built.dram.leakage_mw == Cost(0.0, "spec", "user")


# -- the machine -------------------------------------------------------------------------------------


def test_machine_blocks_and_sums() -> None:
    built = machine()
    names = [block.name for block in built.blocks()]
    buffers = ["ifmap_buffer", "weight_buffer", "psum_buffer"]
    assert names == ["array", *buffers, "psum_engine", "lut_unit", "vector_unit", "dram"]
    assert list(built.area_mm2) == names[:-1]
    assert list(built.leakage_mw) == names
    assert built.total_area_mm2 == pytest.approx(sum(block.area_mm2.value for block in built.blocks()))
    assert (built.peak_macs_per_cycle, built.period_fs) == (1024, 2_000_000)
    assert built.peak_tops == pytest.approx(1.024)
    with pytest.raises(ValueError, match="no block 'noc'"):
        built.block("noc")
    without = machine(psum_engine=None)
    assert without.psum_engine is None
    assert "psum_engine" not in without.area_mm2


def test_period_is_rounded_once() -> None:
    odd = machine(technology={"node_nm": 28.0, "voltage_v": 0.9, "clock_mhz": 700.0})
    assert odd.period_fs == 1_428_571


def test_machine_tree() -> None:
    built = machine()

    def walk(node: Node) -> list[str]:
        return [node.name, *(name for child in node.children for name in walk(child))]

    buffers = ["ifmap_buffer", "weight_buffer", "psum_buffer"]
    compute = ["array", "psum_engine", "lut_unit", "vector_unit"]
    assert walk(built.root) == ["package", "dram", "die", "core", *buffers, *compute]
    die = built.root.children[1]
    assert die.process == built.process
    assert die.children[0].instances == 1


def test_the_same_spec_builds_the_same_machine() -> None:
    assert machine() == machine()


def test_building_needs_no_heavy_import() -> None:
    code = (
        "import sys, accelsim.hardware.machine;"
        "sys.exit(bool({'numpy', 'numba', 'pandas', 'torch'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
