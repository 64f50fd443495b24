"""What a walked nest moves, written down flow by flow, and what its tiles ask of the buffers."""

from __future__ import annotations

from collections.abc import Callable

from accelsim.hardware.machine import Machine
from accelsim.hardware.pe_grid import PeGrid
from accelsim.hardware.sram import Sram
from accelsim.mapping.problem import OperandName, Problem
from tests.reference.walk import NodeWalk, Walk, words_of

PerTile = Callable[[int], int]
Key = tuple[str, str, str]  # block, operand, action
Numbers = tuple[int, int, int, int]  # count, values, useful bits, moved bits
Amount = Callable[[PerTile], int]


def sram_words(sram: Sram, bits: int) -> PerTile:
    """Port words of a tile; a value never straddles two words."""
    return lambda values: words_of(values, sram.word_bits // bits)


class FlowTable(dict[Key, Numbers]):
    """Flows summed by key; those without a count are not there."""

    def add(self, key: Key, count: int, values: int, bits: int, moved: int) -> None:
        if count:
            old = self.get(key, (0, 0, 0, 0))
            self[key] = (old[0] + count, old[1] + values, old[2] + values * bits, old[3] + moved)

    def sram(self, sram: Sram, operand: str, action: str, amount: Amount, bits: int) -> None:
        words = amount(sram_words(sram, bits))
        self.add((sram.name, operand, action), words, amount(int), bits, words * sram.word_bits)

    def dram(self, operand: str, action: str, amount: Amount, bits: int, burst_bits: int) -> None:
        moved = amount(lambda values: words_of(values * bits, burst_bits) * burst_bits)
        self.add(("dram", operand, action), moved, amount(int), bits, moved)


def walked_flows(problem: Problem, machine: Machine, walked: Walk) -> FlowTable:
    """Every flow of the walked nest; without a buffer node for the output, psums go straight to DRAM."""
    table = FlowTable()
    burst = machine.dram.burst_bytes * 8
    table.add(("array", "", "mac"), walked.macs, walked.macs, 0, 0)
    if isinstance(machine.array, PeGrid):
        bits = machine.array.accumulator_bits
        table.add(("array", "psum", "pass"), walked.passes, walked.passes, bits, walked.passes * bits)
    for operand, sram, bits in (
        ("ifmap", machine.ifmap_buffer, problem.ifmap_bits),
        ("weight", machine.weight_buffer, problem.weight_bits),
    ):
        fills, reads = walked.nodes[operand, sram.name], walked.nodes[operand, "array"]
        table.dram(operand, "read", fills.total, bits, burst)
        table.sram(sram, operand, "write", fills.total, bits)
        table.sram(sram, operand, "read", reads.total, bits)
    _outputs(table, problem, machine, walked, burst)
    if problem.bias_values:

        def bias(per_tile: PerTile) -> int:
            return per_tile(problem.bias_values)

        table.dram("bias", "read", bias, 32, burst)
        table.sram(machine.weight_buffer, "bias", "write", bias, 32)
        # Every output tile of the array starts from the bias of its columns: first and last range of its key.
        starts = {stay.key for stay in walked.nodes["output", "array"].stays}
        held = [(key[0][1] - key[0][0]) * (key[-1][1] - key[-1][0]) for key in starts]
        table.sram(machine.weight_buffer, "bias", "read", lambda per_tile: sum(map(per_tile, held)), 32)
    return table


def _outputs(table: FlowTable, problem: Problem, machine: Machine, walked: Walk, burst: int) -> None:
    sram, psum, ofmap = machine.psum_buffer, problem.psum.bits, problem.ofmap_bits
    array = walked.nodes["output", "array"]
    home = walked.nodes.get(("output", sram.name))
    if problem.psum.bits < 16:
        requantised = sum(visits for visits in array.visits.values() if visits > 1)
        table.add(("psum_engine", "psum", "requantise"), requantised, requantised, psum, requantised * psum)
        read = array.psum_reads()
        table.add(("psum_engine", "psum", "dequantise"), read, read, psum, read * psum)
    if home is not None:
        table.sram(sram, "psum", "write", array.psum_writes, psum)
        table.sram(sram, "psum", "read", array.psum_reads, psum)
        table.sram(sram, "psum", "read", home.psum_writes, psum)  # leaves for DRAM
        table.sram(sram, "psum", "write", home.psum_reads, psum)  # comes back
        table.sram(sram, "ofmap", "write", array.ofmap_writes, ofmap)
        table.sram(sram, "ofmap", "read", home.ofmap_writes, ofmap)
    outside = home or walked.nodes.get(("output", "dram"), array)
    table.dram("psum", "write", outside.psum_writes, psum, burst)
    table.dram("psum", "read", outside.psum_reads, psum, burst)
    table.dram("ofmap", "write", outside.ofmap_writes, ofmap, burst)


def buffers_of(machine: Machine) -> dict[OperandName, Sram]:
    return {"ifmap": machine.ifmap_buffer, "weight": machine.weight_buffer, "output": machine.psum_buffer}


def demand_bits(problem: Problem, sram: Sram, log: NodeWalk, most_visits: int) -> int:
    """Buffer bits the node's tiles take: inputs two slots unless there is one tile, psums their live group."""
    if log.operand == "output":
        live = min(problem.psum.group_size, most_visits - 1)
        psums = sram_words(sram, problem.psum.bits)(log.largest * live)
        return max(psums, sram_words(sram, problem.ofmap_bits)(log.largest)) * sram.word_bits
    bits = problem.ifmap_bits if log.operand == "ifmap" else problem.weight_bits
    slots = 2 if log.tiles > 1 else 1
    return slots * sram_words(sram, bits)(log.largest) * sram.word_bits
