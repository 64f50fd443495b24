"""Lanes for everything that is neither a MAC nor a table: add, multiply, compare, running sums.

One operation costs the mean of an integer addition and a multiplication at the lane's width
(Horowitz, 45 nm), as if half of them were each; a lane holds one adder and one multiplier.
"""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.hardware.arithmetic import (
    UM2_PER_MM2,
    add_area_um2,
    add_energy_pj,
    logic_leakage_mw,
    multiply_area_um2,
    multiply_energy_pj,
)
from accelsim.hardware.block import Action, Block, or_user, total
from accelsim.hardware.technology import Process
from accelsim.spec import models


@dataclass(frozen=True, kw_only=True)
class VectorUnit(Block):
    """Action `operation`: one lane, one operation."""

    lanes: int
    bits: int

    def cycles(self, operations: int) -> int:
        """Cycles to do `operations`."""
        return -(-operations // self.lanes)


def build_vector_unit(spec: models.VectorUnit, process: Process) -> VectorUnit:
    """The unit of a spec, named `vector_unit`."""
    bits = spec.bits
    both = total([add_energy_pj(bits, process), multiply_energy_pj(bits, bits, process)], "add and multiply")
    energy = or_user(spec.energy_pj_per_operation, both.scaled(0.5, "mean of the two", "assumed"))
    lane = total([add_area_um2(bits, process), multiply_area_um2(bits, bits, process)], "one adder, one multiplier")
    area = or_user(spec.area_mm2, lane.scaled(spec.lanes / UM2_PER_MM2, f"x {spec.lanes} lanes"))
    return VectorUnit(
        name="vector_unit",
        actions={"operation": Action(energy, "operation")},
        area_mm2=area,
        leakage_mw=or_user(spec.leakage_mw, logic_leakage_mw(area)),
        lanes=spec.lanes,
        bits=bits,
    )
