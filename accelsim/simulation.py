"""The whole pipeline on one screen: an accelerator and a trace in, a report out.

    Arch + Trace -> Machine -> per distinct op: mapping -> access counts -> instructions -> timeline
                 -> energy, cycles, area -> Report

Ops run one after the other, each from DRAM to DRAM; equal ops are simulated once. Where the spec says
`prefetch: weights`, an op's first weights may come in during the op before (`accelsim.prefetch`). (The module is not
called `simulate` because importing it would then hide the function `accelsim.simulate`.)
"""

from __future__ import annotations

import math

from accelsim import __version__
from accelsim.charge import block_rows, energy_rows, op_row
from accelsim.errors import user_error
from accelsim.execute import BadMapping, Outcome, execute
from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping.lower import MacWork, Work, check_psum_schemes, has_stored_weight, lower
from accelsim.mapping.mapper import Mapped
from accelsim.mapping.mapping_file import MappingFile
from accelsim.mapping.placement import Infeasible
from accelsim.prefetch import Prefetcher, Step
from accelsim.report.invariants import check
from accelsim.report.report import InfeasibleRow, OpRow, PhaseRow, Report, Row, totals
from accelsim.spec import ArchSpec, spec_hash
from accelsim.workload import Op, Phase, Trace, trace_hash

FS_PER_S = 10**15
ANEW = "write the file anew with `accelsim map`"


def simulate(arch: ArchSpec, trace: Trace, mappings: MappingFile | None = None) -> Report:
    """Cost of a workload on an accelerator, its matmuls and convs mapped by the spec's rules or as given.

    `mappings` must be of this spec and workload and map every matmul and conv (UserError).
    Raises UserError when the spec cannot run the trace's psum scheme, BrokenInvariant when the
    simulator contradicts itself. An op that does not fit is a row of `Report.infeasible`.
    """
    machine = build_machine(arch)
    check_psum_schemes(trace, machine)
    tensors = trace.tensor_by_id()
    if mappings is not None:
        _check_origin(mappings, arch, trace)
    outcomes: dict[tuple[Work, Mapped | None], Outcome | Infeasible] = {}
    rows: list[Row] = []
    ops: list[OpRow] = []
    infeasible: list[InfeasibleRow] = []
    prefetcher = Prefetcher(machine) if arch.mapping.prefetch == "weights" else None
    for phase in trace.phases:
        steps = []
        for op in phase.ops:
            work = lower(op, tensors, machine)
            given = None if mappings is None else mappings.mappings.get((phase.name, op.name))
            if (work, given) not in outcomes:
                outcomes[work, given] = _execute(work, machine, arch, given, f"{phase.name}/{op.name}")
                left_out = mappings is not None and given is None and isinstance(work, MacWork)
                if left_out and not isinstance(outcomes[work, given], Infeasible):
                    raise user_error("mapping file", f"{phase.name}/{op.name}", "this op has no mapping", ANEW)
            steps.append(Step(work, outcomes[work, given], has_stored_weight(op, tensors)))
        found = [step.outcome for step in steps] if prefetcher is None else prefetcher.run(steps)
        for op, outcome in zip(phase.ops, found, strict=True):
            if isinstance(outcome, Infeasible):
                infeasible.append(_infeasible_row(phase, op, outcome))
                continue
            energy = energy_rows(phase, op, outcome, machine)
            rows += energy
            ops.append(op_row(phase, op, outcome, energy, machine))
    report = _report(arch, trace, machine, rows, ops, infeasible)
    check(report)
    return report


def _execute(work: Work, machine: Machine, arch: ArchSpec, given: Mapped | None, name: str) -> Outcome | Infeasible:
    try:
        return execute(work, machine, arch.mapping, given)
    except BadMapping as error:
        raise user_error("mapping file", name, str(error), ANEW) from None


def _check_origin(mappings: MappingFile, arch: ArchSpec, trace: Trace) -> None:
    for name, given, own in (
        ("arch_hash", mappings.arch_hash, spec_hash(arch)),
        ("workload_hash", mappings.workload_hash, trace_hash(trace)),
    ):
        if given != own:
            found = f"{given[:12]}, but this {'spec' if name == 'arch_hash' else 'workload'} has {own[:12]}"
            raise user_error("mapping file", name, found, "use the spec and workload it was made for, or map anew")


def _report(
    arch: ArchSpec, trace: Trace, machine: Machine, rows: list[Row], ops: list[OpRow], infeasible: list[InfeasibleRow]
) -> Report:
    blocks = block_rows(machine)
    period_s = machine.period_fs / FS_PER_S
    return Report(
        provenance=(
            ("accelsim_version", __version__),
            ("arch", arch.name),
            ("arch_hash", spec_hash(arch)),
            ("workload", trace.name),
            ("workload_hash", trace_hash(trace)),
        ),
        peak_macs_per_cycle=machine.peak_macs_per_cycle,
        peak_dram_bytes_per_cycle=float(machine.period_fs / machine.dram.fs_per_byte),
        totals=totals(rows, ops, blocks, infeasible, period_s),
        phases=tuple(_phase_row(phase, ops, period_s) for phase in trace.phases),
        ops=tuple(ops),
        rows=tuple(rows),
        blocks=blocks,
        infeasible=tuple(infeasible),
        unknown_ops=tuple((op.function, op.module, op.count) for op in trace.unknown_ops),
        trace_macs=trace.macs,
        oracle_macs=trace.oracle.macs,
        oracle_method=trace.oracle.method,
    )


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
