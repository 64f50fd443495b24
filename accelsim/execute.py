"""One op on one machine: mapped, counted, turned into instructions, and timed."""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.engine.engine import ResourceUse, Timeline, run
from accelsim.hardware.machine import Machine
from accelsim.mapping.count import tiling
from accelsim.mapping.dataflow import map_fixed, spatial_widths
from accelsim.mapping.lower import MacWork, Work
from accelsim.mapping.placement import Infeasible, Spill
from accelsim.mapping.problem import Problem
from accelsim.mapping.traffic import Flow, mac_flows
from accelsim.mapping.vector import VectorProblem, vector_flows
from accelsim.program.mac import mac_program
from accelsim.program.steps import MAX_STEPS, TooManySteps
from accelsim.program.vector import vector_program
from accelsim.report.invariants import BrokenInvariant

LATENCY_BOUND_BELOW = 0.5


@dataclass(frozen=True)
class Outcome:
    """What one op costs: flows for energy, cycles of the core clock for time.

    `compute_cycles` is what the compute unit needs by itself; `bound_by` names the resource or port
    that was busiest, or `latency` when none was busy half of the time. `psum_visits` is T, how often
    an output leaves the accumulator; `mapping` the loop nest as text.
    """

    flows: tuple[Flow, ...]
    cycles: int
    compute_cycles: int
    bound_by: str
    resources: tuple[ResourceUse, ...]
    psum_visits: int
    mapping: str


def execute(work: Work, machine: Machine, spill: Spill) -> Outcome | Infeasible:
    """Simulate one op from DRAM to DRAM, or say why it cannot run."""
    if isinstance(work, VectorProblem):
        return _execute_vector(work, machine)
    return _execute_mac(work, machine, spill)


def _execute_mac(work: MacWork, machine: Machine, spill: Spill) -> Outcome | Infeasible:
    problem = work.problem
    too_wide = _too_wide(problem, machine)
    if too_wide is not None:
        return too_wide
    mapping = map_fixed(problem, machine, spill)
    if isinstance(mapping, Infeasible):
        return mapping
    visits = tiling(problem, "output", mapping.loops).most_visits
    order = _wrong_k_tile(problem, visits, machine)
    if order is not None:
        return order
    try:
        mac = mac_program(problem, mapping, machine)
    except TooManySteps as error:
        lever = "raise the buffers' capacity_kib, so that tiles are larger"
        return Infeasible("timeline", error.steps, MAX_STEPS, "tile steps", lever)
    compute, ports = int(mac.work.compute_cycles.sum()), dict(mac.work.port_cycles)
    ports[machine.array.name] = compute
    flows = mac_flows(problem, mapping, machine, work.weight_name)
    return _outcome(flows, run(mac.program), compute, ports, machine, visits, str(mapping))


def _execute_vector(work: VectorProblem, machine: Machine) -> Outcome | Infeasible:
    need = work.work
    if need is None:
        return Infeasible("vector_unit", 1, 0, f"unit for {work.kind} {work.function!r}", "add it to mapping/vector.py")
    vector = vector_program(work, need, machine)
    flows = vector_flows(work, need, machine)
    return _outcome(flows, run(vector.program), vector.compute_cycles, dict(vector.port_cycles), machine, 0, "")


def _outcome(
    flows: tuple[Flow, ...],
    timeline: Timeline,
    compute_cycles: int,
    unit_cycles: dict[str, int],
    machine: Machine,
    visits: int,
    mapping: str,
) -> Outcome:
    if timeline.deadlock:
        raise BrokenInvariant("engine", f"deadlock: {'; '.join(timeline.deadlock)}")
    cycles = -(-timeline.makespan_fs // machine.period_fs)
    busiest = max(timeline.resources, key=lambda use: use.busy_fs)
    if busiest.busy_fs < LATENCY_BOUND_BELOW * timeline.makespan_fs:
        bound = "latency"
    elif busiest.name == machine.dram.name:
        bound = machine.dram.name
    else:
        bound = max(unit_cycles, key=lambda name: unit_cycles[name])
    return Outcome(flows, cycles, compute_cycles, bound, timeline.resources, visits, mapping)


def _too_wide(problem: Problem, machine: Machine) -> Infeasible | None:
    widest, limit = max(problem.ifmap_bits, problem.weight_bits), machine.array.operand_bits
    if widest <= limit:
        return None
    return Infeasible("array", widest, limit, "operand bits", "quantise the operand or raise array.operand_bits")


def _wrong_k_tile(problem: Problem, visits: int, machine: Machine) -> Infeasible | None:
    """A scheme trained with a reduction tile runs only where psums leave the array every that many."""
    wanted = problem.psum.k_tile
    given = spatial_widths(problem, machine.array).get(problem.reduction[-1], 1)
    if wanted is None or visits == 1 or wanted == given:
        return None
    lever = "train the psum scheme with this k_tile, or change the array's reduction width"
    return Infeasible("array", wanted, given, "reduction elements per psum", lever)
