"""Several chips as one report: every chip's part of the trace run, counts and energy summed, time of the slowest.

Parts that are equal are run once. An op is over when the slowest chip is; then, where the next one needs whole
rows, its outputs are gathered over the link, in an op of its own (`transfer`, nothing overlaps it here):

    time  latency + bits that the chip with the smallest share lacks / bandwidth
    bits  what every chip lacks, (chips - 1) x the whole
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from accelsim.charge import leakage_rows
from accelsim.errors import user_error
from accelsim.hardware.machine import Machine
from accelsim.hardware.system import ChipLink
from accelsim.report.report import GroupRow, InfeasibleRow, OpRow, ResourceCycles, Row
from accelsim.workload.chips import ChipTrace, split_over_chips
from accelsim.workload.trace import Op, Phase, Trace


@dataclass(frozen=True)
class Run:
    """What a run of a trace on a machine comes to, in the trace's order."""

    rows: list[Row]
    ops: list[OpRow]
    groups: list[GroupRow]
    infeasible: list[InfeasibleRow]


@dataclass(frozen=True)
class _Share:
    """A part of the trace that some chips have, and its run, by phase and op."""

    chips: int
    part: ChipTrace
    ops: Mapping[tuple[str, str], OpRow]
    rows: Mapping[tuple[str, str], list[Row]]
    infeasible: Mapping[tuple[str, str], InfeasibleRow]


def run_on_chips(machine: Machine, trace: Trace, run_one: Callable[[Trace], Run]) -> Run:
    """The run of all chips of the machine's system. UserError for a conv, which is not split."""
    link = machine.system.link
    if machine.system.chips == 1 or link is None:
        return run_one(trace)
    shares = _shares(machine, trace, run_one)
    whole = Run([], [], [], [])
    for phase in trace.phases:
        for op in phase.ops:
            _add_op(whole, phase, op, shares, machine)
            received = [(share.part.gathered_bits.get(op.id, 0), share.chips) for share in shares]
            if any(bits for bits, _ in received):
                _add_gather(whole, phase, op, received, machine, link)
    return whole


def check_one_chip(machine: Machine) -> None:
    """UserError for a system of several chips, whose parts a file of mappings does not hold."""
    if machine.system.chips > 1:
        found = f"{machine.system.chips} chips, and a file of mappings is of one"
        raise user_error(machine.name, "system.chips", found, "map and replay the spec of one chip")


def _shares(machine: Machine, trace: Trace, run_one: Callable[[Trace], Run]) -> list[_Share]:
    chips = machine.system.chips
    try:
        parts = [split_over_chips(trace, chips, chip) for chip in range(chips)]
    except ValueError as error:
        raise user_error(machine.name, "system.chips", str(error), "use one chip, or a trace of matmuls") from None
    distinct: list[tuple[ChipTrace, int]] = []
    for part in parts:  # equal parts are neighbours
        if distinct and distinct[-1][0] == part:
            distinct[-1] = (part, distinct[-1][1] + 1)
        else:
            distinct.append((part, 1))
    shares = []
    for part, count in distinct:
        run = run_one(part.trace)
        rows: dict[tuple[str, str], list[Row]] = {}
        for row in run.rows:
            rows.setdefault((row.phase, row.op), []).append(row)
        ops = {(op.phase, op.name): op for op in run.ops}
        shares.append(_Share(count, part, ops, rows, {(row.phase, row.op): row for row in run.infeasible}))
    return shares


def _add_op(whole: Run, phase: Phase, op: Op, shares: Sequence[_Share], machine: Machine) -> None:
    key = (phase.name, op.name)
    cannot = next((share.infeasible[key] for share in shares if key in share.infeasible), None)
    if cannot is not None:
        whole.infeasible.append(replace(cannot, macs=op.dims.macs))
        return
    having = [share for share in shares if key in share.ops]
    slowest = max((share.ops[key] for share in having), key=lambda row: row.cycles)
    rows = _summed((row, share.chips) for share in having for row in share.rows[key] if row.action != "leakage")
    rows += leakage_rows(phase, op, slowest.cycles, machine, machine.system.chips)
    whole.rows.extend(rows)
    whole.ops.append(replace(
        slowest,
        macs=op.dims.macs,
        padded_macs=sum(share.chips * share.ops[key].padded_macs for share in having),
        energy_pj=math.fsum(row.energy_pj for row in rows),
        energy_bound_pj=math.fsum(share.chips * share.ops[key].energy_bound_pj for share in having),
    ))  # fmt: skip


def _summed(rows: Iterable[tuple[Row, int]]) -> list[Row]:
    """Rows of equal name as one, each so many times."""
    sums: dict[tuple[str, str, str], Row] = {}
    for row, times in rows:
        key, before = (row.block, row.operand, row.action), sums.get((row.block, row.operand, row.action))
        sums[key] = replace(
            row,
            count=times * row.count + (before.count if before else 0),
            bits_useful=times * row.bits_useful + (before.bits_useful if before else 0),
            bits_moved=times * row.bits_moved + (before.bits_moved if before else 0),
            energy_pj=times * row.energy_pj + (before.energy_pj if before else 0.0),
        )
    return list(sums.values())


def _add_gather(
    whole: Run, phase: Phase, op: Op, received: Sequence[tuple[int, int]], machine: Machine, link: ChipLink
) -> None:
    bits = sum(each * chips for each, chips in received)
    transfer_fs = link.transfer_fs(max(each for each, _ in received))
    cycles = -(-(link.latency_fs + transfer_fs) // machine.period_fs)
    cost = link.actions["receive"].energy_pj
    gather = replace(op, name=f"{op.name}.gather")
    moved = Row(
        phase.name, gather.name, link.name, "link", "link", "ofmap", "receive", bits, bits, bits, bits * cost.value,
        cost.assumed,
    )  # fmt: skip
    rows = [moved, *leakage_rows(phase, gather, cycles, machine, machine.system.chips)]
    busy = transfer_fs / machine.period_fs
    use = ResourceCycles(link.name, busy, 0.0, max(0.0, cycles - busy))
    energy = math.fsum(row.energy_pj for row in rows)
    whole.rows.extend(rows)
    whole.ops.append(OpRow(
        phase.name, gather.name, "transfer", 0, cycles, 0, energy, link.name, 0, "", 0, "", "replayed", (use,),
        ((link.name, cycles),), 0, (),
    ))  # fmt: skip
