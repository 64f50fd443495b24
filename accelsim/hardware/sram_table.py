"""Energy and area of an SRAM by node, capacity and port width, from the CACTI 7 table.

Capacity: log-log between the rows of a node; outside them the last slope goes on. Node: linear
in nm between 22, 28, 32, 45 and 65 nm (area: no row at 32 nm); outside, the end node scaled by
Stillmaker & Baas, which flatters SRAM below 22 nm, for it shrinks less than logic. Width: the
64 b value times (width / 64)^e, where e at 28 nm is the slope from 64 to 128 b and at 45 nm the slope
from 64 to 256 b at the same capacity, linear in nm between those two and held outside them; area has
a second width only at 45 nm, so its e is that of 45 nm everywhere. Voltage: each table node has
CACTI's itrs-lstp supply, interpolated in nm, and f(V) of Stillmaker & Baas leads away from it.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Literal

from accelsim.hardware import tables
from accelsim.hardware.block import Cost
from accelsim.hardware.interpolation import Point, bracket, linear, log_log
from accelsim.hardware.technology import Process

Column = Literal["read_energy_pj", "write_energy_pj", "area_mm2"]

# itrs-lstp Vdd of CACTI 7: HewlettPackard/cacti tech_params/{22,32,45,65}nm.dat; 28 nm linear like its rows.
NOMINAL_V: tuple[Point, ...] = ((22, 0.8), (28, 0.92), (32, 1.0), (45, 1.1), (65, 1.2))
BASE_WIDTH_BITS = 64


def nominal_voltage_v(node_nm: float) -> float:
    """Supply of the CACTI rows at `node_nm`, V; the end node's outside 22..65 nm."""
    return linear(NOMINAL_V, _table_node(node_nm))


def access_energy_pj(kind: Literal["read", "write"], capacity_kib: float, width_bits: int, process: Process) -> Cost:
    """Energy of one access of `width_bits` to a bank of `capacity_kib`, pJ, at the process's node and voltage."""
    column: Column = "read_energy_pj" if kind == "read" else "write_energy_pj"
    node_nm = _table_node(process.node_nm)
    cost = _at_node(column, node_nm, capacity_kib, width_bits)
    return process.energy(cost, node_nm, nominal_voltage_v(node_nm))


def area_mm2(capacity_kib: float, width_bits: int, process: Process) -> Cost:
    """Area of a bank of `capacity_kib` with a port of `width_bits`, mm2, at the process's node."""
    node_nm = _table_node(process.node_nm)
    return process.area(_at_node("area_mm2", node_nm, capacity_kib, width_bits), node_nm)


def _table_node(node_nm: float) -> float:
    return min(max(node_nm, NOMINAL_V[0][0]), NOMINAL_V[-1][0])


def _at_node(column: Column, node_nm: float, capacity_kib: float, width_bits: int) -> Cost:
    nodes = _nodes(column, BASE_WIDTH_BITS)
    i = bracket(nodes, node_nm)
    ends = (nodes[i], nodes[i + 1])
    value = linear([(node, _at_table_node(column, node, capacity_kib, width_bits)) for node in ends], node_nm)
    # An end that does not weigh in does not limit the capacities either.
    used = [node for node in ends if node == node_nm] or ends
    lowest = max(curve(column, node, BASE_WIDTH_BITS)[0][0] for node in used)
    highest = min(curve(column, node, BASE_WIDTH_BITS)[-1][0] for node in used)
    source = f"CACTI 7 itrs-lstp, {node_nm:g} nm, {capacity_kib:g} KiB, {width_bits} b, one bank"
    if lowest <= capacity_kib <= highest:
        return Cost(value, source, "computed")
    return Cost(value, f"{source}, extrapolated from {lowest:g}..{highest:g} KiB", "derived")


def _at_table_node(column: Column, node_nm: float, capacity_kib: float, width_bits: int) -> float:
    base = log_log(curve(column, node_nm, BASE_WIDTH_BITS), capacity_kib)
    if width_bits == BASE_WIDTH_BITS:
        return base
    exponents = [(node, _width_exponent(column, node, width, capacity_kib)) for node, width in _wide(column)]
    if len(exponents) == 1:
        exponent = exponents[0][1]
    else:
        exponent = linear(exponents, min(max(node_nm, exponents[0][0]), exponents[-1][0]))
    return float(base * (width_bits / BASE_WIDTH_BITS) ** exponent)


def _width_exponent(column: Column, node_nm: float, width_bits: int, capacity_kib: float) -> float:
    narrow = log_log(curve(column, node_nm, BASE_WIDTH_BITS), capacity_kib)
    wide = log_log(curve(column, node_nm, width_bits), capacity_kib)
    return math.log(wide / narrow) / math.log(width_bits / BASE_WIDTH_BITS)


@cache
def curve(column: Column, node_nm: float, width_bits: int) -> tuple[Point, ...]:
    """The table's own points (KiB, value) at one node and width, by capacity."""
    return tuple(
        sorted((kib, value) for node, width, kib, value in _cells(column) if (node, width) == (node_nm, width_bits))
    )


@cache
def _nodes(column: Column, width_bits: int) -> tuple[float, ...]:
    return tuple(sorted({node for node, width, _, _ in _cells(column) if width == width_bits}))


@cache
def _wide(column: Column) -> tuple[tuple[float, int], ...]:
    """(node, second width) of every node that has one."""
    return tuple(sorted({(node, width) for node, width, _, _ in _cells(column) if width != BASE_WIDTH_BITS}))


@cache
def _cells(column: Column) -> tuple[tuple[float, int, float, float], ...]:
    return tuple(
        (float(line["node_nm"]), int(line["width_bits"]), float(line["capacity_kib"]), float(line[column]))
        for line in tables.rows("sram_cacti7")
        if line[column]
    )
