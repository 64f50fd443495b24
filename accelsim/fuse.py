"""A group of ops simulated as one and one by one: fused where that fits and pays, and what it saves."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from accelsim.charge import energy_pj, lower_bounds
from accelsim.engine.engine import ResourceUse
from accelsim.execute import Outcome, bound_by
from accelsim.hardware.machine import Machine
from accelsim.hardware.pe_grid import PeGrid
from accelsim.mapping.count import tiling
from accelsim.mapping.fused import Extra, FusedPlan, VectorStage, group_flows
from accelsim.mapping.fused_attention import attention_plans
from accelsim.mapping.fused_chain import chain_plan
from accelsim.mapping.fusion import Fusion
from accelsim.mapping.lower import MacWork, Work
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.traffic import Flow
from accelsim.mapping.vector import VectorProblem
from accelsim.program.duration import whole_work
from accelsim.program.fused import move_cycles, vector_cycles
from accelsim.program.steps import MAX_STEPS, TooManySteps
from accelsim.report.invariants import INPUT_BUFFERS, OUTPUT_BUFFER, BrokenInvariant
from accelsim.stalls import REASONS, Stalls
from accelsim.timing import Timing, time_fused

HOURS = 2**62


@dataclass(frozen=True)
class GroupCost:
    """What some ops cost together."""

    cycles: int
    energy_pj: float
    dram_bits: int


@dataclass(frozen=True)
class Verdict:
    """A group either way. `outcomes` are its members' when it is fused, else `why_not` says why not."""

    unfused: GroupCost
    fused: GroupCost | None = None
    outcomes: tuple[Outcome, ...] = ()
    lower_bounds: tuple[tuple[str, int], ...] = ()
    why_not: Infeasible | None = None


def judge(
    works: Sequence[Work],
    through: Sequence[int],
    alone: Sequence[Outcome],
    machine: Machine,
    fusion: Fusion,
) -> Verdict:
    """Whether to fuse ops that follow on each other, given how each runs alone.

    `through` says as which input each op but the first reads the one before. Groups of two matmuls are
    attention. Of the plans that fit and move no more DRAM bits than the ops one by one, the one of least
    closed-form energy runs.
    """
    unfused = _sum_cost(alone, machine)
    plan = _unsuited(works, machine) or _best_plan(works, through, alone[0], unfused, machine)
    if isinstance(plan, Infeasible):
        return Verdict(unfused, why_not=plan)
    try:
        whole, *members = time_fused(plan, machine)
    except TooManySteps as error:
        lever = "split the ops: fewer rows, heads or batches"
        return Verdict(unfused, why_not=Infeasible("engine", error.steps, MAX_STEPS, "tile steps", lever))
    except OverflowError:
        lever = "split the ops: fewer rows, heads or batches"
        return Verdict(unfused, why_not=Infeasible("engine", HOURS, HOURS - 1, "femtoseconds", lever))
    flows = group_flows(plan, machine)
    outcomes = _outcomes(plan, flows, whole, members, machine)
    fused = _sum_cost(outcomes, machine)
    if fusion == "auto" and (fused.energy_pj, fused.cycles) >= (unfused.energy_pj, unfused.cycles):
        lever = "none needed: the ops cost less one by one"
        reason = Infeasible("energy", round(fused.energy_pj), round(unfused.energy_pj), "pJ", lever)
        return Verdict(unfused, why_not=reason)
    bounds = lower_bounds([flow for member in flows for flow in member], machine)
    return Verdict(unfused, fused, outcomes, bounds)


def _unsuited(works: Sequence[Work], machine: Machine) -> Infeasible | None:
    """What keeps a machine from fusing at all: plans know one buffer for each operand and rows by columns of PEs."""
    others = [memory.name for memory in machine.memories if memory.name not in (*INPUT_BUFFERS, OUTPUT_BUFFER)]
    if others:
        lever = "simulate without mapping.fusion, or give each operand one buffer and leave out memories"
        unit = f"no groups on a machine with memories beside one buffer an operand ({', '.join(others)})"
        return Infeasible("mapping.fusion", 1, 0, unit, lever)
    if any(isinstance(work, MacWork) and work.problem.weight_home != "dram" for work in works):
        lever = "simulate without mapping.fusion, or place the weight in dram"
        return Infeasible("mapping.fusion", 1, 0, "no group with a weight in the stacked memory", lever)
    if any(isinstance(work, VectorProblem) and work.on_rotation_unit for work in works):
        lever = "simulate without mapping.fusion"
        return Infeasible("mapping.fusion", 1, 0, "no group with the rotation unit", lever)
    if isinstance(works[-1], MacWork) and isinstance(machine.array, PeGrid):
        lever = "simulate attention without mapping.fusion, or on an adder_tree or systolic array"
        return Infeasible("mapping.fusion", 1, 0, "no fused attention on a pe_grid", lever)
    return None


def _best_plan(
    works: Sequence[Work], through: Sequence[int], head: Outcome, unfused: GroupCost, machine: Machine
) -> FusedPlan | Infeasible:
    first, last = works[0], works[-1]
    if not isinstance(first, MacWork):
        raise ValueError("a group begins with a matmul or conv")
    # A further operand with fewer values than one head's scores is a row that all of them share.
    tiled_from = first.problem.extent(first.problem.row) * first.problem.extent(first.problem.column)
    vectors = tuple(
        _vector_stage(work, place, tiled_from)
        for work, place in zip(works[1:], through, strict=True)
        if isinstance(work, VectorProblem)
    )
    plans: tuple[FusedPlan, ...] | Infeasible
    if isinstance(last, MacWork):
        plans = attention_plans(first, vectors, last, machine)
    else:
        if head.nest is None:
            raise ValueError("the outcome of a matmul or conv holds its nest")
        chain = chain_plan(first, head.nest, vectors, machine)
        plans = chain if isinstance(chain, Infeasible) else (chain,)
    if isinstance(plans, Infeasible):
        return plans
    costs = [(closed_form(plan, machine), plan) for plan in plans]
    cheap = [(cost, plan) for cost, plan in costs if cost.dram_bits <= unfused.dram_bits]
    if not cheap:
        least = min(cost.dram_bits for cost, _ in costs)
        lever = (
            "raise buffers.weight.capacity_kib to keep K and V, or buffers.psum_ofmap and .ifmap for taller row tiles"
        )
        return Infeasible(machine.dram.name, least, unfused.dram_bits, "bits moved", lever)
    return min(cheap, key=lambda pair: (pair[0].energy_pj, pair[0].cycles))[1]


def _vector_stage(work: VectorProblem, place: int, tiled_from: int) -> VectorStage:
    need = work.work
    if need is None:
        raise ValueError(f"no unit computes {work.function}")
    others = [operand for number, operand in enumerate(work.inputs) if number != place]
    extras = tuple(Extra(name, bits, None if values >= tiled_from else values) for name, values, bits in others)
    return VectorStage(work, need, work.inputs[place][2], work.outputs[0][2], extras)


def closed_form(plan: FusedPlan, machine: Machine) -> GroupCost:
    """Cost of a plan without running it.

    Its time is that of its busiest resource; with one slot for the kept tile, the array, the units and
    the move take turns.
    """
    kept = plan.kept.classes
    array = sum(whole_work(stage.problem, stage.mapping, machine).cycles_needed for stage in plan.stages)
    units = sum(max(vector_cycles(vector, tile.values, machine).values()) * tile.tiles for vector in plan.vectors
                for tile in kept)  # fmt: skip
    move = sum(move_cycles(plan.second, tile.values, machine) * tile.tiles for tile in kept) if plan.second else 0
    flows = [flow for member in group_flows(plan, machine) for flow in member]
    moved = sum(flow.bits_moved for flow in flows if flow.block == machine.dram.name)
    dram = -(-machine.dram.transfer_fs(moved) // machine.period_fs)
    cycles = max(array, units, move, dram) if plan.kept_slots > 1 else max(array + units + move, dram)
    return GroupCost(cycles, energy_pj(flows, cycles, machine), moved)


def _outcomes(
    plan: FusedPlan, flows: Sequence[tuple[Flow, ...]], whole: Timing, members: Sequence[Timing], machine: Machine
) -> tuple[Outcome, ...]:
    """The members, each with its share of the group's time: by how long the array or units were its own."""
    counted = sum(flow.bits_useful for member in flows for flow in member if flow.block == machine.dram.name)
    if counted != whole.dram_bits:
        raise BrokenInvariant(machine.dram.name, f"instructions move {whole.dram_bits} bits, the counts say {counted}")
    expected = sum(stage.problem.macs for stage in plan.stages)
    if whole.macs != expected:
        raise BrokenInvariant(machine.array.name, f"{whole.macs} MACs executed of {expected}")
    busy = [member.makespan_fs for member in members]
    cycles = shares(-(-whole.makespan_fs // machine.period_fs), busy)
    uses = [
        [ResourceUse(use.name, *parts) for parts in zip(*(shares(amount, busy) for amount in
         (use.busy_fs, use.stalled_fs, use.idle_fs)), strict=True)]
        for use in whole.resources
    ]  # fmt: skip
    stages = {0: plan.first} | ({len(members) - 1: plan.second} if plan.second is not None else {})
    bound = bound_by(whole)
    outcomes = []
    for number, (timing, own) in enumerate(zip(members, flows, strict=True)):
        stage = stages.get(number)
        visits = tiling(stage.problem, "output", stage.mapping.array_loops("output")).most_visits if stage else 0
        timing = replace(
            timing,
            makespan_fs=cycles[number] * machine.period_fs,
            resources=tuple(use[number] for use in uses),
            compute_cycles=min(timing.compute_cycles, cycles[number]),  # the rest ran beside other members
            stalls=_waits(whole.stalls, timing, sum(busy), machine.period_fs),
            method=whole.method,
        )
        text = str(stage.mapping) if stage else ""
        outcomes.append(Outcome(own, timing, cycles[number], bound, visits, text))
    return tuple(outcomes)


def _waits(group: Stalls, member: Timing, busy_fs: int, period_fs: int) -> Stalls:
    """A member's reasons to wait, in proportion: its part of the array's waits, and all that its own ports cost it."""
    part = {reason: fs * member.makespan_fs // max(1, busy_fs) for reason, fs in group}
    part["buffer port"] = member.makespan_fs - member.compute_cycles * period_fs
    return tuple((reason, part[reason]) for reason in REASONS)


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in parts by weight, whole numbers that sum to it; all to the first where nothing weighs."""
    whole = sum(weights)
    if not whole:
        return [total, *(0 for _ in weights[1:])]
    ends = [total * end // whole for end in itertools.accumulate(weights)]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def _sum_cost(outcomes: Sequence[Outcome], machine: Machine) -> GroupCost:
    flows = [flow for outcome in outcomes for flow in outcome.flows]
    cycles = sum(outcome.cycles for outcome in outcomes)
    moved = sum(flow.bits_moved for flow in flows if flow.block == machine.dram.name)
    return GroupCost(cycles, energy_pj(flows, cycles, machine), moved)
