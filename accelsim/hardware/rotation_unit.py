"""Online Hadamard rotations 2^k x m: a pipelined array of butterflies, and rows of +-1 accumulators.

The array takes `points` values a cycle through log2(points) stages of `points` adders, each with a register
behind it (64 x 6 = 384 adders for the 64 points of the ReRAM-on-logic chip's local unit, 512 x 9 = 4608 for a
global 512-point one). H_m needs no butterflies: `accumulators` groups of `points` adders each sum up one of its
rows, a block of `points` values a cycle. A window of p x m values (see `RotationScheme`) then takes

    max(p m / values a cycle of the butterflies, m x p m / (accumulators x points))     cycles

since both run as a pipeline; the two stages of a local rotation follow one another. A `local` unit runs
points / p shorter transforms at once, through a multiplexer before every stage; a `global` one runs one.
Signs, the scale (part of requantisation), the controller, the store that holds a window and reading it again for
each row of H_m are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.hardware.arithmetic import (
    UM2_PER_MM2,
    add_area_um2,
    add_energy_pj,
    cell_area_um2,
    logic_leakage_mw,
    register_energy_pj,
)
from accelsim.hardware.block import Action, Block, Cost, or_user, total
from accelsim.hardware.technology import Process
from accelsim.schemes import RotationScheme
from accelsim.schemes.rotation import Window
from accelsim.spec import stacked


@dataclass(frozen=True, kw_only=True)
class RotationUnit(Block):
    """Action `add`: one addition of the scheme with its register."""

    kind: str
    points: int
    accumulators: int
    adder_bits: int

    @property
    def stages(self) -> int:
        """Stages of butterflies."""
        return self.points.bit_length() - 1

    def row_cycles(self, scheme: RotationScheme) -> int:
        """Cycles of one vector of many. ValueError for transforms longer than the unit's."""
        if scheme.points > self.points:
            raise ValueError(f"{self.name}: a transform of {scheme.points} points in a unit of {self.points}")
        return sum(self._window_cycles(window) for stage in scheme.stages for window in stage)

    def cycles(self, scheme: RotationScheme, vectors: int) -> int:
        """Cycles of some vectors, the pipeline filled once."""
        return vectors * self.row_cycles(scheme) + self.stages + 1 if vectors else 0

    def _window_cycles(self, window: Window) -> int:
        at_once = self.points // window.points if self.kind == "local" else 1
        butterflies = -(-window.order // at_once) if window.points > 1 else 0
        rows = -(-window.size * window.order // (self.accumulators * self.points)) if window.order > 1 else 0
        return max(butterflies, rows, 1)


def build_rotation_unit(spec: stacked.RotationUnit, process: Process) -> RotationUnit:
    """The unit of a spec, named `rotation_unit`."""
    parts = unit_area_um2(spec.kind, spec.points, spec.accumulators, spec.adder_bits, process)
    area = or_user(spec.area_mm2, total(parts.values(), "unit from its parts").scaled(1 / UM2_PER_MM2, "in mm2"))
    return RotationUnit(
        name="rotation_unit",
        actions={"add": Action(or_user(spec.energy_pj_per_add, lane_energy_pj(spec.adder_bits, process)), "addition")},
        area_mm2=area,
        leakage_mw=or_user(spec.leakage_mw, logic_leakage_mw(area)),
        kind=spec.kind,
        points=spec.points,
        accumulators=spec.accumulators,
        adder_bits=spec.adder_bits,
    )


def butterfly_adders(points: int) -> int:
    """Adders of a pipelined transform: one for each value and stage."""
    return points * (points.bit_length() - 1)


def unit_area_um2(kind: str, points: int, accumulators: int, adder_bits: int, process: Process) -> dict[str, Cost]:
    """Area of each part of a unit, um2."""
    adders, sums = butterfly_adders(points), accumulators * points
    add, register = add_area_um2(adder_bits, process), cell_area_um2("register_bit", process)
    parts = {
        "butterflies": add.scaled(adders, f"x {adders} adders"),
        "pipeline": register.scaled(adders * adder_bits, f"x {adders * adder_bits} register bits"),
        "accumulators": add.scaled(sums, f"x {sums} adders"),
        "sums": register.scaled(sums * adder_bits, f"x {sums * adder_bits} register bits"),
    }
    if kind == "local":
        mux2 = adders * adder_bits
        parts["multiplexers"] = cell_area_um2("mux2", process).scaled(mux2, f"x {mux2} mux2, one a value and stage")
    return parts


def lane_energy_pj(adder_bits: int, process: Process) -> Cost:
    """Energy of one addition with the register behind it, pJ."""
    register = register_energy_pj(process).scaled(adder_bits, f"x {adder_bits} register bits")
    return total([add_energy_pj(adder_bits, process), register], "add and register")


@dataclass(frozen=True)
class RotationAreas:
    """A local unit beside a global one: reductions (1 - local / global) by adders of butterflies alone, by the
    butterflies' area (registers and multiplexers too), and by the whole units'."""

    by_adders: float
    by_butterflies: float
    by_units: float


def local_against_global(local_points: int, global_points: int, accumulators: int, process: Process) -> RotationAreas:
    """How much smaller the local unit is, from parts at 32 bits."""
    small = unit_area_um2("local", local_points, accumulators, 32, process)
    large = unit_area_um2("global", global_points, accumulators, 32, process)

    def reduction(names: tuple[str, ...]) -> float:
        areas = [sum(parts[name].value for name in names if name in parts) for parts in (small, large)]
        return 1 - areas[0] / areas[1]

    butterflies = ("butterflies", "pipeline", "multiplexers")
    return RotationAreas(
        by_adders=1 - butterfly_adders(local_points) / butterfly_adders(global_points),
        by_butterflies=reduction(butterflies),
        by_units=reduction((*butterflies, "accumulators", "sums")),
    )
