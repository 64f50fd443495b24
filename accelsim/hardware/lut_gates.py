"""A look-up unit put together from its parts, at any width: nothing here is fitted to a synthesised unit.

    table        N slopes, N intercepts, N - 1 breakpoints in registers, clocked only when they are loaded
    comparators  N - 1, as subtractors of the input's width
    selection    a tree of N - 1 two-to-one multiplexers per coefficient bit
    multiplier   slope x input;  shifter: one multiplexer a bit and power of two, for the intercept
    adder        one bit wider than the product
    pipeline     registers for the input; for slope, intercept and input; for the result

A float unit compares its 32 bits as integers (sign and magnitude), multiplies and adds in floating
point, and has no shifter. Energy per look-up: every part but the table switches once. All constants
are those of `accelsim.hardware.arithmetic`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from accelsim.hardware import tables
from accelsim.hardware.arithmetic import (
    HOROWITZ_NODE_NM,
    HOROWITZ_VOLTAGE_V,
    add_area_um2,
    add_energy_pj,
    cell_area_um2,
    multiply_area_um2,
    multiply_energy_pj,
    mux2_energy_pj,
    register_energy_pj,
)
from accelsim.hardware.block import Cost, total
from accelsim.hardware.technology import Process

FLOAT_BITS = 32


@dataclass(frozen=True)
class LutShape:
    """Sizes of a unit's one lane. ValueError below 2 entries or 2 bits, or for floats of other than 32 bits."""

    entries: int
    input_bits: int
    slope_bits: int
    intercept_bits: int
    number: Literal["int", "float"] = "int"

    def __post_init__(self) -> None:
        widths = (self.input_bits, self.slope_bits, self.intercept_bits)
        if self.entries < 2 or min(widths) < 2:
            raise ValueError(f"{self.entries} entries of {widths} bits are no table")
        if self.number == "float" and set(widths) != {FLOAT_BITS}:
            raise ValueError(f"floats of {widths} bits: only {FLOAT_BITS} bits are known")

    @property
    def coefficient_bits(self) -> int:
        """Of one slope and one intercept."""
        return self.slope_bits + self.intercept_bits

    @property
    def table_bits(self) -> int:
        """Slopes, intercepts and breakpoints."""
        return self.entries * self.coefficient_bits + (self.entries - 1) * self.input_bits

    @property
    def result_bits(self) -> int:
        """What the adder puts out."""
        return FLOAT_BITS if self.number == "float" else self.slope_bits + self.input_bits + 1

    @property
    def pipeline_bits(self) -> int:
        """Registers that are clocked every cycle."""
        return 2 * self.input_bits + self.coefficient_bits + self.result_bits

    @property
    def multiplexers(self) -> int:
        """Two-to-one, one bit each: selection, and the intercept's shifter."""
        selection = (self.entries - 1) * self.coefficient_bits
        levels = 0 if self.number == "float" else math.ceil(math.log2(self.input_bits))
        return selection + levels * (self.result_bits - 1)


def gates_area_um2(shape: LutShape, process: Process) -> dict[str, Cost]:
    """Area of each part of one lane, um2."""
    register = cell_area_um2("register_bit", process)
    comparator = add_area_um2(shape.input_bits, process)
    parts = {
        "table": register.scaled(shape.table_bits, f"x {shape.table_bits} table bits"),
        "comparators": comparator.scaled(shape.entries - 1, f"x {shape.entries - 1} comparators"),
        "multiplexers": cell_area_um2("mux2", process).scaled(shape.multiplexers, f"x {shape.multiplexers} mux2"),
        "pipeline": register.scaled(shape.pipeline_bits, f"x {shape.pipeline_bits} pipeline bits"),
    }
    if shape.number == "float":
        return parts | {item: process.area(cost, HOROWITZ_NODE_NM) for item, cost in _float_costs("area_um2")}
    multiplier = multiply_area_um2(shape.slope_bits, shape.input_bits, process)
    return parts | {"multiplier": multiplier, "adder": add_area_um2(shape.result_bits, process)}


def gates_energy_pj(shape: LutShape, process: Process) -> dict[str, Cost]:
    """Energy that each part takes for one look-up, pJ."""
    comparator = add_energy_pj(shape.input_bits, process)
    register = register_energy_pj(process)
    parts = {
        "comparators": comparator.scaled(shape.entries - 1, f"x {shape.entries - 1} comparators"),
        "multiplexers": mux2_energy_pj(process).scaled(shape.multiplexers, f"x {shape.multiplexers} mux2"),
        "pipeline": register.scaled(shape.pipeline_bits, f"x {shape.pipeline_bits} pipeline bits"),
    }
    if shape.number == "float":
        floats = _float_costs("energy_pj")
        return parts | {item: process.energy(cost, HOROWITZ_NODE_NM, HOROWITZ_VOLTAGE_V) for item, cost in floats}
    multiplier = multiply_energy_pj(shape.slope_bits, shape.input_bits, process)
    return parts | {"multiplier": multiplier, "adder": add_energy_pj(shape.result_bits, process)}


def lane_total(parts: dict[str, Cost]) -> Cost:
    """All parts of a lane together."""
    return total(parts.values(), "look-up unit from its parts")


def _float_costs(column: str) -> Iterator[tuple[str, Cost]]:
    for part, item in (("multiplier", "fp_mul"), ("adder", "fp_add")):
        yield part, tables.cost(tables.row("arithmetic_45nm", "item", item), column)
