"""The whole pipeline on one screen: an accelerator and a trace in, a report out.

    Arch + Trace -> Machine -> per distinct op: mapping -> access counts -> instructions -> timeline
                 -> energy, cycles, area -> Report

Ops run one after the other, each from DRAM to DRAM; equal ops are simulated once. Under `mapping.fusion`
some run as one (`accelsim.fuse`); where the spec says `prefetch: weights`, an op's first weights may come
in during the op before (`accelsim.prefetch`). (The module is not called `simulate` because importing it
would then hide the function `accelsim.simulate`.)
"""

from __future__ import annotations

import math
from dataclasses import replace

from accelsim import __version__
from accelsim.charge import block_rows, energy_rows, op_row
from accelsim.chips import Run, check_one_chip, run_on_chips
from accelsim.execute import Outcome
from accelsim.fuse import Verdict, judge
from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping.fusion import Candidate, candidates
from accelsim.mapping.lower import MacWork, Work, check_psum_schemes, has_stored_weight, lower
from accelsim.mapping.mapping_file import MappingFile
from accelsim.mapping.nest import Mapping
from accelsim.mapping.placement import Infeasible
from accelsim.outcomes import Outcomes
from accelsim.prefetch import Prefetcher, Step
from accelsim.report.invariants import check
from accelsim.report.report import GroupRow, InfeasibleRow, OpRow, PhaseRow, Report, TierRow, totals
from accelsim.residency import overfull, stack_use, weights_of
from accelsim.spec import ArchSpec, spec_hash
from accelsim.spec.models import MappingRules
from accelsim.workload import Op, Phase, Trace, trace_hash

FS_PER_S = 10**15


def simulate(arch: ArchSpec, trace: Trace, mappings: MappingFile | None = None) -> Report:
    """Cost of a workload on an accelerator, its matmuls and convs mapped by the spec's rules or as given.

    `mappings` must be of this spec and workload and map every matmul and conv (UserError); they are of one
    chip. Raises UserError when the spec cannot run the trace's psum scheme, or cannot split an op over its
    chips, BrokenInvariant when the simulator contradicts itself. An op that does not fit is a row of
    `Report.infeasible`.
    """
    machine = build_machine(arch)
    check_psum_schemes(trace, machine)
    if mappings is not None:
        check_one_chip(machine)
    runner = _Runner(machine, arch, Outcomes(machine, arch, trace, mappings))
    run = run_on_chips(machine, trace, runner.run)
    report = _report(arch, trace, machine, run)
    check(report)
    return report


class _Runner:
    """Runs traces on one chip; equal ops are run once for all of them."""

    def __init__(self, machine: Machine, arch: ArchSpec, outcomes: Outcomes) -> None:
        self.machine, self.rules, self.outcomes = machine, arch.mapping, outcomes
        self.verdicts: dict[tuple[Work | Mapping | int | None, ...], Verdict] = {}
        self.prefetcher = Prefetcher(machine) if arch.mapping.prefetch == "weights" else None

    def run(self, trace: Trace) -> Run:
        """Every op of the trace, in order."""
        whole = Run([], [], [], [])
        full = overfull(trace, self.machine)
        tensors = trace.tensor_by_id()
        for phase in trace.phases:
            works = {op.id: lower(op, tensors, self.machine) for op in phase.ops}
            alone = {op.id: self._alone(works[op.id], f"{phase.name}/{op.name}", full) for op in phase.ops}
            fused = self._fuse(trace, phase, works, alone, whole.groups)
            found = [fused.get(op.id) or alone[op.id] for op in phase.ops]
            if self.prefetcher is not None:
                steps = zip(phase.ops, found, strict=True)
                found = self.prefetcher.run(
                    [Step(works[op.id], outcome, has_stored_weight(op, tensors)) for op, outcome in steps]
                )
            for op, outcome in zip(phase.ops, found, strict=True):
                if isinstance(outcome, Infeasible):
                    whole.infeasible.append(_infeasible_row(phase, op, outcome))
                    continue
                energy = energy_rows(phase, op, outcome, self.machine)
                whole.rows.extend(energy)
                whole.ops.append(op_row(phase, op, outcome, energy, self.machine))
        return whole

    def _alone(self, work: Work, name: str, full: Infeasible | None) -> Outcome | Infeasible:
        """An op by itself; none whose weight is in a stack that is too full."""
        if full is not None and isinstance(work, MacWork) and work.problem.weight_home == "reram":
            return full
        return self.outcomes.of(work, name)

    def _fuse(
        self, trace: Trace, phase: Phase, works: dict[int, Work], alone: dict[int, Outcome | Infeasible],
        groups: list[GroupRow],
    ) -> dict[int, Outcome]:  # fmt: skip
        """Outcomes of the ops that run fused; every candidate is added to `groups`."""
        fused: dict[int, Outcome] = {}
        for candidate in candidates(trace, phase, self.rules.fusion):
            verdict = _judge(candidate, works, alone, self.verdicts, self.machine, self.rules)
            if verdict is not None:
                groups.append(_group_row(phase, candidate, verdict))
                members = (replace(outcome, group=candidate.name) for outcome in verdict.outcomes)
                fused |= dict(zip((op.id for op in candidate.ops), members, strict=False))
        return fused


def _report(arch: ArchSpec, trace: Trace, machine: Machine, run: Run) -> Report:
    blocks = block_rows(machine)
    period_s = machine.period_fs / FS_PER_S
    chips = machine.system.chips
    weights = () if machine.reram_stack is None else weights_of(trace, machine)
    tiers = () if machine.reram_stack is None else machine.tier_areas_mm2.items()
    return Report(
        provenance=(
            ("accelsim_version", __version__),
            ("arch", arch.name),
            ("arch_hash", spec_hash(arch)),
            ("workload", trace.name),
            ("workload_hash", trace_hash(trace)),
        ),
        peak_macs_per_cycle=chips * machine.peak_macs_per_cycle,
        peak_dram_bytes_per_cycle=chips * float(machine.period_fs / machine.dram.fs_per_byte),
        totals=totals(run.rows, run.ops, blocks, run.infeasible, period_s),
        phases=tuple(_phase_row(phase, run.ops, period_s) for phase in trace.phases),
        ops=tuple(run.ops),
        rows=tuple(run.rows),
        blocks=blocks,
        infeasible=tuple(run.infeasible),
        unknown_ops=tuple((op.function, op.module, op.count) for op in trace.unknown_ops),
        trace_macs=trace.macs,
        oracle_macs=trace.oracle.macs,
        oracle_method=trace.oracle.method,
        groups=tuple(run.groups),
        chips=chips,
        weights=weights,
        stack=stack_use(weights, machine),
        tiers=tuple(TierRow(name, area) for name, area in tiers),
    )


def _judge(
    candidate: Candidate,
    works: dict[int, Work],
    alone: dict[int, Outcome | Infeasible],
    verdicts: dict[tuple[Work | Mapping | int | None, ...], Verdict],
    machine: Machine,
    rules: MappingRules,
) -> Verdict | None:
    """A candidate's verdict, remembered by its work; None where one of its ops cannot run at all."""
    members = [works[op.id] for op in candidate.ops]
    each = [outcome for op in candidate.ops if isinstance(outcome := alone[op.id], Outcome)]
    if len(each) < len(members):
        return None
    key = (*members, *candidate.through, *(outcome.nest for outcome in each))
    if key not in verdicts:
        verdicts[key] = judge(members, candidate.through, each, machine, rules.fusion)
    return verdicts[key]


def _phase_row(phase: Phase, ops: list[OpRow], period_s: float) -> PhaseRow:
    mine = [op for op in ops if op.phase == phase.name]
    cycles = sum(op.cycles for op in mine)
    energy = math.fsum(op.energy_pj for op in mine)
    return PhaseRow(
        phase.name, phase.kind, phase.tokens, phase.context, phase.batch, cycles, cycles * period_s, energy
    )  # fmt: skip


def _infeasible_row(phase: Phase, op: Op, why: Infeasible) -> InfeasibleRow:
    return InfeasibleRow(
        phase.name, op.name, op.dims.macs, why.resource, why.demand, why.bound, why.unit, why.lever
    )  # fmt: skip


def _group_row(phase: Phase, candidate: Candidate, verdict: Verdict) -> GroupRow:
    unfused, run, why = verdict.unfused, verdict.fused or verdict.unfused, verdict.why_not
    row = GroupRow(
        phase.name, candidate.name, candidate.kind, tuple(op.name for op in candidate.ops), why is None,
        run.cycles, run.energy_pj, run.dram_bits, unfused.cycles, unfused.energy_pj, unfused.dram_bits,
        verdict.lower_bounds,
    )  # fmt: skip
    if why is None:
        return row
    return replace(
        row, resource=why.resource, demand=why.demand, bound=why.bound, unit=why.unit, lever=why.lever
    )  # fmt: skip
