"""A matmul or conv under a host: its mapping as commands, and the traffic that those bring.

The loops outside the innermost memory step from command to command. A mapping is made of the tiles that the host's
software takes, or of better ones (`command_tiles`); batches of matmuls run one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from accelsim.hardware.machine import Machine
from accelsim.hardware.sram import OperandName
from accelsim.mapping.command_tiles import ORDER, best_commands, default_commands, matmul_commands
from accelsim.mapping.commands import DIMS, LOADED, Commands, CommandTime, Dim, Tile
from accelsim.mapping.dataflow import spatial_widths
from accelsim.mapping.fit import misfit
from accelsim.mapping.nest import REGISTERS, Loop, Mapping, Node, Spatial, Store, without_single_trips
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.problem import OPERANDS, Problem
from accelsim.mapping.traffic import Flow

REDUCTION: tuple[Dim, ...] = ("r", "s", "c")
MATMUL_DIMS: dict[str, Dim] = {"g": "n", "m": "p", "k": "c", "n": "k"}


def map_commands(problem: Problem, machine: Machine, tiles: Literal["placed", "searched"]) -> Mapping | Infeasible:
    """The nest of the tiles that the host's software takes, or (`searched`) of faster ones. Infeasible for convs that
    no command knows and for memories that no tile fits."""
    refused = no_command(problem, machine)
    if refused is not None:
        return refused
    whole = _extents(problem)
    if problem.conv is None:
        layer = matmul_commands(whole["p"], whole["k"], whole["c"], machine)
        heads: tuple[tuple[Dim, int], ...] = (("n", whole["n"]),) if whole["n"] > 1 else ()
        layer = replace(layer, extents=whole, loops=(*heads, *layer.loops))
    else:
        layer = default_commands(whole, problem.conv.stride[0], machine)
    if tiles == "searched":
        layer = best_commands(replace(layer, copies=_copies(problem), cold=("weight",)), machine)
    mapping = _nest(problem, layer.tile, machine)
    return misfit(problem, mapping, machine) or mapping


def no_command(problem: Problem, machine: Machine) -> Infeasible | None:
    """A command knows no groups, no dilation and one stride."""
    conv = problem.conv
    if machine.host is None or conv is None:
        return None
    if conv.groups > 1:
        lever = "run the groups as ops of their own"
        return Infeasible("host", conv.groups, 1, "groups of a conv in a command", lever)
    if max(conv.dilation) > 1:
        return Infeasible("host", max(conv.dilation), 1, "dilation of a conv in a command", "use a conv without it")
    if conv.stride[0] != conv.stride[1]:
        return Infeasible("host", 2, 1, "strides of a conv in a command", "use one stride for rows and columns")
    return None


def commands_of(
    problem: Problem, mapping: Mapping, machine: Machine, cold: tuple[OperandName, ...] = ("weight",)
) -> Commands:
    """The commands of a mapped op (of one of its `copies`: the matmuls of a batch), `cold` inputs not in the cache
    before. ValueError for a grouped conv and one whose loops are not its primitive ones."""
    names, whole = _names(problem), _extents(problem)
    tile, loops = dict(whole), []
    sizes = dict(problem.extents)
    for loop in _command_loops(mapping, machine):
        trips, sizes[loop.dim] = -(-sizes[loop.dim] // loop.step), loop.step
        if loop.dim == "b":
            continue
        if loop.dim not in names:
            raise ValueError(f"commands know no dim {loop.dim}")
        name = names[loop.dim]
        loops.append((name, trips))
        tile[name] = loop.step
    stride = 1 if problem.conv is None else problem.conv.stride[0]
    bits: dict[OperandName, int] = {
        "ifmap": problem.ifmap_bits, "weight": math.ceil(problem.stored_weight_bits), "output": problem.ofmap_bits,
    }  # fmt: skip
    conv, copies = problem.conv is not None, _copies(problem)
    return Commands(whole, tile, tuple(loops), stride, conv, bits=bits, copies=copies, cold=cold)


def command_flows(flows: Sequence[Flow], layer: Commands, time: CommandTime, machine: Machine) -> tuple[Flow, ...]:
    """The nest's flows with inputs as commands load them: whole with every command, out of the cache where it has them.

    Their DRAM flows bear the values that commands load and the bits that the cache lacks.
    """
    names = {"ifmap": "ifmap", "weight": next(f.operand for f in flows if f.operand in ("weight", "kv"))}
    changed = list(flows)
    for operand in LOADED:
        values = layer.copies * time.loaded_values[operand]
        bits = values * layer.bits[operand]
        missed = layer.copies * time.missed_bits[operand]
        memory = machine.chain(operand)[0]
        words = layer.copies * sum(
            count * memory.accesses(layer.values(operand, tile), layer.bits[operand]) for tile, count in layer.classes()
        )
        for at, flow in enumerate(changed):
            if flow.operand == names[operand] and (flow.block, flow.action) == (machine.dram.name, "read"):
                changed[at] = replace(flow, count=missed, values=values, bits_useful=missed, bits_moved=missed)
            elif flow.operand == names[operand] and (flow.block, flow.action) == (memory.name, "write"):
                changed[at] = replace(
                    flow, count=words, values=values, bits_useful=bits, bits_moved=words * memory.word_bits
                )
    return tuple(changed)


def _names(problem: Problem) -> dict[str, Dim]:
    """A command's dim for each of the op's."""
    return MATMUL_DIMS if problem.conv is None else {dim: dim for dim in DIMS}


def _copies(problem: Problem) -> int:
    return math.prod(problem.extent(dim) for dim in problem.batch)


def _command_loops(mapping: Mapping, machine: Machine) -> tuple[Loop, ...]:
    """The loops outside what the innermost memory holds."""
    outside = (machine.dram.name, REGISTERS, "array")
    stores = [node for node in mapping.nodes if isinstance(node, Store) and node.level not in outside]
    return max((mapping.loops_above(node.operand, node.level) for node in stores), key=len, default=mapping.loops)


def _extents(problem: Problem) -> dict[Dim, int]:
    """Of one matmul of a batch: its query heads are images of one row of pixels."""
    whole: dict[Dim, int] = dict.fromkeys(DIMS, 1)
    names = _names(problem)
    for dim, extent in problem.extents:
        if dim in names:
            whole[names[dim]] = extent
        elif dim not in problem.batch and extent > 1:
            raise ValueError(f"commands know no dim {dim}")
    return whole


def _nest(problem: Problem, tile: Tile, machine: Machine) -> Mapping:
    """Accumulators stand outside the reduction, the scratchpad within all commands' loops, the array's order inside."""
    of_dim = {dim: name for name, dim in _names(problem).items()}
    memories: dict[OperandName, str] = {operand: machine.chain(operand)[-1].name for operand in OPERANDS}
    steps = {dim: Loop(of_dim[dim], tile[dim]) for dim in ORDER if of_dim.get(dim) is not None}
    widths = spatial_widths(problem, machine.array)
    inside = [dim for dim in ("k", *REDUCTION, "n", "p", "q") if dim in steps]
    nodes: list[Node] = [Store(operand, machine.dram.name) for operand in OPERANDS]
    nodes += [Loop(dim, 1) for dim in problem.batch]
    nodes += [steps[dim] for dim in ORDER if dim in steps and dim not in REDUCTION]
    nodes.append(Store("output", memories["output"], double_buffered=True))
    nodes += [steps[dim] for dim in REDUCTION if dim in steps]
    nodes += [Store(operand, memories[operand], double_buffered=True) for operand in LOADED]
    nodes += [Loop(of_dim[dim], widths.get(of_dim[dim], 1)) for dim in inside]
    nodes += [Store(operand, "array") for operand in OPERANDS]
    nodes += [Spatial(dim, width) for dim, width in widths.items() if width > 1 and problem.extent(dim) > 1]
    return Mapping(without_single_trips(nodes, problem))
