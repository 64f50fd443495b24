"""What must hold of every report; a broken one is the simulator's fault and names the block."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelsim.report.report import Report

RELATIVE_TOLERANCE = 1e-9
INPUT_BUFFERS = ("ifmap_buffer", "weight_buffer")
OUTPUT_BUFFER = "psum_buffer"
"""The memories of a machine with one buffer for each operand: the only one that fuses ops."""


Moved = dict[tuple[str, str, str], int]
"""By block, operand and action."""


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
    _check_conservation(report)
    _check_link(report)
    _check_groups(report)


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
    area = math.fsum(block.area_mm2 for block in report.blocks if block.die != "dram")
    if not math.isclose(area, totals.area_mm2, rel_tol=RELATIVE_TOLERANCE):
        raise BrokenInvariant("report", f"blocks sum to {area} mm2, the total is {totals.area_mm2} mm2")


def _check_macs(report: Report) -> None:
    each = {"mac": 1, "gated_mac": 1, "fused_mac": 2}
    executed = sum(row.count * each.get(row.action, 0) for row in report.rows)
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
        for name, bound in op.lower_bounds[:1]:
            if op.compute_cycles < bound:
                raise BrokenInvariant(name, f"{op.name}: {op.compute_cycles} array cycles, fewer than {bound}")
        for name, bound in op.lower_bounds:
            if op.cycles < bound:
                raise BrokenInvariant(name, f"{op.name}: {op.cycles} cycles, but it needs at least {bound}")


def _check_conservation(report: Report) -> None:
    """What a level gives, the next one takes; what leaves the array reaches DRAM; psums come back as they left.

    Values are counted everywhere, bits between the memories of the chip alone: in DRAM some are compressed.
    """
    memories = tuple(dict.fromkeys(row.block for row in report.rows if row.level == "buffer"))
    order = [block.block for block in report.blocks if block.block in memories]  # outermost first
    registers = tuple(dict.fromkeys(row.block for row in report.rows if row.level == "registers"))
    fused = {(op.phase, op.name) for op in report.ops if op.group}
    rows = [row for row in report.rows if row.action in ("read", "write") and (row.phase, row.op) not in fused]
    ops: dict[tuple[str, str], tuple[Moved, Moved]] = {}
    for row in rows:
        values, bits = ops.setdefault((row.phase, row.op), ({}, {}))
        key = row.block, row.operand, row.action
        values[key] = values.get(key, 0) + row.values
        bits[key] = bits.get(key, 0) + row.bits_useful
    for (_, op), (values, bits) in ops.items():
        for operand in {operand for _, operand, _ in values} - {"psum"}:
            _check_operand(op, operand, values, order)
            _check_between(op, operand, bits, order)
        for block in (*order, *registers, "dram"):
            for moved in (values, bits):
                left, back = (moved.get((block, "psum", action), 0) for action in ("write", "read"))
                if left != back:
                    raise BrokenInvariant(block, f"{op}: {left} values or bits of psums written, {back} read")


def _check_link(report: Report) -> None:
    """Every bit that a DRAM reads or writes crosses the link, a stack's crosses the bumps, and nothing else does."""
    across: dict[tuple[str, str, str, str], int] = {}
    for row in report.rows:
        if row.level in ("dram", "reram") and row.action in ("read", "write", "io", "link"):
            key = (row.phase, row.op, row.operand, row.block)
            across[key] = across.get(key, 0) + (-row.count if row.action in ("io", "link") else row.bits_moved)
    for (_, op, operand, block), bits in across.items():
        if bits:
            raise BrokenInvariant(block, f"{op}: {bits} bits of {operand} more move than cross the link")


def _check_operand(op: str, operand: str, moved: Moved, order: list[str]) -> None:
    """An operand that comes from DRAM goes from memory to memory; one that leaves passes through as it is."""
    source = "reram" if ("reram", operand, "read") in moved else "dram"
    came, went = moved.get((source, operand, "read"), 0), moved.get(("dram", operand, "write"), 0)
    given = came
    for memory in order:
        taken, read = (moved.get((memory, operand, action), 0) for action in ("write", "read"))
        if went:
            # Inwards and outwards may pass the same memory (a vector op's cache in and out), or each its own.
            if taken != read or taken not in (0, came, went, came + went):
                raise BrokenInvariant(memory, f"{op}: {taken} values of {operand} written, {read} read, {went} stored")
        elif taken or read:
            if taken != given:
                raise BrokenInvariant(memory, f"{op}: takes {taken} values of {operand}, {source} gives {given}")
            source, given = memory, read
    if not went and not given:
        raise BrokenInvariant(source, f"{op}: {operand} is loaded and never read")


def _check_between(op: str, operand: str, moved: Moved, order: list[str]) -> None:
    """Bits that one memory of the chip gives and the next one inwards takes."""
    if ("dram", operand, "write") in moved:
        return
    source, given = "", 0
    for memory in order:
        taken, read = (moved.get((memory, operand, action), 0) for action in ("write", "read"))
        if source and taken and taken != given:
            raise BrokenInvariant(memory, f"{op}: takes {taken} bits of {operand}, {source} gives {given}")
        if taken or read:
            source, given = memory, read


def _check_groups(report: Report) -> None:
    """A fused group's members sum to it, its bounds hold, and what it keeps on chip goes where it came from."""
    moved: dict[tuple[str, str], dict[tuple[str, str], int]] = {}
    groups = {(op.phase, op.name): op.group for op in report.ops if op.group}
    for row in report.rows:
        group = groups.get((row.phase, row.op))
        if group is not None and row.action in ("read", "write"):
            psum = " psum" if row.operand == "psum" else ""
            key = (row.block + psum, row.action)
            sums = moved.setdefault((row.phase, group), {})
            sums[key] = sums.get(key, 0) + row.bits_useful
    for group_row in report.groups:
        if not group_row.fused:
            continue
        members = [op for op in report.ops if op.phase == group_row.phase and op.group == group_row.name]
        energy = math.fsum(op.energy_pj for op in members)
        if sum(op.cycles for op in members) != group_row.cycles:
            raise BrokenInvariant("report", f"{group_row.name}: its ops' cycles do not sum to {group_row.cycles}")
        if not math.isclose(energy, group_row.energy_pj, rel_tol=RELATIVE_TOLERANCE):
            raise BrokenInvariant("report", f"{group_row.name}: its ops sum to {energy} pJ, not {group_row.energy_pj}")
        for name, bound in group_row.lower_bounds:
            if group_row.cycles < bound:
                raise BrokenInvariant(name, f"{group_row.name}: {group_row.cycles} cycles, at least {bound} needed")
        _check_kept(group_row.name, moved[group_row.phase, group_row.name])


def _check_kept(group: str, moved: dict[tuple[str, str], int]) -> None:
    """What is written to the psum buffer is read there, and what fills an input buffer came from DRAM or
    from there."""
    for block in (OUTPUT_BUFFER, f"{OUTPUT_BUFFER} psum", "dram psum"):
        into, out = (moved.get((block, action), 0) for action in ("write", "read"))
        if into != out:
            raise BrokenInvariant(OUTPUT_BUFFER, f"{group}: {into} bits written to {block}, {out} read")
    stays = moved.get((OUTPUT_BUFFER, "read"), 0) - moved.get(("dram", "write"), 0)
    filled = sum(moved.get((block, "write"), 0) for block in INPUT_BUFFERS)
    copied = filled - moved.get(("dram", "read"), 0)
    if not 0 <= copied <= stays:
        raise BrokenInvariant(
            "dram", f"{group}: {filled} bits fill the input buffers, {copied} more than DRAM gives, {stays} are kept"
        )
