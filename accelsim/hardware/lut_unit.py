"""Lanes that evaluate a piecewise-linear table per element (GQA-LUT, DAC 2024).

An 8-entry unit is the published synthesis at 28 nm and 500 MHz: power over clock is energy per look-up
(its leakage, below a tenth, is in there and in `leakage_mw` too: the publication does not part them).
16 b lies between the INT8 and INT32 units by a power law in the width. Other table sizes change the
stored bits only (N slopes, N intercepts, N - 1 breakpoints): area by that many register bits, energy
in the same proportion as area (assumed). A spec may ask for `costs: composed` instead: the unit put
together from its parts (`accelsim.hardware.lut_gates`), at its own width and table size.
"""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.hardware import tables
from accelsim.hardware.arithmetic import UM2_PER_MM2, cell_area_um2, logic_leakage_mw
from accelsim.hardware.block import Action, Block, Cost, or_user
from accelsim.hardware.interpolation import log_log
from accelsim.hardware.lut_gates import LutShape, gates_area_um2, gates_energy_pj, lane_total
from accelsim.hardware.technology import Process
from accelsim.spec import models

MEASURED = Process(node_nm=28.0, voltage_v=0.9, clock_mhz=500.0)
MEASURED_ENTRIES = 8
NS_PER_US = 1e3


@dataclass(frozen=True, kw_only=True)
class LutUnit(Block):
    """Action `lookup` per element."""

    lanes: int
    entries: int
    bits: int

    def cycles(self, elements: int) -> int:
        """Cycles to look up `elements`."""
        return -(-elements // self.lanes)


def build_lut_unit(spec: models.LutUnit, process: Process) -> LutUnit:
    """The unit of a spec, named `lut_unit`."""
    lane_area, energy = _composed(spec, process) if spec.costs == "composed" else _measured(spec, process)
    area = or_user(spec.area_mm2, lane_area.scaled(spec.lanes / UM2_PER_MM2, f"x {spec.lanes} lanes"))
    return LutUnit(
        name="lut_unit",
        actions={"lookup": Action(or_user(spec.energy_pj_per_element, energy), "element")},
        area_mm2=area,
        leakage_mw=or_user(spec.leakage_mw, logic_leakage_mw(area)),
        lanes=spec.lanes,
        entries=spec.entries,
        bits=spec.bits,
    )


def stored_bits(entries: int, bits: int) -> int:
    """Bits of a table: `entries` slopes and intercepts, one breakpoint fewer."""
    return (3 * entries - 1) * bits


def _composed(spec: models.LutUnit, process: Process) -> tuple[Cost, Cost]:
    """Area of a lane, um2, and energy of a look-up, pJ."""
    shape = LutShape(spec.entries, spec.bits, spec.bits, spec.bits)
    return lane_total(gates_area_um2(shape, process)), lane_total(gates_energy_pj(shape, process))


def _measured(spec: models.LutUnit, process: Process) -> tuple[Cost, Cost]:
    """Area of a lane, um2, and energy of a look-up, pJ."""
    area = process.area(_lane_area_um2(spec.bits, spec.entries), MEASURED.node_nm)
    energy = process.energy(_energy_pj(spec.bits, spec.entries), MEASURED.node_nm, MEASURED.voltage_v)
    return area, energy


def _energy_pj(bits: int, entries: int) -> Cost:
    power = _published("power_mw", bits)
    energy = power.scaled(NS_PER_US / MEASURED.clock_mhz, f"power over {MEASURED.clock_mhz:g} MHz")
    if entries == MEASURED_ENTRIES:
        return energy
    ratio = _lane_area_um2(bits, entries).value / _published("area_um2", bits).value
    return energy.scaled(ratio, f"{entries} entries cost in proportion to area", "assumed")


def _lane_area_um2(bits: int, entries: int) -> Cost:
    area = _published("area_um2", bits)
    if entries == MEASURED_ENTRIES:
        return area
    register = cell_area_um2("register_bit", MEASURED)
    extra_bits = stored_bits(entries, bits) - stored_bits(MEASURED_ENTRIES, bits)
    ratio = 1 + extra_bits * register.value / area.value
    return area.scaled(ratio, f"{extra_bits:+d} table bits as registers ({register.source})", "derived")


def _published(column: str, bits: int) -> Cost:
    lines = tables.rows("lut_28nm")
    value = log_log([(float(line["bits"]), float(line[column])) for line in lines], bits)
    for line in lines:
        if int(line["bits"]) == bits:
            return tables.cost(line, column)
    return Cost(value, f"{lines[0]['source']}, {bits} b between INT8 and INT32", "derived")
