"""What every array of multipliers shares: area and leakage of its PEs, and the contract of all kinds.

Area and leakage per PE are BitFusion's single fixed-precision PE at 45 nm (its multiplier,
accumulator and registers), a power law in the operand width, scaled to the node. The whole PE is
charged whatever width an operation uses: a narrow operand still turns the full multiplier.
"""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.hardware import tables
from accelsim.hardware.arithmetic import UM2_PER_MM2, add_energy_pj, multiply_energy_pj, register_energy_pj
from accelsim.hardware.block import Block, Cost, total
from accelsim.hardware.interpolation import log_log
from accelsim.hardware.technology import Process
from accelsim.spec import models

PE_NODE_NM = 45.0


@dataclass(frozen=True, kw_only=True)
class PeArray(Block):
    """Action `mac`: one multiply-accumulate at the array's own operand width."""

    dataflow: models.GridDataflow | models.TreeDataflow
    operand_bits: int
    accumulator_bits: int
    spatial_reduction: models.SpatialReduction
    macs_per_cycle: int
    """Multiply-accumulates in a cycle with every lane busy."""
    outputs_per_cycle: int
    """Partial sums the array delivers in a cycle."""


def pe_area_mm2(operand_bits: int, pes: int, process: Process) -> Cost:
    """Area of `pes` processing elements, mm2."""
    per_pe = process.area(_per_pe("area_um2", operand_bits), PE_NODE_NM)
    return per_pe.scaled(pes / UM2_PER_MM2, f"x {pes} PEs")


def pe_mac_energy_pj(operand_bits: int, accumulator_bits: int, operand_registers: int, process: Process) -> Cost:
    """Energy of one MAC, pJ: multiplier, accumulator-wide addition, and the PE's registers it clocks.

    Those hold the partial sum and `operand_registers` operands. Register bits are Aladdin's (40 nm,
    every bit clocked every cycle).
    """
    register_bits = operand_registers * operand_bits + accumulator_bits
    parts = [
        multiply_energy_pj(operand_bits, operand_bits, process),
        add_energy_pj(accumulator_bits, process),
        register_energy_pj(process).scaled(register_bits, f"x {register_bits} register bits"),
    ]
    return total(parts, "multiply, add and pass on")


def pe_leakage_mw(operand_bits: int, pes: int, process: Process) -> Cost:
    """Leakage of `pes` processing elements, mW: the 45 nm figure times the area ratio of the nodes (assumed)."""
    per_pe = _per_pe("leakage_uw", operand_bits)
    scaled = process.area(per_pe, PE_NODE_NM)
    if scaled is not per_pe:
        scaled = scaled.scaled(1.0, "leakage taken to shrink like area", "assumed")
    return scaled.scaled(pes / 1e3, f"x {pes} PEs")


def _per_pe(column: str, operand_bits: int) -> Cost:
    lines = tables.rows("pe_45nm")
    value = log_log([(float(line["bits"]), float(line[column])) for line in lines], operand_bits)
    known = tables.cost(lines[0], column)
    exact = operand_bits in [int(line["bits"]) for line in lines]
    source = f"{known.source}, {operand_bits} b" + ("" if exact else " between or beyond its widths")
    return Cost(value, source, known.confidence if exact else "derived")
