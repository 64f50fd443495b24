"""rows x cols processing elements that unroll any loops of a problem, one MAC a cycle each (Eyeriss-like).

Operands reach the PEs by multicast: what several PEs use in a cycle is read once. A PE accumulates an
output while it stays; when it leaves, the sums that several PEs have of it are added on the way from PE
to PE. A PE's first product of an output takes the sum that a neighbour hands on in place of its own, so
there are no more additions than MACs, and a pass costs the register it is latched in; wires are not
counted (assumed).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from accelsim.hardware.arithmetic import register_energy_pj
from accelsim.hardware.block import Action, Cost, or_user
from accelsim.hardware.pe_array import PeArray, pe_area_mm2, pe_leakage_mw, pe_mac_energy_pj
from accelsim.hardware.technology import Process
from accelsim.spec import models

Side = tuple[tuple[str, int | None], ...]
"""Dims with their widest unrolling; None takes what the others leave."""

Operand = Literal["ifmap", "weight", "output"]

_RELEVANT: dict[Operand, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ifmap": (("b", "g", "m", "k"), ("groups", "n", "p", "q", "r", "s", "c")),
    "weight": (("b", "k", "n"), ("groups", "r", "s", "c", "k")),
    "output": (("b", "g", "m", "n"), ("groups", "n", "p", "q", "k")),
}


@dataclass(frozen=True)
class Sides:
    """What the rows and the columns unroll of one kind of problem."""

    rows: Side
    cols: Side


@dataclass(frozen=True, kw_only=True)
class PeGrid(PeArray):
    """Actions `mac`, `gated_mac` of a zero input, and `pass`: one partial sum handed to the next PE."""

    rows: int
    cols: int
    matmul: Sides
    conv: Sides
    pipeline_stages: int
    zero_gating: bool

    def widths(self, extents: Mapping[str, int], conv: bool) -> dict[str, int]:
        """How many indices of each dim run at once in a problem of these extents; a product over both sides."""
        sides = self.conv if conv else self.matmul
        widths = _side_widths(sides.rows, self.rows, extents)
        left = {dim: -(-extent // widths.get(dim, 1)) for dim, extent in extents.items()}
        for dim, width in _side_widths(sides.cols, self.cols, left).items():
            widths[dim] = widths.get(dim, 1) * width
        return widths

    def cycles(self, steps: int, summed: int) -> int:
        """Cycles of one instruction of `steps` array-sized pieces whose sums take the products of `summed` PEs.

        A piece a cycle; the pipeline and the passes from the first PE of a sum to the last come once.
        """
        if steps < 1 or summed < 1:
            raise ValueError(f"{self.name}: an instruction has at least one step and one PE, not {steps} and {summed}")
        return steps + self.pipeline_stages + summed - 1

    def values_per_cycle(self, operand: Operand) -> int:
        """Most values of an operand that a cycle takes or gives, overlap of conv windows left out."""
        return _most_values(operand, self.matmul, self.conv, (self.rows, self.cols))


def _side_widths(side: Side, pes: int, extents: Mapping[str, int]) -> dict[str, int]:
    widths = {dim: min(width, extents[dim]) for dim, width in side if width is not None}
    free = pes // math.prod(widths.values())
    for dim, width in side:
        if width is None:
            widths[dim] = min(free, extents[dim])
            free //= widths[dim]
    return widths


def _most_values(operand: Operand, matmul: Sides, conv: Sides, grid: tuple[int, int]) -> int:
    """Most distinct indices of an operand's dims; a dim without a width may have its whole side."""
    most = 0
    for sides, dims in zip((matmul, conv), _RELEVANT[operand], strict=True):
        product = 1
        for side, pes in zip((sides.rows, sides.cols), grid, strict=True):
            widths = [width for dim, width in side if dim in dims]
            product *= pes if None in widths else math.prod(width for width in widths if width)
        most = max(most, product)
    return most


def build_pe_grid(spec: models.PeGridArray, process: Process) -> PeGrid:
    """The array of a spec, named `array`."""
    macs = spec.rows * spec.cols
    energy = pe_mac_energy_pj(spec.operand_bits, spec.accumulator_bits, 2, process)
    matmul, conv = (
        Sides(*(tuple((unrolled.dim, unrolled.width) for unrolled in side) for side in (sides.rows, sides.cols)))
        for sides in (spec.unroll.matmul, spec.unroll.conv)
    )
    return PeGrid(
        name="array",
        actions={
            "mac": Action(or_user(spec.mac_energy_pj, energy), "mac"),
            "gated_mac": Action(Cost(0.0, "nothing switches but what holds the sum", "derived"), "mac"),
            "pass": Action(or_user(spec.pass_energy_pj, _pass_energy_pj(spec.accumulator_bits, process)), "psum"),
        },
        area_mm2=or_user(spec.area_mm2, pe_area_mm2(spec.operand_bits, macs, process)),
        leakage_mw=or_user(spec.leakage_mw, pe_leakage_mw(spec.operand_bits, macs, process)),
        dataflow=spec.dataflow,
        operand_bits=spec.operand_bits,
        accumulator_bits=spec.accumulator_bits,
        spatial_reduction="nested",
        macs_per_cycle=macs,
        outputs_per_cycle=_most_values("output", matmul, conv, (spec.rows, spec.cols)),
        rows=spec.rows,
        cols=spec.cols,
        matmul=matmul,
        conv=conv,
        pipeline_stages=spec.pipeline_stages,
        zero_gating=spec.zero_gating,
    )


def _pass_energy_pj(accumulator_bits: int, process: Process) -> Cost:
    """Energy of one pass, pJ: a register of an accumulator's width."""
    why = f"x {accumulator_bits} register bits of the next PE, wires left out"
    return register_energy_pj(process).scaled(accumulator_bits, why, "assumed")
