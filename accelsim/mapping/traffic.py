"""Every word an op moves: per block, operand and action, from the exact counts of its mapping.

    DRAM --fill--> buffer --read--> array          ifmap, weight
    array --write--> psum buffer --read--> array   psum: all visits of the accumulator but the last
    array --write--> psum buffer --read--> DRAM    ofmap: the last visit

A psum whose tile leaves its buffer before its last visit has spilled: the same words go on to DRAM
and come back, through the buffer (charged both ways) or, where the mapping gives the output no
buffer node, past it. SRAM words are counted per tile (a ragged tile ends in a partly filled word),
DRAM bursts per tile likewise. Tiles lie contiguous in DRAM.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from accelsim.hardware.dram import Dram
from accelsim.hardware.machine import Machine
from accelsim.hardware.pe_grid import PeGrid
from accelsim.hardware.sram import Sram
from accelsim.mapping.count import Tiling, tiling
from accelsim.mapping.nest import Mapping, chunk_classes, chunk_count
from accelsim.mapping.problem import OperandName, Problem


@dataclass(frozen=True)
class Flow:
    """`count` actions of a block on one operand; bits_moved includes padding of words and bursts."""

    block: str
    operand: str
    action: str
    count: int
    values: int
    bits_useful: int
    bits_moved: int


def sram_flow(sram: Sram, operand: str, action: str, values: int, accesses: int, bits: int) -> Flow:
    """`accesses` port words that carry `values` values of `bits` bits."""
    return Flow(sram.name, operand, action, accesses, values, values * bits, accesses * sram.word_bits)


def dram_flow(dram: Dram, operand: str, action: str, values: int, bits: int, bits_moved: int) -> Flow:
    """`values` values of `bits` bits in bursts of `bits_moved` bits altogether (counted in bits)."""
    return Flow(dram.name, operand, action, bits_moved, values, values * bits, bits_moved)


def mac_flows(problem: Problem, mapping: Mapping, machine: Machine, weight_name: str = "weight") -> tuple[Flow, ...]:
    """All flows of one matmul or conv; flows without words are left out."""
    flows = [
        *_input_flows(problem, mapping, machine.ifmap_buffer, machine.dram, "ifmap", "ifmap", problem.ifmap_bits),
        *_input_flows(
            problem, mapping, machine.weight_buffer, machine.dram, "weight", weight_name, problem.weight_bits
        ),
        *_output_flows(problem, mapping, machine),
        *_bias_flows(problem, mapping, machine),
        Flow("array", "", "mac", problem.macs, problem.macs, 0, 0),
        *_pass_flows(problem, mapping, machine),
    ]
    return tuple(flow for flow in flows if flow.count)


def array_tiling(problem: Problem, mapping: Mapping, operand: OperandName) -> Tiling:
    """The operand's tiles in the array: one per distinct set of relevant loop indices."""
    return tiling(problem, operand, mapping.loops_above(operand, "array"))


def _input_flows(
    problem: Problem, mapping: Mapping, sram: Sram, dram: Dram, operand: OperandName, name: str, bits: int
) -> list[Flow]:
    fills = tiling(problem, operand, mapping.loops_above(operand, sram.name))
    reads = array_tiling(problem, mapping, operand)

    def words(values: int) -> int:
        return sram.accesses(values, bits)

    moved = fills.total(lambda values: dram.moved_bits(values * bits))
    return [
        dram_flow(dram, name, "read", fills.total(), bits, moved),
        sram_flow(sram, name, "write", fills.total(), fills.total(words), bits),
        sram_flow(sram, name, "read", reads.total(), reads.total(words), bits),
    ]


def _output_flows(problem: Problem, mapping: Mapping, machine: Machine) -> list[Flow]:
    sram, dram, psum, ofmap = machine.psum_buffer, machine.dram, problem.psum.bits, problem.ofmap_bits
    visits = array_tiling(problem, mapping, "output")
    buffered = mapping.store("output", sram.name) is not None
    home = mapping.store("output", sram.name) or mapping.store("output", "dram")
    stays = tiling(problem, "output", mapping.loops_above("output", home.level)) if home else visits

    def psum_words(values: int) -> int:
        return sram.accesses(values, psum)

    def ofmap_words(values: int) -> int:
        return sram.accesses(values, ofmap)

    flows: list[Flow] = []
    if visits.again():
        flows += _psum_engine_flows(problem, machine, visits)
    if buffered:
        for action in ("write", "read"):  # array to buffer, then buffer to array
            flows.append(sram_flow(sram, "psum", action, visits.again(), visits.again(psum_words), psum))
        for action in ("read", "write"):  # a spilling tile leaves for DRAM and comes back
            flows.append(sram_flow(sram, "psum", action, stays.again(), stays.again(psum_words), psum))
        flows.append(sram_flow(sram, "ofmap", "write", visits.once(), visits.once(ofmap_words), ofmap))
        flows.append(sram_flow(sram, "ofmap", "read", stays.once(), stays.once(ofmap_words), ofmap))
    for action in ("write", "read"):
        moved = stays.again(lambda values: dram.moved_bits(values * psum))
        flows.append(dram_flow(dram, "psum", action, stays.again(), psum, moved))
    moved = stays.once(lambda values: dram.moved_bits(values * ofmap))
    flows.append(dram_flow(dram, "ofmap", "write", stays.once(), ofmap, moved))
    return _merged(flows)


def _psum_engine_flows(problem: Problem, machine: Machine, visits: Tiling) -> list[Flow]:
    """APSQ: every visit of an output requantises once; every re-read psum is shifted and added."""
    if not problem.psum.is_apsq or machine.psum_engine is None:
        return []
    bits, name = problem.psum.bits, machine.psum_engine.name
    # Outputs that never leave the accumulator (one visit) are not partial sums.
    steps = sum(tile.values * tile.tiles * tile.visits for tile in visits.classes if tile.visits > 1)
    reads = visits.again()
    return [
        Flow(name, "psum", "requantise", steps, steps, steps * bits, steps * bits),
        Flow(name, "psum", "dequantise", reads, reads, reads * bits, reads * bits),
    ]


def _pass_flows(problem: Problem, mapping: Mapping, machine: Machine) -> list[Flow]:
    """In a PE grid the products of an output in one piece are added on the way: one pass less than products."""
    if not isinstance(machine.array, PeGrid):
        return []
    outputs = math.prod(problem.extent(dim) for dim in problem.relevant("output"))
    sums = outputs * math.prod(chunk_count(problem.extent(dim), dim, mapping.loops) for dim in problem.reduction)
    passes, bits = problem.macs - sums, (problem.macs - sums) * machine.array.accumulator_bits
    return [Flow(machine.array.name, "psum", "pass", passes, passes, bits, bits)]


def _bias_flows(problem: Problem, mapping: Mapping, machine: Machine) -> list[Flow]:
    """A bias comes in once, and is read from the weight buffer to start each output tile of the array."""
    if not problem.bias_values:
        return []
    sram, dram, values, bits = machine.weight_buffer, machine.dram, problem.bias_values, problem.bias_bits
    words = sram.accesses(values, bits)
    starts = math.prod(chunk_count(problem.extent(dim), dim, mapping.loops) for dim in (problem.row, *problem.shared))
    per_dim = (chunk_classes(problem.extent(dim), dim, mapping.loops) for dim in (*problem.batch, problem.column))
    reads = starts * sum(
        math.prod(chunk.count for chunk in tile) * sram.accesses(math.prod(chunk.extent for chunk in tile), bits)
        for tile in itertools.product(*per_dim)
    )
    read_values = starts * math.prod(problem.extent(dim) for dim in (*problem.batch, problem.column))
    return [
        dram_flow(dram, "bias", "read", values, bits, dram.moved_bits(values * bits)),
        sram_flow(sram, "bias", "write", values, words, bits),
        sram_flow(sram, "bias", "read", read_values, reads, bits),
    ]


def _merged(flows: list[Flow]) -> list[Flow]:
    """One flow per (block, operand, action): spilled psums add to the same rows."""
    merged: dict[tuple[str, str, str], Flow] = {}
    for flow in flows:
        key = (flow.block, flow.operand, flow.action)
        old = merged.get(key)
        if old is not None:
            flow = Flow(
                *key,
                old.count + flow.count,
                old.values + flow.values,
                old.bits_useful + flow.bits_useful,
                old.bits_moved + flow.bits_moved,
            )
        merged[key] = flow
    return list(merged.values())
