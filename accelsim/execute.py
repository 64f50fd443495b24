"""One op on one machine: mapped, counted, turned into instructions, and timed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from accelsim.errors import did_you_mean
from accelsim.hardware.adder_tree import AdderTree
from accelsim.hardware.machine import Machine
from accelsim.mapping.bound import OpBound, op_bound
from accelsim.mapping.closed_form import closed_form
from accelsim.mapping.command_nest import no_command
from accelsim.mapping.count import tiling
from accelsim.mapping.lower import MacWork, Work
from accelsim.mapping.mapper import Mapped, map_op
from accelsim.mapping.mapping_file import check_mapping
from accelsim.mapping.nest import Mapping
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.problem import Problem
from accelsim.mapping.psum_order import psum_order_fault
from accelsim.mapping.search.result import SearchResult
from accelsim.mapping.traffic import Flow, mac_flows
from accelsim.mapping.vector import WORK, VectorProblem, vector_flows
from accelsim.offload import run_commands, time_mac_kernel, time_vector_kernel
from accelsim.program.prefetch import Prefetch
from accelsim.report.invariants import BrokenInvariant
from accelsim.spec.models import MappingRules
from accelsim.timing import Timing, time_mac, time_vector

LATENCY_BOUND_BELOW = 0.5
COMPUTE = ("array", "units")
"""Resources whose instructions last as long as the slowest of several units and ports; any other is one by itself."""


@dataclass(frozen=True)
class Outcome:
    """What one op costs: flows for energy, timing for cycles of the core clock.

    `psum_visits` is T, how often an output leaves the accumulator; `mapping` the loop nest as text,
    `nest` the nest itself (None without MACs). `prefetch_saved_cycles` is what loading this op's
    first weight tile early saved, what it cost the op before taken off. `group` names the fused group
    that the op ran in, if it did: `cycles` are then its share of the group's, and it has no `nest`.
    """

    flows: tuple[Flow, ...]
    timing: Timing
    cycles: int
    bound_by: str
    psum_visits: int
    mapping: str
    nest: Mapping | None = None
    prefetch_saved_cycles: int = 0
    search: SearchResult | None = None
    bound: OpBound | None = None
    group: str = ""


def execute(work: Work, machine: Machine, rules: MappingRules, given: Mapped | None = None) -> Outcome | Infeasible:
    """Simulate one op from DRAM to DRAM, or say why it cannot run.

    A matmul or conv is mapped by the rules, unless a mapping is `given`: BadMapping for one that is
    not a mapping of this op on this machine.
    """
    if isinstance(work, VectorProblem):
        return _execute_vector(work, machine)
    return _execute_mac(work, machine, rules, given)


class BadMapping(Exception):
    """A given mapping does not belong to the op or the machine; the text says why."""


def retime(work: Work, outcome: Outcome, machine: Machine, prefetch: Prefetch) -> Outcome:
    """The same op in the same mapping, with weights prefetched in it or before it."""
    if isinstance(work, VectorProblem):
        need = work.work
        if need is None:
            raise ValueError(f"{work.function} cannot run here")
        return _outcome(outcome.flows, time_vector(work, need, outcome.flows, machine, prefetch), machine, 0, None)
    if outcome.nest is None:
        raise ValueError("the outcome of a matmul or conv holds its nest")
    timing = time_mac(work.problem, outcome.nest, outcome.flows, machine, prefetch)
    again = _outcome(outcome.flows, timing, machine, outcome.psum_visits, outcome.nest)
    return replace(again, search=outcome.search, bound=outcome.bound)


def _execute_mac(work: MacWork, machine: Machine, rules: MappingRules, given: Mapped | None) -> Outcome | Infeasible:
    problem = work.problem
    refused = _too_wide(problem, machine) or no_command(problem, machine) or _codebook_too_large(problem, machine)
    if refused is not None:
        return refused
    mapped = map_op(problem, machine, rules) if given is None else _checked(problem, given, machine)
    if isinstance(mapped, Infeasible):
        return mapped
    mapping = mapped.mapping
    visits = tiling(problem, "output", mapping.array_loops("output")).most_visits
    order = psum_order_fault(problem, mapping, visits, machine)
    if order is not None:
        return order
    flows = mac_flows(problem, mapping, machine, work.weight_name)
    flows, timing = _mac_timing(problem, mapping, flows, machine)
    if timing.macs != problem.macs:
        raise BrokenInvariant(machine.array.name, f"{timing.macs} MACs executed of {problem.macs}")
    outcome = _outcome(flows, timing, machine, visits, mapping)
    # Behind a cache, or under a host, inputs may be there already: nothing then bounds what comes from the DRAM.
    bound = None if machine.host is not None else op_bound(problem, machine, rules.spill)
    return replace(outcome, search=mapped.search, bound=bound)


def _checked(problem: Problem, given: Mapped, machine: Machine) -> Mapped | Infeasible:
    wrong = check_mapping(problem, given.mapping, machine)
    if isinstance(wrong, str):
        raise BadMapping(wrong)
    if wrong is None and given.search is not None:
        cost = closed_form(problem, given.mapping, machine)
        said = zip((given.search.energy_pj, given.search.latency_fs), (cost.energy_pj, cost.latency_fs), strict=True)
        if not all(math.isclose(theirs, ours, rel_tol=1e-9) for theirs, ours in said):
            taken = f"{cost.energy_pj} pJ and {cost.latency_fs} fs"
            raise BadMapping(f"its search speaks of another nest: this one takes {taken}")
    return wrong or given


def _execute_vector(work: VectorProblem, machine: Machine) -> Outcome | Infeasible:
    need = work.work
    if need is None:
        known = did_you_mean(work.function, [function for kind, function in WORK if kind == work.kind])
        lever = f"{known}; or teach a unit the function (README, Extend)"
        return Infeasible("vector_unit", 1, 0, f"unit that computes {work.kind} {work.function}", lever)
    lanes, lookups = work.operations(need)
    for name, operations, limit in (
        (machine.vector_unit.name, lanes, machine.vector_unit.bits),
        (machine.lut_unit.name, lookups, machine.lut_unit.bits),
    ):
        if operations and work.widest_bits > limit:
            lever = f"quantise the tensor or raise {name}.bits"
            return Infeasible(name, work.widest_bits, limit, "operand bits", lever)
    too_long = _transform_too_long(work, machine)
    if too_long is not None:
        return too_long
    too_large = _lut_too_large(work, machine)
    if too_large is not None:
        return too_large
    flows = vector_flows(work, need, machine)
    timed = time_vector if machine.kernels is None else time_vector_kernel
    return _outcome(flows, timed(work, need, flows, machine), machine, 0, None)


def _mac_timing(
    problem: Problem, mapping: Mapping, flows: tuple[Flow, ...], machine: Machine
) -> tuple[tuple[Flow, ...], Timing]:
    """The timing, and the flows as they really are where a host's commands load more than the nest has to."""
    if machine.host is not None:
        return run_commands(problem, mapping, flows, machine)
    timed = time_mac if machine.kernels is None else time_mac_kernel
    return flows, timed(problem, mapping, flows, machine)


def _transform_too_long(work: VectorProblem, machine: Machine) -> Infeasible | None:
    """A rotation whose transform, or whose sums, the rotation unit cannot hold."""
    unit, scheme = machine.rotation_unit, work.rotation
    if unit is None or scheme is None or not work.on_rotation_unit:
        return None
    if scheme.points > unit.points:
        lever = f"use RotationScheme.two_stage(max_points={unit.points}), or raise {unit.name}.points"
        return Infeasible(unit.name, scheme.points, unit.points, "points of a transform", lever)
    if work.widest_bits > unit.adder_bits:
        lever = f"quantise the tensor or raise {unit.name}.adder_bits"
        return Infeasible(unit.name, work.widest_bits, unit.adder_bits, "operand bits", lever)
    return None


def _codebook_too_large(problem: Problem, machine: Machine) -> Infeasible | None:
    """A codebook that the decoder's multiplexers cannot choose from."""
    decoder = machine.codebook_decoder
    if decoder is None or not problem.codebook_entries:
        return None
    for needed, limit, what, key in (
        (problem.codebook_entries, decoder.entries, "entries of a codebook", "entries"),
        (problem.weight_bits, decoder.value_bits, "bits of an entry's values", "value_bits"),
    ):
        if needed > limit:
            lever = f"use a CodebookScheme of at most {limit} {key}, or raise {decoder.name}.{key}"
            return Infeasible(decoder.name, needed, limit, what, lever)
    return None


def _lut_too_large(work: VectorProblem, machine: Machine) -> Infeasible | None:
    """The first of the op's tables that the unit has no room for."""
    unit = machine.lut_unit
    for scheme in work.luts:
        bits = max(scheme.input_bits, scheme.slope.bits, scheme.intercept.bits)
        for needed, limit, what in ((scheme.entries, unit.entries, "entries"), (bits, unit.bits, "bits")):
            if needed > limit:
                lever = f"search {scheme.function} tables of at most {limit} {what}, or raise {unit.name}.{what}"
                return Infeasible(unit.name, needed, limit, f"{what} of a {scheme.function} table", lever)
    return None


def _outcome(flows: tuple[Flow, ...], timing: Timing, machine: Machine, visits: int, nest: Mapping | None) -> Outcome:
    for store, moved in ((machine.dram, timing.dram_bits), (machine.reram_stack, timing.reram_bits)):
        counted = 0 if store is None else sum(flow.bits_useful for flow in flows if flow.block == store.name)
        if store is not None and counted != moved:
            raise BrokenInvariant(store.name, f"instructions move {moved} bits, the counts say {counted}")
    bound = bound_by(timing)
    cycles = -(-timing.makespan_fs // machine.period_fs)
    return Outcome(flows, timing, cycles, bound, visits, "" if nest is None else str(nest), nest)


def bound_by(timing: Timing) -> str:
    """The unit or port that was busiest, the DRAM if it was; latency if nothing was for half the time."""
    busiest = max(timing.resources, key=lambda use: use.busy_fs)
    if busiest.busy_fs < LATENCY_BOUND_BELOW * timing.makespan_fs:
        return "latency"
    if busiest.name in COMPUTE:
        return max(timing.unit_cycles, key=lambda unit: unit[1])[0]
    return busiest.name


def _too_wide(problem: Problem, machine: Machine) -> Infeasible | None:
    widest, limit = max(problem.ifmap_bits, problem.weight_bits), machine.array.operand_bits
    if widest <= limit or (isinstance(machine.array, AdderTree) and machine.array.wide_passes):
        return None
    return Infeasible("array", widest, limit, "operand bits", "quantise the operand or raise array.operand_bits")
