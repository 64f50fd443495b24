"""What must hold of every report; a broken one is the simulator's fault and names the block."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelsim.report.report import Report

RELATIVE_TOLERANCE = 1e-9


class BrokenInvariant(Exception):
    """The simulator contradicts itself; `block` says where."""

    def __init__(self, block: str, message: str) -> None:
        super().__init__(f"{block}: {message}")
        self.block = block


def check(report: Report) -> None:
    """Raises BrokenInvariant: negative or non-finite values, parts that do not sum, MACs lost, impossible speed."""
    _check_values(report)
    _check_sums(report)
    _check_macs(report)
    _check_bounds(report)
    _check_bytes(report)


def _check_values(report: Report) -> None:
    for row in report.rows:
        if not (math.isfinite(row.energy_pj) and row.energy_pj >= 0 and row.count >= 0):
            raise BrokenInvariant(
                row.block, f"{row.op}: {row.action} of {row.operand}: {row.count}, {row.energy_pj} pJ"
            )
        if row.bits_useful > row.bits_moved:
            raise BrokenInvariant(row.block, f"{row.op}: {row.operand} carries more bits than it moves")


def _check_sums(report: Report) -> None:
    totals = report.totals
    by_op = math.fsum(op.energy_pj for op in report.ops)
    if not math.isclose(by_op, totals.energy_pj, rel_tol=RELATIVE_TOLERANCE):
        raise BrokenInvariant("report", f"ops sum to {by_op} pJ, the total is {totals.energy_pj} pJ")
    if sum(op.cycles for op in report.ops) != totals.cycles:
        raise BrokenInvariant("report", "op cycles do not sum to the total")
    area = math.fsum(block.area_mm2 for block in report.blocks if block.die == "logic")
    if not math.isclose(area, totals.area_mm2, rel_tol=RELATIVE_TOLERANCE):
        raise BrokenInvariant("report", f"blocks sum to {area} mm2, the total is {totals.area_mm2} mm2")


def _check_macs(report: Report) -> None:
    executed = sum(row.count for row in report.rows if row.action == "mac")
    skipped = sum(op.macs for op in report.infeasible)
    if executed + skipped != report.totals.macs + skipped or executed + skipped != report.trace_macs:
        raise BrokenInvariant("array", f"{executed} MACs executed, {skipped} skipped, {report.trace_macs} in the trace")


def _check_bounds(report: Report) -> None:
    for op in report.ops:
        for use in op.resources:
            if min(use.busy_cycles, use.stalled_cycles, use.idle_cycles) < 0:
                raise BrokenInvariant(use.name, f"{op.name}: negative time")
        for name, bound in op.lower_bounds:
            if op.cycles < bound:
                raise BrokenInvariant(name, f"{op.name}: {op.cycles} cycles, but it needs at least {bound}")


def _check_bytes(report: Report) -> None:
    """Every psum and ofmap word written to a buffer is read again; what it holds comes from somewhere."""
    moved: dict[tuple[str, str, str, str, str], int] = {}
    for row in report.rows:
        if row.action in ("read", "write"):
            key = (row.phase, row.op, row.block, row.operand, row.action)
            moved[key] = moved.get(key, 0) + row.bits_useful
    for (phase, op, block, operand, action), bits in moved.items():
        if action == "write" and block != "dram" and not moved.get((phase, op, block, operand, "read")):
            raise BrokenInvariant(block, f"{op}: {bits} bits of {operand} are written and never read")
        if operand == "psum" and moved.get((phase, op, block, operand, "read"), 0) != moved.get(
            (phase, op, block, operand, "write"), 0
        ):
            raise BrokenInvariant(block, f"{op}: psum bits written and read differ")
