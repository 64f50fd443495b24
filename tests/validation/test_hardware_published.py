"""The hardware model beside published figures it was not built from; the deviations are stated, not tuned away.

`record_property` keeps each figure in the JUnit report. A deviation asserted here is the measured one:
if a constant changes, the test asks for the new one to be stated.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accelsim.hardware import sram_table
from accelsim.hardware.technology import Process
from accelsim.validate.published import apsq_accelerator

Record = Callable[[str, object], None]
RAE_AREA_MM2 = 0.086410
APSQ_ACCELERATOR_MM2 = RAE_AREA_MM2 / 0.0321


def test_psum_engine_area_beside_the_published_engine(record_property: Record) -> None:
    """86,410 um2 at 28 nm (digest; lanes and widths unstated) is no input: the component count is 31 % above it."""
    engine = apsq_accelerator().psum_engine
    assert engine is not None
    deviation = engine.area_mm2.value / RAE_AREA_MM2 - 1
    record_property("psum_engine_area_deviation", deviation)
    assert engine.area_mm2.confidence == "assumed"
    assert deviation == pytest.approx(0.313, abs=0.005)


def test_accelerator_area_beside_the_published_total(record_property: Record) -> None:
    """2.69 mm2 (implied by 3.21 %); ours is 47 % below: no NoC, control or I/O, sizes recalled."""
    total = apsq_accelerator().total_area_mm2
    deviation = total / APSQ_ACCELERATOR_MM2 - 1
    record_property("accelerator_area_deviation", deviation)
    assert deviation == pytest.approx(-0.475, abs=0.005)


def test_int8_mac_lies_in_the_scaled_horowitz_range(record_property: Record) -> None:
    mac = apsq_accelerator().array.actions["mac"].energy_pj.value
    record_property("int8_mac_28nm_pj", mac)
    assert 0.12 <= mac <= 0.16
    # upcycle's .283 pJ at "28 nm" includes what the datapath figure leaves out: half of it.
    assert mac / 0.283 - 1 == pytest.approx(-0.510, abs=0.005)


def test_int8_mac_beside_bitfusion_synthesis_at_its_own_node(record_property: Record) -> None:
    """45 nm, 500 MHz, dynamic power: .298 pJ for one PE, .203 pJ per MAC in a 4 x 4 array; ours lies between."""
    mac = apsq_accelerator(45.0).array.actions["mac"].energy_pj.value
    record_property("int8_mac_45nm_pj", mac)
    assert 1627.5 / 500 / 16 < mac < 148.845 / 500


def test_pe_area_beside_upcycle(record_property: Record) -> None:
    """336.7 um2 for an INT8 MAC at "28 nm" (its file labels node 32); BitFusion's PE scaled is 23 % smaller."""
    per_mac_um2 = apsq_accelerator().array.area_mm2.value / 1024 * 1e6
    deviation = per_mac_um2 / 336.7 - 1
    record_property("pe_area_deviation", deviation)
    assert deviation == pytest.approx(-0.231, abs=0.005)


def test_sram_of_256_kib_at_28_nm(record_property: Record) -> None:
    """The recommended default, .290 pJ/b mean of read and write, at CACTI's supply; a twentieth less at .9 V."""

    def mean_pj_per_bit(voltage: float) -> float:
        process = Process(28.0, voltage, 500.0)
        read = sram_table.access_energy_pj("read", 256, 64, process).value
        return (read + sram_table.access_energy_pj("write", 256, 64, process).value) / 2 / 64

    record_property("sram_256kib_28nm_pj_per_bit", mean_pj_per_bit(0.9))
    assert mean_pj_per_bit(sram_table.nominal_voltage_v(28.0)) == pytest.approx(0.290, abs=5e-4)
    assert mean_pj_per_bit(0.9) == pytest.approx(0.277, abs=5e-4)


@pytest.mark.parametrize(("kib", "horowitz_pj", "deviation"), [(8, 10, -0.39), (32, 20, -0.15), (1024, 100, -0.065)])
def test_sram_beside_horowitz_at_45_nm(kib: int, horowitz_pj: float, deviation: float, record_property: Record) -> None:
    """64 b reads of ISSCC 2014 against CACTI at its own 1.1 V: 39 % low at 8 KiB, 7 % at 1 MiB."""
    ours = sram_table.access_energy_pj("read", kib, 64, Process(45.0, 1.1, 500.0)).value
    record_property(f"sram_{kib}kib_45nm_deviation", ours / horowitz_pj - 1)
    assert ours / horowitz_pj - 1 == pytest.approx(deviation, abs=0.005)


def test_dram_over_sram_energy(record_property: Record) -> None:
    """APSQ studies take 26 (Horowitz, 45 nm); DDR3 over a 256 KiB buffer is more, the smaller the node."""
    ratios = {}
    for node in (45.0, 28.0):
        machine = apsq_accelerator(node)
        buffer = machine.psum_buffer
        per_bit = sum(action.energy_pj.value for action in buffer.actions.values()) / 2 / buffer.word_bits
        ratios[node] = machine.dram.pj_per_bit.value / per_bit
        record_property(f"dram_over_sram_{node:g}nm", ratios[node])
    assert ratios[45.0] == pytest.approx(46.7, abs=0.1)
    assert ratios[28.0] == pytest.approx(73.3, abs=0.1)
