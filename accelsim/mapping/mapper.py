"""The mapping of an op as the spec's rules ask for it: placed by the dataflow, or searched."""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.hardware.machine import Machine
from accelsim.mapping.command_nest import map_commands
from accelsim.mapping.dataflow import map_fixed
from accelsim.mapping.nest import MAX_CHUNKS, Mapping, TooManyChunks
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.problem import Problem
from accelsim.mapping.search.result import SearchResult
from accelsim.spec.models import MappingRules


@dataclass(frozen=True)
class Mapped:
    """A mapping, and what the search said of it (None for a placed one)."""

    mapping: Mapping
    search: SearchResult | None = None


def map_op(problem: Problem, machine: Machine, rules: MappingRules) -> Mapped | Infeasible:
    """Map one matmul or conv, or say why it cannot be."""
    try:
        return _map(problem, machine, rules)
    except TooManyChunks as error:
        lever = "split the op: fewer pixels or images"
        return Infeasible("mapping", error.chunks, MAX_CHUNKS, "tiles of a conv", lever)


def _map(problem: Problem, machine: Machine, rules: MappingRules) -> Mapped | Infeasible:
    if machine.host is not None:
        commands = map_commands(problem, machine, rules.tiles)
        return commands if isinstance(commands, Infeasible) else Mapped(commands)
    if rules.tiles == "placed" and machine.array.dataflow != "search":
        mapping = map_fixed(problem, machine, rules.spill)
        return mapping if isinstance(mapping, Infeasible) else Mapped(mapping)
    from accelsim.mapping.search.cached import cached_search  # the kernels load only where something is searched

    found = cached_search(problem, machine, rules.objective, rules.spill, rules.search_budget, rules.search_tolerance)
    return found if isinstance(found, Infeasible) else Mapped(found.mapping, found)
