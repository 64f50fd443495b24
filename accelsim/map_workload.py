"""Every matmul and conv of a workload mapped, without running it: what `accelsim map` writes to a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from accelsim.chips import check_one_chip
from accelsim.hardware.machine import build_machine
from accelsim.hardware.pe_grid import PeGrid
from accelsim.mapping.closed_form import ClosedForm, closed_form
from accelsim.mapping.lower import MacWork, check_psum_schemes, lower
from accelsim.mapping.mapper import Mapped, map_op
from accelsim.mapping.mapping_file import MappingFile
from accelsim.mapping.placement import Infeasible
from accelsim.spec import ArchSpec, spec_hash
from accelsim.workload import Trace, trace_hash


@dataclass(frozen=True)
class MappedOps:
    """Ops of equal work, as phase/op, with their mapping or why there is none.

    `cost` is the mapping's by the closed form, None where there is no such form (a PE grid).
    """

    ops: tuple[str, ...]
    found: Mapped | Infeasible
    cost: ClosedForm | None


def map_workload(
    arch: ArchSpec, trace: Trace, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[MappingFile, list[MappedOps]]:
    """The mappings by the spec's rules, for a file and op by op; equal work is mapped once.

    UserError when the spec cannot run the trace's psum scheme, or is of several chips.
    """
    machine = build_machine(arch)
    check_one_chip(machine)
    check_psum_schemes(trace, machine)
    tensors = trace.tensor_by_id()
    names: dict[MacWork, list[str]] = {}
    for phase in trace.phases:
        for op in phase.ops:
            work = lower(op, tensors, machine)
            if isinstance(work, MacWork):
                names.setdefault(work, []).append(f"{phase.name}/{op.name}")
    groups = []
    for number, (work, ops) in enumerate(names.items()):
        progress(number, len(names))
        found = map_op(work.problem, machine, arch.mapping)
        cost = None
        if isinstance(found, Mapped) and not isinstance(machine.array, PeGrid):
            cost = closed_form(work.problem, found.mapping, machine)
        groups.append(MappedOps(tuple(ops), found, cost))
    mappings = {name: group.found for group in groups if isinstance(group.found, Mapped) for name in group.ops}
    return MappingFile(spec_hash(arch), trace_hash(trace), mappings), groups
