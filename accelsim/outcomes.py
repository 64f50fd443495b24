"""What each op of a workload costs by itself, equal ops run once; given mappings replayed."""

from __future__ import annotations

import difflib

from accelsim.errors import UserError
from accelsim.execute import BadMapping, Outcome, execute
from accelsim.hardware.machine import Machine
from accelsim.mapping.lower import MacWork, Work
from accelsim.mapping.mapper import Mapped
from accelsim.mapping.mapping_file import MAX_FAULTS, MAX_NAME, MappingFile
from accelsim.mapping.placement import Infeasible
from accelsim.spec import ArchSpec, spec_hash
from accelsim.workload import Trace, trace_hash

ANEW = "write the file anew with `accelsim map`"


class Outcomes:
    """Runs ops as they are asked for. UserError for mappings that are not of this spec and workload."""

    def __init__(
        self, machine: Machine, arch: ArchSpec, trace: Trace | None = None, mappings: MappingFile | None = None
    ) -> None:
        self.machine, self.rules, self.mappings = machine, arch.mapping, mappings
        self.known: dict[tuple[Work, Mapped | None], Outcome | Infeasible] = {}
        if mappings is not None and trace is not None:
            _check_origin(mappings, arch, trace)
            _check_ops(mappings, trace)

    def of(self, work: Work, name: str) -> Outcome | Infeasible:
        """The outcome of the op `name`, as phase/op. UserError where its given mapping is missing or none of it."""
        given = None if self.mappings is None else self.mappings.mappings.get(name)
        if (work, given) not in self.known:
            self.known[work, given] = self._run(work, given, name)
        return self.known[work, given]

    def _run(self, work: Work, given: Mapped | None, name: str) -> Outcome | Infeasible:
        try:
            outcome = execute(work, self.machine, self.rules, given)
        except BadMapping as error:
            assert self.mappings is not None
            raise UserError([self.mappings.fault(self.mappings.places.nests, name, str(error), ANEW)]) from None
        left_out = given is None and isinstance(work, MacWork) and not isinstance(outcome, Infeasible)
        if self.mappings is not None and left_out:
            raise UserError([self.mappings.fault({}, name, "this op has no mapping", ANEW)])
        return outcome


def _check_origin(mappings: MappingFile, arch: ArchSpec, trace: Trace) -> None:
    for name, given, own, what in (
        ("arch_hash", mappings.arch_hash, spec_hash(arch), "spec"),
        ("workload_hash", mappings.workload_hash, trace_hash(trace), "workload"),
    ):
        if given != own:
            found = f"{given[:12]}, but this {what} has {own[:12]}"
            fix = "use the spec and workload it was made for, or map anew"
            raise UserError([mappings.fault(mappings.places.keys, name, found, fix)])


def _check_ops(mappings: MappingFile, trace: Trace) -> None:
    """UserError for every mapping of an op that is not there, with the nearest name."""
    names = {f"{phase.name}/{op.name}" for phase in trace.phases for op in phase.ops if op.kind in ("matmul", "conv")}
    unknown = sorted(mappings.mappings.keys() - names)[:MAX_FAULTS]
    faults = []
    for name in unknown:
        near = difflib.get_close_matches(name[:MAX_NAME], names, n=1, cutoff=0.5)
        fix = f"did you mean {near[0]!r}? " if near else ""
        found = "the workload has no matmul or conv of this name"
        faults.append(mappings.fault(mappings.places.ops, name, found, f"{fix}leave it out, or write the file anew"))
    if faults:
        raise UserError(faults)
