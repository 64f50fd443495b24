"""Every word an op moves: per block, operand and action, from the exact counts of its mapping.

An operand goes between DRAM and the array through the memories of its chain in which the mapping
stores it; those without a storage node are passed by. Between two such levels

    upper --read, write--> lower           ifmap, weight: whenever the lower level takes a new tile
    lower --read, write--> upper           psum: a tile leaves before its last visit ...
    upper --read, write--> lower           ... and comes back (`psum_groups` says how many psums)
    lower --read, write--> upper           ofmap: a tile leaves at its last visit

where the array, the innermost level, has actions only in its PEs' registers (see
`accelsim.mapping.registers`). A psum that leaves the innermost memory before
its last visit has spilled; an output without any memory is exchanged between the array and DRAM in
the tiles of its DRAM node. SRAM words are counted per tile (a ragged tile ends in a partly filled
word), DRAM bursts per tile likewise. Tiles lie contiguous in DRAM.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from accelsim.hardware.dram import Dram
from accelsim.hardware.machine import Machine
from accelsim.hardware.pe_grid import PeGrid
from accelsim.hardware.sram import Sram, Width, packed_bits
from accelsim.mapping.array_actions import array_actions, fused_macs, kept_reads
from accelsim.mapping.copies import pe_values
from accelsim.mapping.count import Tiling, tiling
from accelsim.mapping.nest import Mapping, chunk_classes, chunk_count
from accelsim.mapping.problem import OperandName, Problem
from accelsim.mapping.psum_groups import psum_moves, single_moves
from accelsim.mapping.registers import register_uses
from accelsim.mapping.weight_store import weight_store


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
        *_input_flows(problem, mapping, machine, "ifmap", "ifmap", problem.ifmap_bits),
        *_input_flows(problem, mapping, machine, "weight", weight_name, problem.stored_weight_bits),
        *_output_flows(problem, mapping, machine),
        *_bias_flows(problem, mapping, machine),
        *(Flow("array", "", name, count, count, 0, 0) for name, count in array_actions(problem, machine.array)),
        *_decoder_flows(problem, mapping, machine, weight_name),
        *_pass_flows(problem, mapping, machine),
        *_register_flows(problem, mapping, machine, weight_name),
    ]
    return tuple(flow for flow in flows if flow.count)


def array_tiling(problem: Problem, mapping: Mapping, operand: OperandName) -> Tiling:
    """The operand's tiles in the array, registers included: one per distinct set of relevant loop indices."""
    return tiling(problem, operand, mapping.array_loops(operand))


def stored_chain(mapping: Mapping, machine: Machine, operand: OperandName) -> tuple[Sram, ...]:
    """The memories in which the mapping stores an operand, outermost first."""
    return tuple(sram for sram in machine.chain(operand) if mapping.store(operand, sram.name) is not None)


def _tilings(problem: Problem, mapping: Mapping, used: Sequence[Sram], operand: OperandName) -> list[Tiling]:
    """The tiles that cross each boundary below DRAM, outermost first: those of its lower level."""
    below = [tiling(problem, operand, mapping.loops_above(operand, sram.name)) for sram in used]
    return [*below, array_tiling(problem, mapping, operand)]


def _input_flows(
    problem: Problem, mapping: Mapping, machine: Machine, operand: OperandName, name: str, bits: Width
) -> list[Flow]:
    home = weight_store(problem, machine) if operand == "weight" else machine.dram
    used = stored_chain(mapping, machine, operand)
    tilings = _tilings(problem, mapping, used, operand)
    useful = [tiles.total(lambda values: packed_bits(values, bits)) for tiles in tilings]
    stored = problem.dram_bits[operand]
    moved = tilings[0].total(lambda values: home.moved_bits(packed_bits(values, stored)))
    in_dram = tilings[0].total(lambda values: packed_bits(values, stored))
    flows = [Flow(home.name, name, "read", moved, tilings[0].total(), in_dram, moved)]
    for at, sram in enumerate(used):
        for action, crossed in (("write", at), ("read", at + 1)):
            count, values, carried_bits = (
                tilings[crossed].total(words(sram, bits)),
                tilings[crossed].total(),
                useful[crossed],
            )
            if operand == "weight" and crossed == len(used):
                count, values, carried_bits = (kept_reads(each, problem) for each in (count, values, carried_bits))
            carried = (values, carried_bits, count * sram.word_bits)
            flows.append(Flow(sram.name, name, action, count, *carried))
    return flows


def _decoder_flows(problem: Problem, mapping: Mapping, machine: Machine, name: str) -> list[Flow]:
    """Every value that the array takes out of a codebook, and the inputs added for pairs of blocks, once for all
    columns of a block."""
    decoder = machine.codebook_decoder
    if decoder is None or not problem.codebook_entries:
        return []
    values = kept_reads(array_tiling(problem, mapping, "weight").total(), problem)
    sums = -(-fused_macs(problem) // problem.block_rows)
    return [
        Flow(decoder.name, name, "decode", values, values, 0, 0),
        Flow(decoder.name, "ifmap", "preadd", sums, sums, 0, 0),
    ]


def words(sram: Sram, bits: Width) -> Callable[[int], int]:
    """Port words of a tile of so many values."""
    return lambda values: sram.accesses(values, bits)


def _output_flows(problem: Problem, mapping: Mapping, machine: Machine) -> list[Flow]:
    dram, used, psum, ofmap = (
        machine.dram,
        stored_chain(mapping, machine, "output"),
        problem.psum.bits,
        problem.ofmap_bits,
    )
    array = mapping.array_loops("output")
    nests = [mapping.loops_above("output", sram.name) for sram in used]
    if not used and mapping.store("output", "dram") is not None:
        nests = [mapping.loops_above("output", "dram")]
    moves = [psum_moves(problem, array, len(nest)) for nest in nests]
    tilings = [tiling(problem, "output", nest) for nest in nests]
    visits = tiling(problem, "output", array)
    if used or not nests:  # the array's own level
        moves, tilings = [*moves, single_moves(visits)], [*tilings, visits]
    flows = _psum_engine_flows(problem, machine, visits) if visits.again() else []
    for at, sram in reversed(list(enumerate(used))):
        per_word, own, below = words(sram, psum), moves[at], moves[at + 1]
        for action, comes, goes in (("write", below.leaves, own.returns), ("read", below.returns, own.leaves)):
            flows.append(sram_flow(sram, "psum", action, comes() + goes(), comes(per_word) + goes(per_word), psum))
        for action, tiles in (("write", tilings[at + 1]), ("read", tilings[at])):
            flows.append(sram_flow(sram, "ofmap", action, tiles.once(), tiles.once(words(sram, ofmap)), ofmap))
    for action, moved in (("write", moves[0].leaves), ("read", moves[0].returns)):
        bits = moved(lambda values: dram.moved_bits(values * psum))
        flows.append(dram_flow(dram, "psum", action, moved(), psum, bits))
    stored = problem.dram_bits["output"]
    useful = tilings[0].once(lambda values: packed_bits(values, stored))
    finished = tilings[0].once(lambda values: dram.moved_bits(packed_bits(values, stored)))
    return [*flows, Flow(dram.name, "ofmap", "write", finished, tilings[0].once(), useful, finished)]


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
    """In a PE grid the sums that several PEs have of an output meet when it leaves them, one pass less than PEs."""
    if not isinstance(machine.array, PeGrid):
        return []
    above = mapping.array_loops("output")
    passes = pe_values(problem, "output", mapping.loops, len(above)) - tiling(problem, "output", above).total()
    bits = passes * machine.array.accumulator_bits
    return [Flow(machine.array.name, "psum", "pass", passes, passes, bits, bits)]


def _register_flows(problem: Problem, mapping: Mapping, machine: Machine, weight_name: str) -> list[Flow]:
    names = {"ifmap": "ifmap", "weight": weight_name, "output": "psum"}
    flows = []
    for use in register_uses(problem, mapping, machine):
        count = use.values * use.file.words_per_value(use.bits)
        moved = (use.values, use.values * use.bits, count * use.file.word_bits)
        flows.append(Flow(use.file.name, names[use.operand], use.action, count, *moved))
    return flows


def _bias_flows(problem: Problem, mapping: Mapping, machine: Machine) -> list[Flow]:
    """A bias comes in once by way of the weight's memories; from the innermost it starts each output tile of the array.

    Without a memory for the weight it waits in the array's own registers.
    """
    if not problem.bias_values:
        return []
    home, values, bits = weight_store(problem, machine), problem.bias_values, problem.bias_bits
    flows = [Flow(home.name, "bias", "read", moved := home.moved_bits(values * bits), values, values * bits, moved)]
    for sram in stored_chain(mapping, machine, "weight"):
        accesses = sram.accesses(values, bits)
        flows += [sram_flow(sram, "bias", action, values, accesses, bits) for action in ("write", "read")]
    if len(flows) > 1:
        flows[-1] = _bias_starts(problem, mapping, machine.memory(flows[-1].block))
    return flows


def _bias_starts(problem: Problem, mapping: Mapping, sram: Sram) -> Flow:
    """Reads of the memory next to the array: the columns' biases, for each output tile of the array."""
    bits, loops = problem.bias_bits, mapping.array_loops("output")
    starts = math.prod(chunk_count(problem.extent(dim), dim, loops) for dim in (problem.row, *problem.shared))
    per_dim = (chunk_classes(problem.extent(dim), dim, loops) for dim in (*problem.batch, problem.column))
    reads = starts * sum(
        math.prod(chunk.count for chunk in tile) * sram.accesses(math.prod(chunk.extent for chunk in tile), bits)
        for tile in itertools.product(*per_dim)
    )
    read_values = starts * math.prod(problem.extent(dim) for dim in (*problem.batch, problem.column))
    return sram_flow(sram, "bias", "read", read_values, reads, bits)
