"""Scaling of logic between process nodes and supply voltages.

Energy: Stillmaker & Baas (Integration 58:74-81, 2017): E * f_Y(V_Y) / f_X(V_X) with
f(V) = a V^2 + b V + c per node, one device family throughout (bulk above 45 nm, HP from 45 nm down).
A node without a row takes f at the same voltage from its two neighbours, linearly in nm. Area: the
45 nm row of their matrix, also linear in nm between nodes; going through 45 nm both ways makes
scaling exact for equal nodes and independent of the path. The 180 nm row is unusable as printed, so
the table ends at 130 nm. DRAM is never scaled.
"""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.errors import Fault, UserError
from accelsim.hardware import tables
from accelsim.hardware.block import Cost
from accelsim.hardware.interpolation import Point, bracket, linear
from accelsim.spec import models

# A fit is trusted from its own minimum (below it energy would rise again) to this many nominal volts.
HIGHEST_RELATIVE_VOLTAGE = 1.5
SCALING = "Stillmaker & Baas 2017"


@dataclass(frozen=True)
class Process:
    """Where a block runs: node (nm), supply (V) and clock (MHz)."""

    node_nm: float
    voltage_v: float
    clock_mhz: float

    def energy(self, measured: Cost, node_nm: float, voltage_v: float) -> Cost:
        """An energy measured at another (nm, V) brought here; unchanged if it is the same point."""
        if (node_nm, voltage_v) == (self.node_nm, self.voltage_v):
            return measured
        factor = energy_factor(node_nm, voltage_v, self.node_nm, self.voltage_v)
        why = f"{node_nm:g} nm {voltage_v:g} V to {self.node_nm:g} nm {self.voltage_v:g} V x {factor:.4g} ({SCALING})"
        return measured.scaled(factor, why, "derived")

    def area(self, measured: Cost, node_nm: float) -> Cost:
        """An area measured at another node brought here; unchanged if it is the same node."""
        if node_nm == self.node_nm:
            return measured
        factor = area_factor(node_nm, self.node_nm)
        why = f"area {node_nm:g} to {self.node_nm:g} nm x {factor:.4g} ({SCALING})"
        return measured.scaled(factor, why, "derived")


def build_process(spec: models.Technology, where: str) -> Process:
    """The process of a spec; UserError naming technology.node_nm or .voltage_v outside the tables."""
    nodes = [node for node, _ in _points("area_from_45nm")]
    if not nodes[0] <= spec.node_nm <= nodes[-1]:
        found = f"no scaling data for {spec.node_nm:g} nm"
        raise UserError([Fault(where, 0, 0, "technology.node_nm", found, f"use {nodes[0]:g} to {nodes[-1]:g} nm")])
    lowest, highest = voltage_range(spec.node_nm)
    voltage_v = spec.supply_v
    if not lowest <= voltage_v <= highest:
        found = f"{voltage_v:g} V is outside the energy fit of {spec.node_nm:g} nm"
        raise UserError([Fault(where, 0, 0, "technology.voltage_v", found, f"use {lowest:.2f} to {highest:.2f} V")])
    return Process(spec.node_nm, voltage_v, spec.clock_mhz)


def energy_factor(from_nm: float, from_v: float, to_nm: float, to_v: float) -> float:
    """Energy at (to_nm, to_v) over energy at (from_nm, from_v); ValueError outside 7..130 nm."""
    return _relative_energy(to_nm, to_v) / _relative_energy(from_nm, from_v)


def area_factor(from_nm: float, to_nm: float) -> float:
    """Area at `to_nm` over area at `from_nm`; ValueError outside 7..130 nm."""
    points = _points("area_from_45nm")
    for node in (from_nm, to_nm):
        _check_node(node)
    return linear(points, to_nm) / linear(points, from_nm)


def voltage_range(node_nm: float) -> tuple[float, float]:
    """Lowest and highest supply, V, for which the energy fits of the neighbouring nodes hold."""
    points = _points("nominal_v")
    i = bracket([node for node, _ in points], node_nm)
    neighbours = (points[i][0], points[i + 1][0])
    lines = [tables.row("stillmaker2017", "node_nm", f"{node:g}") for node in neighbours]
    lowest = max(-float(line["energy_b"]) / (2 * float(line["energy_a"])) for line in lines)
    return lowest, HIGHEST_RELATIVE_VOLTAGE * linear(points, node_nm)


def _relative_energy(node_nm: float, voltage_v: float) -> float:
    _check_node(node_nm)
    curves = zip(_points("energy_a"), _points("energy_b"), _points("energy_c"), strict=True)
    at_voltage = [(node, a * voltage_v**2 + b * voltage_v + c) for (node, a), (_, b), (_, c) in curves]
    return linear(at_voltage, node_nm)


def _check_node(node_nm: float) -> None:
    nodes = [node for node, _ in _points("area_from_45nm")]
    if not nodes[0] <= node_nm <= nodes[-1]:
        raise ValueError(f"no scaling data for {node_nm:g} nm: {nodes[0]:g} to {nodes[-1]:g} nm")


def _points(column: str) -> list[Point]:
    return sorted((float(line["node_nm"]), float(line[column])) for line in tables.rows("stillmaker2017"))
