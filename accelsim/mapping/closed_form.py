"""Energy and time of a mapped op in closed form: what the search minimises.

    energy  dynamic: every flow's count x its block's energy (DRAM: bits x energy per bit); leakage: power x time
    time    2 DRAM latencies + max(DRAM time, busiest unit or port + edge)

The units are the array (its pieces and, per instruction, its pipeline; a systolic array's folds), the
psum engine, and each port of each memory with all words that cross it. The edge is the time that
nothing can hide: the first input tiles on their way in and the last output tile on its way out; every
output tile where there is one slot for them, which the array has to wait for. The
engine replays the winner instruction by instruction; what waits for what inside an op is only there.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from accelsim.hardware.machine import Machine
from accelsim.hardware.pe_grid import PeGrid
from accelsim.hardware.sram import packed_bits
from accelsim.hardware.systolic import Systolic
from accelsim.mapping.array_actions import issued_share
from accelsim.mapping.count import tiling
from accelsim.mapping.dataflow import spatial_widths
from accelsim.mapping.nest import Loop, Mapping, Store, chunk_classes, chunk_count
from accelsim.mapping.problem import OPERANDS, OperandName, Problem
from accelsim.mapping.traffic import Flow, mac_flows

STATIONARY: dict[str, OperandName] = {
    "weight_stationary": "weight",
    "input_stationary": "ifmap",
    "output_stationary": "output",
}


@dataclass(frozen=True)
class ClosedForm:
    """Energy in pJ, leakage included, and time in femtoseconds."""

    energy_pj: float
    latency_fs: float


def closed_form(problem: Problem, mapping: Mapping, machine: Machine) -> ClosedForm:
    """Cost of one matmul or conv by the formulas above."""
    flows = mac_flows(problem, mapping, machine)
    dynamic_pj = math.fsum(_energy_pj(flow, machine) for flow in flows)
    stack_fs = _stack_fs(flows, machine)
    dram_bits = sum(flow.bits_moved for flow in flows if flow.block == machine.dram.name)
    fs_per_bit = float(machine.dram.fs_per_byte / 8)
    busy_fs = max(_array_cycles(problem, mapping, machine), _port_cycles(flows, machine)) * machine.period_fs
    edge_fs = _edge_bits(problem, mapping, machine, flows) * fs_per_bit
    latency_fs = 2 * machine.dram.latency_fs + max(busy_fs + edge_fs, dram_bits * fs_per_bit, stack_fs)
    leakage_pj_per_fs = math.fsum(block.leakage_mw.value for block in machine.blocks()) * 1e-6
    return ClosedForm(dynamic_pj + leakage_pj_per_fs * latency_fs, latency_fs)


def _stack_fs(flows: Sequence[Flow], machine: Machine) -> float:
    """Time that the stacked memory needs for its flows."""
    stack = machine.reram_stack
    if stack is None:
        return 0.0
    moved = sum(flow.bits_moved for flow in flows if flow.block == stack.name)
    return moved / (stack.word_bits * stack.dies) * stack.word_fs


def _energy_pj(flow: Flow, machine: Machine) -> float:
    if flow.block == machine.dram.name:
        return flow.count * machine.dram.pj_per_bit.value
    if machine.reram_stack is not None and flow.block == machine.reram_stack.name:
        return flow.count * machine.reram_stack.energy_pj_per_bit
    return flow.count * machine.block(flow.block).actions[flow.action].energy_pj.value


def _array_cycles(problem: Problem, mapping: Mapping, machine: Machine) -> float:
    array = machine.array
    if isinstance(array, PeGrid):
        raise ValueError("a PE grid's passes and registers have no closed form here")
    if isinstance(array, Systolic):
        return _systolic_cycles(problem, mapping.loops, array)
    depth = max(_memory_depths(mapping, machine), default=0)
    steps, pieces = (
        math.prod(chunk_count(extent, dim, loops) for dim, extent in problem.extents)
        for loops in (mapping.loops[:depth], mapping.loops)
    )
    return float(pieces * issued_share(problem, array)) + steps * array.pipeline_stages


def _memory_depths(mapping: Mapping, machine: Machine) -> list[int]:
    """Loops above each storage node that exchanges tiles with another: all but the array and the DRAM's copies."""
    memories = {memory.name for memory in machine.memories}
    depths, above = [], 0
    stored = dict.fromkeys(OPERANDS, 0)
    for node in mapping.nodes:
        if isinstance(node, Loop):
            above += 1
        elif isinstance(node, Store):
            stored[node.operand] += 1
            bypassed = node.level == machine.dram.name and above > 0
            if node.level in memories or bypassed:
                depths.append(above)
    return depths


def _systolic_cycles(problem: Problem, loops: Sequence[Loop], array: Systolic) -> float:
    """Each stay of the stationary operand's tile is a fold: its skew and load; the stream runs once a piece."""
    row, column = spatial_widths(problem, array)
    operand = STATIONARY[array.dataflow]
    stays = tiling(problem, operand, loops).classes
    stream = math.prod(
        chunk_count(extent, dim, loops) if dim in (row, column) else extent for dim, extent in problem.extents
    )
    if not array.trimmed_folds:
        skew = array.fold_cycles(1, array.rows, array.cols) - 1
        return stream + skew * sum(stay.tiles * stay.visits for stay in stays)
    return stream + _trimmed_skew(problem, loops, array)


def _trimmed_skew(problem: Problem, loops: Sequence[Loop], array: Systolic) -> int:
    row, column = spatial_widths(problem, array)
    relevant = problem.relevant(STATIONARY[array.dataflow])
    total = 0
    rest = [dim for dim in relevant if dim not in (row, column)]

    def visit(dims: Sequence[str], cut: int, tiles: int, sides: dict[str, int]) -> int:
        if dims:
            return sum(
                visit(dims[1:], max(cut, chunk.cut), tiles * chunk.count, {**sides, dims[0]: chunk.extent})
                for chunk in chunk_classes(problem.extent(dims[0]), dims[0], loops)
            )
        others = [dim for dim in problem.dims if dim not in relevant]
        visits = math.prod(chunk_count(problem.extent(dim), dim, loops[: cut + 1]) for dim in others)
        return tiles * visits * (array.fold_cycles(1, sides[row], sides[column]) - 1)

    total = visit([row, column, *rest], -1, 1, {})
    return total


def _port_cycles(flows: Sequence[Flow], machine: Machine) -> float:
    """The busiest memory port or psum engine, each with everything that crosses it but biases."""
    ports: defaultdict[tuple[str, str], int] = defaultdict(int)
    for flow in flows:
        if flow.operand != "bias":
            ports[flow.block, flow.action] += flow.count
    busiest = 0.0
    for memory in machine.memories:
        busiest = max(
            busiest,
            ports[memory.name, "read"] * memory.word_bits / memory.read_bits_per_cycle,
            ports[memory.name, "write"] * memory.word_bits / memory.write_bits_per_cycle,
        )
    engine = machine.psum_engine
    if engine is not None:
        busiest = max(busiest, ports[engine.name, "requantise"] / engine.psums_per_cycle)
    return busiest


def _edge_bits(problem: Problem, mapping: Mapping, machine: Machine, flows: Sequence[Flow]) -> int:
    """DRAM bits of the largest tile of each operand as it crosses the pins; of all outputs that have one slot."""
    total = 0
    bits = problem.dram_bits
    for operand in OPERANDS:
        used = [store for memory in machine.chain(operand) if (store := mapping.store(operand, memory.name))]
        loops = mapping.loops_above(operand, used[0].level) if used else mapping.loops
        edge = machine.dram.moved_bits(packed_bits(tiling(problem, operand, loops).largest, bits[operand]))
        if operand == "output" and used and not used[0].double_buffered:
            outputs = (flow for flow in flows if flow.block == machine.dram.name and flow.operand in ("psum", "ofmap"))
            edge = max(edge, sum(flow.bits_moved for flow in outputs))
        total += edge
    return total
