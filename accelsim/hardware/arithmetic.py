"""Integer adders, multipliers, registers, multiplexers and leakage of plain logic, at any width and node.

Adders are linear in width through Horowitz's 8, 16 and 32 b rows; multipliers a power law in the
product of both widths through his 8 x 8 and 32 x 32 b rows (exponent .99 for energy), all 45 nm .9 V.
"""

from __future__ import annotations

from accelsim.hardware import tables
from accelsim.hardware.block import Confidence, Cost, weakest
from accelsim.hardware.interpolation import Point, linear, log_log
from accelsim.hardware.technology import Process

HOROWITZ_NODE_NM = 45.0
HOROWITZ_VOLTAGE_V = 0.9
UM2_PER_MM2 = 1e6


def add_energy_pj(bits: float, process: Process) -> Cost:
    """Energy of one integer addition of `bits`, pJ."""
    cost = _by_width("int_add", "energy_pj", bits, bits)
    return process.energy(cost, HOROWITZ_NODE_NM, HOROWITZ_VOLTAGE_V)


def add_area_um2(bits: float, process: Process) -> Cost:
    """Area of an integer adder of `bits`, um2."""
    return process.area(_by_width("int_add", "area_um2", bits, bits), HOROWITZ_NODE_NM)


def multiply_energy_pj(bits_a: int, bits_b: int, process: Process) -> Cost:
    """Energy of one bits_a x bits_b integer multiplication, pJ."""
    cost = _by_width("int_mul", "energy_pj", bits_a, bits_b)
    return process.energy(cost, HOROWITZ_NODE_NM, HOROWITZ_VOLTAGE_V)


def multiply_area_um2(bits_a: int, bits_b: int, process: Process) -> Cost:
    """Area of a bits_a x bits_b integer multiplier, um2."""
    return process.area(_by_width("int_mul", "area_um2", bits_a, bits_b), HOROWITZ_NODE_NM)


def register_energy_pj(process: Process) -> Cost:
    """Energy of one clocked register bit, pJ per cycle (Aladdin, 40 nm)."""
    line = tables.row("cells", "cell", "register_bit")
    return process.energy(tables.cost(line, "energy_pj"), float(line["node_nm"]), float(line["voltage_v"]))


def cell_area_um2(cell: str, process: Process) -> Cost:
    """Area of one `register_bit` or `mux2`, um2."""
    line = tables.row("cells", "cell", cell)
    return process.area(tables.cost(line, "area_um2"), float(line["node_nm"]))


def mux2_energy_pj(process: Process) -> Cost:
    """Energy of one 2:1 multiplexer bit, pJ: its area at the energy per area of a 32 b adder (assumed)."""
    mux_area = tables.cost(tables.row("cells", "cell", "mux2"), "area_um2")
    add_area = _by_width("int_add", "area_um2", 32, 32).value
    energy = _by_width("int_add", "energy_pj", 32, 32)
    why = f"a mux2 costs as much per area as a 32 b adder, {add_area:g} um2 ({mux_area.source})"
    cost = energy.scaled(mux_area.value / add_area, why, "assumed")
    return process.energy(cost, HOROWITZ_NODE_NM, HOROWITZ_VOLTAGE_V)


def logic_leakage_mw(area_mm2: Cost) -> Cost:
    """Leakage of logic of this area, mW: every node and every kind of logic leaks like an 8 b PE at 45 nm."""
    pe = tables.row("pe_45nm", "bits", "8")
    mw_per_mm2 = float(pe["leakage_uw"]) / 1e3 / (float(pe["area_um2"]) / UM2_PER_MM2)
    why = f"x {mw_per_mm2:.4g} mW/mm2 at every node ({pe['source']}, leakage over area of the 8 b PE)"
    return area_mm2.scaled(mw_per_mm2, why, "assumed")


def _by_width(item: str, column: str, bits_a: float, bits_b: float) -> Cost:
    """A table value at a width; for a multiplier the abscissa is the product of both widths."""
    lines = [line for line in tables.rows("arithmetic_45nm") if line["item"] == item]
    is_multiplier = item == "int_mul"
    points: list[Point] = [(float(line["bits"]) ** (2 if is_multiplier else 1), float(line[column])) for line in lines]
    x = bits_a * bits_b if is_multiplier else bits_a
    value = (log_log if is_multiplier else linear)(points, x)
    known = tables.cost(lines[0], column)
    confidence: Confidence = known.confidence
    source = f"{item} {bits_a:g} b: {known.source}"
    if x not in [point[0] for point in points]:
        confidence = weakest([confidence, "derived"])
        source += ", between or beyond its widths"
    return Cost(value, source, confidence)
