"""Every matmul and conv of a workload mapped, without running it: what `accelsim map` writes to a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from accelsim.chips import check_one_chip
from accelsim.errors import user_error
from accelsim.hardware.machine import Machine, build_machine
from accelsim.hardware.pe_grid import PeGrid
from accelsim.mapping.closed_form import ClosedForm, closed_form
from accelsim.mapping.loop_text import mapping_of
from accelsim.mapping.lower import MacWork, check_psum_schemes, lower
from accelsim.mapping.mapper import Mapped, map_op
from accelsim.mapping.mapping_file import MappingFile, check_mapping
from accelsim.mapping.placement import Infeasible
from accelsim.spec import ArchSpec, spec_hash
from accelsim.workload import Trace, trace_hash


@dataclass(frozen=True)
class MappedOps:
    """Ops of equal work, as phase/op, with their mapping or why there is none.

    `cost` is the mapping's by the closed form, None where there is no such form: on a PE grid, and on machines that
    a host drives or whose DMA pays by the run.
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
    machine = _machine(arch, trace)
    kinds = _kinds_of_work(trace, machine)
    groups = []
    for number, (work, ops) in enumerate(kinds.items()):
        progress(number, len(kinds))
        groups.append(_mapped(work, ops, map_op(work.problem, machine, arch.mapping), machine))
    return _file(arch, trace, groups), groups


def map_as_given(arch: ArchSpec, trace: Trace, loops: str) -> tuple[MappingFile, list[MappedOps]]:
    """The trace's one kind of matmul or conv under a mapping given as a line of loops (see `mapping.loop_text`).

    UserError for a line that is none or says no mapping of this op on this spec, for tiles that do not fit there, and
    for a trace of other kinds beside.
    """
    machine = _machine(arch, trace)
    kinds = _kinds_of_work(trace, machine)
    if len(kinds) != 1:
        fix = "give a workload of one: matmul:MxKxN, or a topology file of one layer"
        raise user_error("command line", "--loops", f"{len(kinds)} kinds of matmul and conv to map", fix)
    ((work, ops),) = kinds.items()
    try:
        mapping = mapping_of(loops, work.problem, machine)
    except ValueError as error:
        fix = "write levels from DRAM inwards, as L2[WIO] K4 C2 - L1[WI] P8 - L0[O] C16X"
        raise user_error("command line", "--loops", str(error), fix) from None
    wrong = check_mapping(work.problem, mapping, machine)
    if isinstance(wrong, str):
        raise user_error("command line", "--loops", wrong, "see `accelsim map` without --loops for a nest that runs")
    if wrong is not None:
        raise user_error("command line", "--loops", f"{wrong.resource}: {wrong.found}", wrong.lever)
    groups = [_mapped(work, ops, Mapped(mapping), machine)]
    return _file(arch, trace, groups), groups


def _machine(arch: ArchSpec, trace: Trace) -> Machine:
    machine = build_machine(arch)
    check_one_chip(machine)
    check_psum_schemes(trace, machine)
    return machine


def _kinds_of_work(trace: Trace, machine: Machine) -> dict[MacWork, list[str]]:
    tensors = trace.tensor_by_id()
    names: dict[MacWork, list[str]] = {}
    for phase in trace.phases:
        for op in phase.ops:
            work = lower(op, tensors, machine)
            if isinstance(work, MacWork):
                names.setdefault(work, []).append(f"{phase.name}/{op.name}")
    return names


def _mapped(work: MacWork, ops: list[str], found: Mapped | Infeasible, machine: Machine) -> MappedOps:
    cost = None
    others = (machine.host, machine.kernels, machine.strided_dma)
    if isinstance(found, Mapped) and not isinstance(machine.array, PeGrid) and others == (None, None, None):
        cost = closed_form(work.problem, found.mapping, machine)
    return MappedOps(tuple(ops), found, cost)


def _file(arch: ArchSpec, trace: Trace, groups: list[MappedOps]) -> MappingFile:
    mappings = {name: group.found for group in groups if isinstance(group.found, Mapped) for name in group.ops}
    return MappingFile(spec_hash(arch), trace_hash(trace), mappings)
