"""What each op of a workload costs by itself, equal ops run once; given mappings replayed."""

from __future__ import annotations

from accelsim.errors import user_error
from accelsim.execute import BadMapping, Outcome, execute
from accelsim.hardware.machine import Machine
from accelsim.mapping.lower import MacWork, Work
from accelsim.mapping.mapper import Mapped
from accelsim.mapping.mapping_file import MappingFile
from accelsim.mapping.placement import Infeasible
from accelsim.spec import ArchSpec, spec_hash
from accelsim.workload import Trace, trace_hash

ANEW = "write the file anew with `accelsim map`"


class Outcomes:
    """Runs ops as they are asked for. UserError for mappings that are not of this spec and workload."""

    def __init__(self, machine: Machine, arch: ArchSpec, trace: Trace, mappings: MappingFile | None) -> None:
        self.machine, self.rules, self.mappings = machine, arch.mapping, mappings
        self.known: dict[tuple[Work, Mapped | None], Outcome | Infeasible] = {}
        if mappings is not None:
            _check_origin(mappings, arch, trace)

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
            raise user_error("mapping file", name, str(error), ANEW) from None
        left_out = self.mappings is not None and given is None and isinstance(work, MacWork)
        if left_out and not isinstance(outcome, Infeasible):
            raise user_error("mapping file", name, "this op has no mapping", ANEW)
        return outcome


def _check_origin(mappings: MappingFile, arch: ArchSpec, trace: Trace) -> None:
    for name, given, own, what in (
        ("arch_hash", mappings.arch_hash, spec_hash(arch), "spec"),
        ("workload_hash", mappings.workload_hash, trace_hash(trace), "workload"),
    ):
        if given != own:
            found = f"{given[:12]}, but this {what} has {own[:12]}"
            raise user_error("mapping file", name, found, "use the spec and workload it was made for, or map anew")
