"""What must hold of every report; a broken one is the simulator's fault and names the block."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelsim.report.report import Report

RELATIVE_TOLERANCE = 1e-9
INPUT_BUFFERS = ("ifmap_buffer", "weight_buffer")
OUTPUT_BUFFER = "psum_buffer"


class BrokenInvariant(Exception):
    """The simulator contradicts itself; `block` says where."""

    def __init__(self, block: str, message: str) -> None:
        super().__init__(f"{block}: {message}")
        self.block = block
        self.message = message

    def __reduce__(self) -> tuple[type[BrokenInvariant], tuple[str, str]]:
        return type(self), (self.block, self.message)


def check(report: Report) -> None:
    """Raises BrokenInvariant: negative or non-finite values, parts that do not sum, MACs lost, impossible speed."""
    _check_values(report)
    _check_sums(report)
    _check_macs(report)
    _check_bounds(report)
    _check_bytes(report)
    _check_link(report)


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
        waited = [cycles for _, cycles in op.stalls]
        if sum(waited) != op.stall_cycles or min(waited) < 0:
            raise BrokenInvariant("report", f"{op.name}: stalls {waited}, which are not its {op.stall_cycles} cycles")
        for name, bound in op.lower_bounds:
            if op.cycles < bound:
                raise BrokenInvariant(name, f"{op.name}: {op.cycles} cycles, but it needs at least {bound}")


def _check_bytes(report: Report) -> None:
    """What comes from DRAM fills a buffer, what leaves a buffer goes to DRAM, psums come back as they left."""
    ops: dict[tuple[str, str], dict[tuple[str, str, str], int]] = {}
    for row in report.rows:
        if row.action in ("read", "write"):
            moved = ops.setdefault((row.phase, row.op), {})
            moved[row.block, row.operand, row.action] = row.bits_useful
    for (_, op), moved in ops.items():
        for operand in {operand for _, operand, _ in moved} - {"psum"}:
            _check_operand(op, operand, moved)
        for block in (OUTPUT_BUFFER, "dram"):
            left, back = (moved.get((block, "psum", action), 0) for action in ("write", "read"))
            if left != back:
                raise BrokenInvariant(block, f"{op}: {left} psum bits written, {back} read")


def _check_link(report: Report) -> None:
    """Every bit that a DRAM reads or writes crosses the link, and nothing else does."""
    across: dict[tuple[str, str, str], int] = {}
    for row in report.rows:
        if row.level == "dram" and row.action in ("read", "write", "io"):
            key = (row.phase, row.op, row.operand)
            across[key] = across.get(key, 0) + (row.bits_moved if row.action != "io" else -row.count)
    for (_, op, operand), bits in across.items():
        if bits:
            raise BrokenInvariant("dram", f"{op}: {bits} bits of {operand} more move than cross the link")


def _check_operand(op: str, operand: str, moved: dict[tuple[str, str, str], int]) -> None:
    filled = sum(moved.get((block, operand, "write"), 0) for block in INPUT_BUFFERS)
    if filled != moved.get(("dram", operand, "read"), 0):
        raise BrokenInvariant("dram", f"{op}: the bits of {operand} read from DRAM are not those that fill a buffer")
    if filled and not sum(moved.get((block, operand, "read"), 0) for block in INPUT_BUFFERS):
        raise BrokenInvariant(INPUT_BUFFERS[0], f"{op}: {operand} is loaded and never read")
    into, out = (moved.get((OUTPUT_BUFFER, operand, action), 0) for action in ("write", "read"))
    stored = moved.get(("dram", operand, "write"), 0)
    if into != out or (into and stored != out):  # an output that bypasses the buffer has no buffer rows
        raise BrokenInvariant(OUTPUT_BUFFER, f"{op}: {into} bits of {operand} written, {out} read, {stored} stored")
