"""What a search reports: its best mapping checked against the closed form, or why nothing fits."""

from __future__ import annotations

import math

from accelsim.hardware.machine import Machine
from accelsim.mapping.closed_form import ClosedForm, closed_form
from accelsim.mapping.nest import Mapping
from accelsim.mapping.placement import Infeasible, Spill, tile_bits
from accelsim.mapping.problem import OPERANDS, Problem
from accelsim.mapping.search.nodes import best_mapping
from accelsim.mapping.search.space import MAX_TILES, Record
from accelsim.report.invariants import BrokenInvariant

MAPPINGS_PER_LOOK = 8
"""A bound, or the count of a nest, takes about as long as so many mappings."""


def checked_best(
    problem: Problem, machine: Machine, widths: dict[str, int], best: Record
) -> tuple[Mapping, ClosedForm]:
    """The best mapping and its cost. BrokenInvariant if the kernels and the closed form disagree."""
    mapping = best_mapping(problem, machine, widths, best)
    cost = closed_form(problem, mapping, machine)
    for name, theirs in (("energy_pj", cost.energy_pj), ("latency_fs", cost.latency_fs)):
        mine = float(best[name][0])
        if not math.isclose(mine, theirs, rel_tol=1e-9):
            raise BrokenInvariant("mapping.search", f"{name} {mine}, by the closed form {theirs}: {mapping}")
    return mapping, cost


def nothing_fits(
    problem: Problem, machine: Machine, spill: Spill, best: Record, limit: int, left_out: int = 0
) -> Infeasible:
    """The memory in which one value of an operand does not fit, or what the search ran out of, or neither.

    `left_out` kinds of input tiles were too many in some pair of tile sizes, which was passed over.
    """
    looks = int(best["looks"][0])
    if looks * MAPPINGS_PER_LOOK >= limit:
        return Infeasible(
            "mapping", looks, limit // MAPPINGS_PER_LOOK, "bounds of mappings", "raise mapping.search_budget"
        )
    if left_out:
        return Infeasible("mapping", left_out, MAX_TILES, "kinds of input tiles", "split the op: fewer pixels")
    for operand in OPERANDS[:2] if spill == "bypass" else OPERANDS:
        widest = max(machine.chain(operand), key=lambda memory: memory.capacity_bits)
        demand = tile_bits(problem, widest, operand, 1, problem.psum.group_size)
        if demand > widest.capacity_bits:
            lever = "raise its capacity_kib, or lower the psum scheme's group size"
            return Infeasible(widest.name, demand, widest.capacity_bits, "bits", lever)
    # Each fits by itself, so what the three need together depends on the nest: no one demand says it.
    lever = "raise the capacity of the memories, or let psums bypass theirs (mapping.spill)"
    return Infeasible("memories", 1, 0, "nest whose tiles fit together", lever)
