"""Mappings as one line of loops, Timeloop's short form: `L2[WI] Q4 C8 - L1[O] K4X C2 - L0[W] P8`.

Levels from the outside in, numbered downwards, with the operands (W, I, O) each holds; then its loops from the
outside in, a dim and its trips, X where they are spatial. Dims are a conv's R S P Q C K N; a matmul has rows P,
reduction C and columns K, and its batch is N.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from accelsim.hardware.machine import Machine
from accelsim.mapping.dataflow import spatial_widths
from accelsim.mapping.fit import misfit
from accelsim.mapping.nest import REGISTERS, Loop, Mapping, Node, Spatial, Store, without_single_trips
from accelsim.mapping.problem import OPERANDS, OperandName, Problem

LEVEL = re.compile(r"L(\d{1,3})\[([WIO]*)\]((?: [RSPQCKN]\d{1,9}X?)*)")
HELD: dict[str, OperandName] = {"I": "ifmap", "W": "weight", "O": "output"}
MATMUL_DIMS = {"P": "m", "C": "k", "K": "n", "N": "b"}
MAX_CHARACTERS = 10_000


@dataclass(frozen=True)
class Factor:
    """A loop of `trips` over `dim`, a capital letter."""

    dim: str
    trips: int
    spatial: bool


@dataclass(frozen=True)
class LevelText:
    """What a level holds, a text of W, I and O, and its loops."""

    name: str
    holds: str
    factors: tuple[Factor, ...]


def read_levels(text: str) -> tuple[LevelText, ...]:
    """The levels of such a line, outermost first. ValueError for a line of another form."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"over {MAX_CHARACTERS} characters")
    levels: list[LevelText] = []
    for part in text.strip().split(" - "):
        found = LEVEL.fullmatch(part.strip())
        factors = () if found is None else tuple(_factor(each) for each in found[3].split())
        if found is None or any(factor.trips < 1 for factor in factors):
            raise ValueError(_bad_word(part))
        if len(set(found[2])) < len(found[2]):
            raise ValueError(f"level L{found[1]} holds an operand twice")
        if levels and int(found[1]) >= int(levels[-1].name):
            raise ValueError(f"level L{found[1]} follows L{levels[-1].name}; numbers fall from the outside in")
        levels.append(LevelText(found[1], found[2], factors))
    return tuple(levels)


def mapping_of(text: str, problem: Problem, machine: Machine) -> Mapping:
    """The mapping that the line says, for this op on this machine.

    The outermost level is DRAM; behind it each operand names as many levels as memories and registers hold it here,
    and one more for the array where it wants to. A memory's tiles are double buffered where loops change them and two
    fit, weights first, then inputs, then outputs. ValueError says what does not agree.
    """
    levels = read_levels(text)
    dims = {letter: _dim(letter, problem) for letter in "RSPQCKN"}
    _check_extents(levels, dims, problem)
    widths = spatial_widths(problem, machine.array)
    names = {operand: iter(_memories(levels, operand, machine)) for operand in OPERANDS}
    left = dict(problem.extents)
    nodes: list[Node] = []
    for level in levels:
        held = [operand for operand in OPERANDS if any(HELD[letter] == operand for letter in level.holds)]
        nodes += [Store(operand, name) for operand in held for name in [next(names[operand], "")] if name]
        for factor in level.factors:
            dim = dims[factor.dim]
            if not factor.spatial and dim is not None and factor.trips > 1:
                left[dim] = -(-left[dim] // factor.trips)
                nodes.append(Loop(dim, left[dim]))
    nodes += [Store(operand, "array") for operand in OPERANDS]
    nodes += [Spatial(dim, width) for dim, width in widths.items() if width > 1 and problem.extent(dim) > 1]
    return _double_buffered(Mapping(without_single_trips(nodes, problem)), problem, machine)


def _bad_word(part: str) -> str:
    """What of a level cannot be read: the first word that is neither a level nor a loop."""
    first, *loops = part.split() or [""]
    bad = [word for word in loops if not re.fullmatch(r"[RSPQCKN]0*[1-9]\d{0,8}X?", word)]
    if not re.fullmatch(r"L\d{1,3}\[[WIO]*\]", first) or not bad:
        return f"{part[:60]!r} is no level"
    return f"{bad[0][:20]!r} is no loop, in {part[:60]!r}"


def _factor(text: str) -> Factor:
    return Factor(text[0], int(text[1:].rstrip("X")), text.endswith("X"))


def _dim(letter: str, problem: Problem) -> str | None:
    """The op's dim of a letter; None where it has no such dim. ValueError for a conv whose loops are not its own."""
    if problem.conv is None:
        return "g" if letter == "N" and problem.extent("g") > 1 else MATMUL_DIMS.get(letter)
    if not problem.nested:
        raise ValueError("this spec folds a conv's loops; arch.array.spatial_reduction=nested keeps them apart")
    return letter.lower()


def _check_extents(levels: Sequence[LevelText], dims: dict[str, str | None], problem: Problem) -> None:
    of_dim = {dim: letter for letter, dim in dims.items() if dim is not None}
    for dim, extent in problem.extents:
        if dim not in of_dim and extent > 1:
            raise ValueError(f"the op has {extent} {dim}, which no letter names")
    for letter, named in dims.items():
        trips = math.prod(factor.trips for level in levels for factor in level.factors if factor.dim == letter)
        extent = 1 if named is None else problem.extent(named)
        if trips != extent:
            raise ValueError(f"{letter} makes {trips} in all, the op has {extent}")


def _memories(levels: Sequence[LevelText], operand: OperandName, machine: Machine) -> list[str]:
    """The names of an operand's levels in the spec, DRAM first; the array's is left out."""
    letter = next(letter for letter, held in HELD.items() if held == operand)
    named = [level for level in levels if letter in level.holds]
    here: list[str] = [machine.dram.name, *(memory.name for memory in machine.chain(operand))]
    here += [] if machine.register_file(operand) is None else [REGISTERS]
    if len(named) not in (len(here), len(here) + 1) or named[0] is not levels[0]:
        where = ", ".join(f"L{level.name}" for level in named) or "no level"
        raise ValueError(f"{letter} is in {where}; this spec holds {operand} in {', '.join(here)}, then the array")
    return here


def _double_buffered(mapping: Mapping, problem: Problem, machine: Machine) -> Mapping:
    for store in _inner_stores(mapping, machine):
        changing = problem.relevant(store.operand)
        if not any(loop.dim in changing for loop in mapping.loops_above(store.operand, store.level)):
            continue
        nodes = tuple(replace(node, double_buffered=True) if node == store else node for node in mapping.nodes)
        if misfit(problem, Mapping(nodes), machine) is None:
            mapping = Mapping(nodes)
    return mapping


def _inner_stores(mapping: Mapping, machine: Machine) -> Iterator[Store]:
    order: tuple[OperandName, ...] = ("weight", "ifmap", "output")
    for operand in order:
        for node in mapping.nodes:
            if isinstance(node, Store) and node.operand == operand and node.level not in (machine.dram.name, "array"):
                yield node
