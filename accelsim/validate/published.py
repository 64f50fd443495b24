"""The hardware model beside published figures it was not built from."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from accelsim.hardware import sram_table
from accelsim.hardware.machine import Machine, build_machine
from accelsim.hardware.technology import Process
from accelsim.spec import ArchSpec
from accelsim.validate.recording import data_path
from accelsim.validate.row import Row

HOROWITZ_KIB = (8, 32, 1024)


def figures() -> dict[str, float]:
    """The published figures by name; units and sources stand beside them in the file."""
    with data_path("published.csv").open() as file:
        return {line["name"]: float(line["value"]) for line in csv.DictReader(file)}


def apsq_accelerator(node_nm: float = 28.0) -> Machine:
    """16 x 8 x 8 INT8 MACs with 256 / 128 / 256 KiB buffers: apsq_edge_ws, APSQ as recalled."""
    port = {"read_bits_per_cycle": 8192, "write_bits_per_cycle": 8192}
    sizes = {"ifmap": 256.0, "weight": 128.0, "psum_ofmap": 256.0}
    spec = {
        "spec_version": 1,
        "name": "apsq",
        "technology": {"node_nm": node_nm, "voltage_v": 0.9, "clock_mhz": 500.0},
        "array": {"kind": "adder_tree", "dataflow": "weight_stationary", "po": 16, "pci": 8, "pco": 8},
        "buffers": {name: {"capacity_kib": size} | port for name, size in sizes.items()},
        "psum_engine": {"bits": (8,), "group_sizes": (1, 2, 3, 4)},
        "dram": {"kind": "ddr3", "bandwidth_gb_per_s": 25.6},
        "lut_unit": {"lanes": 16},
        "vector_unit": {"lanes": 64},
    }
    return build_machine(ArchSpec.model_validate(spec))


def rows() -> Iterator[Row]:
    """Each figure beside ours; what is not an input is stated."""
    machine, known = apsq_accelerator(), figures()
    process = Process(28.0, sram_table.nominal_voltage_v(28.0), 500.0)
    energies = [sram_table.access_energy_pj(kind, 256, 64, process).value for kind in ("read", "write")]
    yield _row("SRAM access", "256 KiB, 28 nm, CACTI 7", "pJ/b", known["sram_256kib_28nm"], sum(energies) / 2 / 64, 1.0)
    for kib in HOROWITZ_KIB:
        read = sram_table.access_energy_pj("read", kib, 64, Process(45.0, 1.1, 500.0)).value
        yield _row("SRAM read of 64 b", f"{kib} KiB, 45 nm, Horowitz", "pJ", known[f"sram_{kib}kib_45nm"], read)
    mac = machine.array.actions["mac"].energy_pj.value
    low, high = known["int8_mac_28nm_least"], known["int8_mac_28nm_most"]
    middle, room = (low + high) / 2, 100 * (high - low) / (high + low)
    yield _row("INT8 MAC", "28 nm, Horowitz scaled", "pJ", middle, mac, room)
    yield _row("INT8 MAC", "28 nm, upcycle", "pJ", known["int8_mac_28nm_upcycle"], mac)
    per_mac_um2 = machine.array.area_mm2.value / machine.array.macs_per_cycle * 1e6
    yield _row("INT8 MAC area", "28 nm, upcycle", "um2", known["int8_mac_28nm_area_upcycle"], per_mac_um2)
    assert machine.psum_engine is not None
    engine_mm2 = known["apsq_engine_area"]
    whole_mm2 = engine_mm2 / known["apsq_engine_share"]
    yield _row("APSQ engine area", "28 nm, DAC 2025", "mm2", engine_mm2, machine.psum_engine.area_mm2.value)
    yield _row("accelerator area", "28 nm, DAC 2025", "mm2", whole_mm2, machine.total_area_mm2)


def _row(what: str, case: str, unit: str, published: float, ours: float, tolerance_pct: float | None = None) -> Row:
    return Row("published", case, what, unit, published, ours, tolerance_pct)
