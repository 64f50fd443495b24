"""DOSA's mappings of Gemmini, as loop nests: `L3[WIO] Q4 C8 - L2[WI] N1 K4X - L1[O] K4 C2 Q14 C4X - L0[W] P8`.

Levels from the outside in, loops of a level from the outside in, each a dim and its trips; X says that
the trips are spatial. L3 is DRAM, L2 the scratchpad (weights and inputs), L1 the accumulators, L0 the
weight in each PE. A product has rows P, reduction C and columns K.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from accelsim.hardware.machine import Machine
from accelsim.mapping.nest import Loop, Mapping, Node, Spatial, Store, without_single_trips
from accelsim.mapping.placement import buffer_of
from accelsim.mapping.problem import OPERANDS, OperandName, Problem, conv_problem
from accelsim.schemes import PsumScheme
from accelsim.validate.explicit import double_buffered
from accelsim.workload import ConvDims

INPUT_BITS, OUTPUT_BITS, PSUM_BITS = 8, 8, 32
LEVEL = re.compile(r"L(\d)\[[WIO]+\]((?: [A-Z]\d+X?)*)")
STORED: dict[str, tuple[OperandName, ...]] = {"3": (), "2": ("ifmap", "weight"), "1": ("output",), "0": ()}
"""Which buffers stand above the loops of a level."""


@dataclass(frozen=True)
class _Factor:
    """One loop of the text, or the buffers of a level."""

    dim: str
    trips: int
    spatial: bool


def problem_of(mapping: str, stride: int) -> Problem:
    """The layer whose extents are the products of all trips; unpadded, inputs just large enough."""
    extent = dict.fromkeys("nckpqrs", 1)
    for _, factors in _levels(mapping):
        for factor in factors:
            extent[factor.dim] *= factor.trips
    height, width = ((extent[out] - 1) * stride + extent[taps] for out, taps in ("pr", "qs"))
    dims = ConvDims(
        extent["n"], 1, extent["c"], extent["k"], height, width, extent["r"], extent["s"], (stride, stride)
    )  # fmt: skip
    return conv_problem(dims, INPUT_BITS, INPUT_BITS, OUTPUT_BITS, PsumScheme(PSUM_BITS), "nested")


def nest_of(mapping: str, problem: Problem, machine: Machine, keep_outputs: bool) -> Mapping:
    """The mapping as a loop nest of this problem; `keep_outputs` holds all outputs in the accumulators."""
    levels = _levels(mapping)
    spatial = {factor.dim: factor.trips for _, factors in levels for factor in factors if factor.spatial}
    step = {dim: spatial.get(dim, 1) for dim in problem.dims}
    nodes: list[Node] = [Store(operand, "array") for operand in OPERANDS]
    nodes += [Spatial(dim, width) for dim, width in spatial.items()]
    for name, factors in reversed(levels):
        for factor in reversed([factor for factor in factors if not factor.spatial]):
            nodes.insert(0, Loop(factor.dim, step[factor.dim]))
            step[factor.dim] *= factor.trips
        stored = [operand for operand in STORED[name] if not (keep_outputs and operand == "output")]
        nodes = [*(Store(operand, buffer_of(machine, operand).name) for operand in stored), *nodes]
    if keep_outputs:
        nodes.insert(0, Store("output", buffer_of(machine, "output").name))
    nodes = [*(Store(operand, "dram") for operand in OPERANDS), *nodes]
    return double_buffered(problem, Mapping(without_single_trips(nodes, problem)), machine)


def _levels(mapping: str) -> list[tuple[str, list[_Factor]]]:
    """(level, its factors), outermost first. ValueError for a text of another form."""
    levels = []
    for part in mapping.split(" - "):
        found = LEVEL.fullmatch(part)
        if found is None:
            raise ValueError(f"no level of a mapping: {part!r}")
        texts = found[2].split()
        levels.append((found[1], [_Factor(t[0].lower(), int(t[1:].rstrip("X")), t.endswith("X")) for t in texts]))
    if [name for name, _ in levels] != ["3", "2", "1", "0"]:
        raise ValueError(f"not the four levels of Gemmini: {mapping!r}")
    return levels
