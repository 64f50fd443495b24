"""How long one op takes: its program run by the engine, long repetitions run once and multiplied.

The trips of a nest's outermost loop differ only in the last, ragged one. When a program is long, its
first trips and the last one are run, with q, q - 1 and q / 2 trips in all; once leaving out one trip
or half of them saves the same time per trip, the missing trips are added at that period. (Of a reduction
with grouped partial sums, trips are left out a group at a time.)
Counts (cycles, MACs, bits) are linear in the trips, so for them this is exact. A conv whose outermost
loop walks pixels or taps is run whole. A program too long even for that is given an estimate: the time
of its busiest resource, which leaves out what waits for what (psum round trips and DRAM latency most
of all) and is optimistic for it. `method` says which of the three it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from accelsim.engine.engine import ResourceUse, run
from accelsim.hardware.machine import Machine
from accelsim.mapping.fused import FusedPlan
from accelsim.mapping.halo import halo_dims
from accelsim.mapping.nest import Mapping
from accelsim.mapping.problem import Problem
from accelsim.mapping.traffic import Flow
from accelsim.mapping.vector import VectorProblem, VectorWork
from accelsim.program.duration import whole_work
from accelsim.program.fused import fused_program
from accelsim.program.mac import mac_program, step_loops
from accelsim.program.prefetch import NO_PREFETCH, Prefetch
from accelsim.program.program import Program
from accelsim.program.steps import MAX_STEPS, TooManySteps, trips_of
from accelsim.program.transfer import store_bits
from accelsim.program.vector import compute_units, vector_program, whole_units
from accelsim.report.invariants import BrokenInvariant
from accelsim.stalls import NO_STALLS, Stalls, extrapolated, stalls_fs

Method = Literal["replayed", "periodic", "estimate"]

FULL_STEPS = 60_000
"""Programs of up to so many steps are run whole."""
FIRST_TRIPS = 6
SAME_PERIOD = 1e-3


@dataclass(frozen=True)
class Timing:
    """Time of one op in femtoseconds, and what its instructions added up to.

    `compute_cycles` is what the compute unit needs by itself, `unit_cycles` what each unit and port
    was needed for; `stalls` says for each of `accelsim.stalls.REASONS` what the makespan is beyond
    `compute_cycles`, femtoseconds; `macs` and `lane_macs` are multiply-accumulates done and room in the lanes for.
    """

    makespan_fs: int
    resources: tuple[ResourceUse, ...]
    compute_cycles: int
    unit_cycles: tuple[tuple[str, int], ...]
    dram_bits: int
    stalls: Stalls
    macs: int = 0
    lane_macs: int = 0
    method: Method = "replayed"
    next_bits: int = 0
    preloaded_bits: int = 0
    reram_bits: int = 0


def time_mac(
    problem: Problem, mapping: Mapping, flows: Sequence[Flow], machine: Machine, prefetch: Prefetch = NO_PREFETCH
) -> Timing:
    """Timing of a matmul or conv; `flows` are its exact counts. An estimate leaves prefetching out."""
    try:
        return _time_mac(problem, mapping, machine, prefetch)
    except (TooManySteps, OverflowError):  # OverflowError: hours, more femtoseconds than the engine can count
        return estimate_mac(problem, mapping, flows, machine)


def _time_mac(problem: Problem, mapping: Mapping, machine: Machine, prefetch: Prefetch) -> Timing:
    loops = step_loops(mapping, machine)
    nest = trips_of(problem, loops)
    total, outer = math.prod(nest), nest[0] if nest else 1
    if loops and loops[0].dim in halo_dims(problem):
        outer = 1  # a conv's tiles differ with where they meet the padding: no trip repeats another
    each = max(1, total // outer)
    # Trips of a reduction differ in the psums they bring back: only whole groups of them repeat.
    alike = problem.psum.group_size if loops and loops[0].dim in problem.irrelevant("output") else 1
    kept = max(FIRST_TRIPS * alike, FULL_STEPS // (4 * each))
    while total > FULL_STEPS and kept + alike <= outer and kept * each <= MAX_STEPS:
        kept += (outer - kept) % alike
        fewer = alike * -(-kept // (2 * alike))
        last, before, half = (
            _time_trips(problem, mapping, machine, prefetch, trips) for trips in (kept, kept - alike, kept - fewer)
        )
        period = (last.makespan_fs - before.makespan_fs) / alike
        since_half = (last.makespan_fs - half.makespan_fs) / fewer
        if math.isclose(period, since_half, rel_tol=SAME_PERIOD):
            return _repeated(last, before, (outer - kept) // alike)
        kept *= 2
    return _time_trips(problem, mapping, machine, prefetch, None)


def time_vector(
    problem: VectorProblem, work: VectorWork, flows: Sequence[Flow], machine: Machine, prefetch: Prefetch = NO_PREFETCH
) -> Timing:
    """Timing of an op without MACs; `flows` are its exact counts. An estimate leaves prefetching out."""
    try:
        vector = vector_program(problem, work, machine)
        return _timing(vector.program, prefetch, machine, vector.compute_cycles, vector.port_cycles)
    except OverflowError:
        units = whole_units(problem, work, machine)
        compute = max(units[name] for name in compute_units(machine))
        return _estimate(tuple(units.items()), compute, max(units.values()), "units", flows, machine)


def time_fused(plan: FusedPlan, machine: Machine) -> tuple[Timing, ...]:
    """Timing of a fused group, and then of each member: how long it kept the array or the units busy.

    The group's `compute_cycles` are the array's, its `stalls` the array's waits; a member has no `stalls`.
    The members overlap, so theirs do not add up to the group's. Long programs go by the period of the
    outermost loop that the members share. Raises TooManySteps, and OverflowError for hours.
    """
    nests = [trips_of(stage.problem, step_loops(stage.mapping, machine)) for stage in plan.stages]
    total = sum(math.prod(nest) for nest in nests)
    outer = trips_of(plan.first.problem, plan.kept_loops)[0] if plan.second is not None and plan.kept_loops else 1
    each, kept = max(1, total // outer), FIRST_TRIPS
    kept = max(kept, FULL_STEPS // (4 * each))
    while total > FULL_STEPS and kept < outer and kept * each <= MAX_STEPS:
        last, before, half = (_time_fused(plan, machine, trips) for trips in (kept, kept - 1, kept // 2))
        period = last[0].makespan_fs - before[0].makespan_fs
        since_half = (last[0].makespan_fs - half[0].makespan_fs) / (kept - kept // 2)
        if math.isclose(period, since_half, rel_tol=SAME_PERIOD):
            return tuple(_repeated(a, b, outer - kept) for a, b in zip(last, before, strict=True))
        kept *= 2
    return _time_fused(plan, machine, None)


def _time_fused(plan: FusedPlan, machine: Machine, outer_trips: int | None) -> tuple[Timing, ...]:
    fused = fused_program(plan, machine, outer_trips)
    array = [
        (work.compute_cycles, (*work.port_cycles, (machine.array.name, work.compute_cycles)), work.macs, work.lane_macs)
        for work in fused.works
    ]
    units = [
        (max(cycles[machine.vector_unit.name], cycles[machine.lut_unit.name]), tuple(cycles.items()), 0, 0)
        for cycles in fused.unit_cycles
    ]
    members = [
        Timing(busy * machine.period_fs, (), compute, needed, 0, NO_STALLS, macs, lanes)
        for busy, (compute, needed, macs, lanes) in zip(fused.busy_cycles, (array[0], *units, *array[1:]), strict=True)
    ]
    together: dict[str, int] = {}
    for member in members:
        for name, cycles in member.unit_cycles:
            together[name] = together.get(name, 0) + cycles
    compute, macs, lanes = (
        sum(amounts) for amounts in zip(*((w.compute_cycles, w.macs, w.lane_macs) for w in fused.works), strict=True)
    )
    whole = _timing(fused.program, NO_PREFETCH, machine, compute, tuple(together.items()), macs, lanes)
    return (whole, *members)


def _time_trips(
    problem: Problem, mapping: Mapping, machine: Machine, prefetch: Prefetch, outer_trips: int | None
) -> Timing:
    mac = mac_program(problem, mapping, machine, outer_trips)
    work = mac.work
    units = (*work.port_cycles, (machine.array.name, work.compute_cycles))
    return _timing(mac.program, prefetch, machine, work.compute_cycles, units, work.macs, work.lane_macs)


def estimate_mac(problem: Problem, mapping: Mapping, flows: Sequence[Flow], machine: Machine) -> Timing:
    """Timing of a matmul or conv without running it."""
    work = whole_work(problem, mapping, machine)
    units = (*work.port_cycles, (machine.array.name, work.compute_cycles))
    timing = _estimate(units, work.compute_cycles, work.cycles_needed, "array", flows, machine)
    return replace(timing, macs=work.macs, lane_macs=work.lane_macs)


def _estimate(
    units: tuple[tuple[str, int], ...], compute: int, busy: int, unit: str, flows: Sequence[Flow], machine: Machine
) -> Timing:
    """The busiest resource's time, and the DRAM's latency at both ends."""
    ports = _outer_ports(flows, machine)
    in_dram = [flow for flow in flows if flow.block == machine.dram.name]
    dram_fs = sum(machine.dram.transfer_fs(flow.bits_moved) for flow in in_dram)
    reram_fs, reram_bits = _stacked(flows, machine)
    unit_fs = busy * machine.period_fs
    in_time = max(unit_fs, dram_fs, *reram_fs.values())
    slowest = max([in_time, *ports.values()])
    longest = slowest + 2 * machine.dram.latency_fs
    busy_fs = {machine.dram.name: dram_fs, **reram_fs, unit: unit_fs, **ports}
    resources = tuple(ResourceUse(name, fs, longest - fs, 0) for name, fs in busy_fs.items())
    port_fs = unit_fs - compute * machine.period_fs + slowest - in_time
    dram_wait_fs = in_time - unit_fs + 2 * machine.dram.latency_fs
    stalls = (("dram", dram_wait_fs), ("array busy", 0), ("buffer port", port_fs), ("dependency", 0))
    bits = sum(flow.bits_useful for flow in in_dram)
    return Timing(longest, resources, compute, units, bits, stalls, method="estimate", reram_bits=reram_bits)


def _stacked(flows: Sequence[Flow], machine: Machine) -> tuple[dict[str, int], int]:
    """Femtoseconds that a stacked memory is busy with the flows (empty without one), and their bits."""
    stack = machine.reram_stack
    moved = [flow for flow in flows if stack is not None and flow.block == stack.name]
    if stack is None or not moved:
        return {}, 0
    busy_fs = sum(stack.transfer_fs(flow.bits_moved) for flow in moved)
    return {stack.name: busy_fs}, sum(flow.bits_useful for flow in moved)


def _outer_ports(flows: Sequence[Flow], machine: Machine) -> dict[str, int]:
    """Femtoseconds that the ports of memories above others are busy with everything that passes them."""
    busy_fs = {}
    for memory in machine.memories:
        if any(machine.chain(operand)[-1] is not memory for operand in memory.holds):
            for action, cycles in (("read", memory.read_cycles), ("write", memory.write_cycles)):
                words = sum(flow.count for flow in flows if (flow.block, flow.action) == (memory.name, action))
                busy_fs[f"{memory.name} {action}"] = cycles(words) * machine.period_fs
    return busy_fs


def _timing(
    program: Program,
    prefetch: Prefetch,
    machine: Machine,
    compute_cycles: int,
    units: tuple[tuple[str, int], ...],
    macs: int = 0,
    lane_macs: int = 0,
) -> Timing:
    timeline = run(prefetch.applied(program, machine))
    if timeline.deadlock:
        raise BrokenInvariant("engine", f"deadlock: {'; '.join(timeline.deadlock)}")
    return Timing(
        timeline.makespan_fs,
        timeline.resources,
        compute_cycles,
        units,
        store_bits(program.queues, machine.dram),
        stalls_fs(timeline, compute_cycles * machine.period_fs),
        macs,
        lane_macs,
        next_bits=prefetch.next_bits,
        preloaded_bits=prefetch.preloaded_bits(program),
        reram_bits=store_bits(program.queues, machine.reram_stack),
    )


def _repeated(last: Timing, before: Timing, times: int) -> Timing:
    """`last` with the difference of the two added `times` times, in every number."""

    def more(a: int, b: int) -> int:
        return a + times * (a - b)

    resources = tuple(
        ResourceUse(
            a.name,
            more(a.busy_fs, b.busy_fs),
            more(a.stalled_fs, b.stalled_fs),
            more(a.idle_fs, b.idle_fs),
        )
        for a, b in zip(last.resources, before.resources, strict=True)
    )
    units = tuple((name, more(a, b)) for (name, a), (_, b) in zip(last.unit_cycles, before.unit_cycles, strict=True))
    return Timing(
        more(last.makespan_fs, before.makespan_fs),
        resources,
        more(last.compute_cycles, before.compute_cycles),
        units,
        more(last.dram_bits, before.dram_bits),
        extrapolated(last.stalls, before.stalls, times),
        more(last.macs, before.macs),
        more(last.lane_macs, before.lane_macs),
        "periodic",
        last.next_bits,
        last.preloaded_bits,
        more(last.reram_bits, before.reram_bits),
    )
