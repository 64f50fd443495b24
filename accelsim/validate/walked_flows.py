"""What a walked nest moves, written down flow by flow, and what its tiles ask of the buffers."""

from __future__ import annotations

from collections.abc import Callable

from accelsim.hardware.machine import Machine
from accelsim.hardware.pe_grid import PeGrid
from accelsim.hardware.sram import Sram
from accelsim.mapping.problem import OperandName, Problem
from accelsim.validate.walk import NodeWalk, Walk, words_of
from accelsim.validate.walked_groups import PsumCrossings

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
    """Every flow of the walked nest: across each boundary between two levels that hold the operand, both ends."""
    table = FlowTable()
    table.add(("array", "", "mac"), walked.macs, walked.macs, 0, 0)
    if isinstance(machine.array, PeGrid):
        bits, passes = machine.array.accumulator_bits, walked.nodes["output", "array"].passes()
        table.add(("array", "psum", "pass"), passes, passes, bits, passes * bits)
    inputs: tuple[tuple[OperandName, int], ...] = (("ifmap", problem.ifmap_bits), ("weight", problem.weight_bits))
    for operand, bits in inputs:
        for upper, lower, log in _boundaries(machine, walked, operand):
            _end(table, machine, upper, operand, "read", log.total, bits)
            _end(table, machine, lower, operand, "write", log.total, bits)
    if problem.psum.bits < 16:
        array, psum = walked.nodes["output", "array"], problem.psum.bits
        requantised = sum(visits for visits in array.visits.values() if visits > 1)
        table.add(("psum_engine", "psum", "requantise"), requantised, requantised, psum, requantised * psum)
        read = array.psum_reads()
        table.add(("psum_engine", "psum", "dequantise"), read, read, psum, read * psum)
    for upper, lower, log in _boundaries(machine, walked, "output"):
        psums_up, psums_down = psum_transfers(problem, log, walked.nodes["output", "array"])
        for name, amount, bits, source, target in (
            ("psum", psums_up, problem.psum.bits, lower, upper),
            ("psum", psums_down, problem.psum.bits, upper, lower),
            ("ofmap", log.ofmap_writes, problem.ofmap_bits, lower, upper),
        ):
            _end(table, machine, source, name, "read", amount, bits)
            _end(table, machine, target, name, "write", amount, bits)
    _bias(table, problem, machine, walked)
    return table


def psum_transfers(problem: Problem, log: NodeWalk, array: NodeWalk) -> tuple[Amount, Amount]:
    """Psums that leave a node of the output for the level above, and that come back."""
    if problem.psum.group_size == 1 or log is array:
        return log.psum_writes, log.psum_reads
    crossings = PsumCrossings(log, array, problem.psum.group_size)
    return crossings.writes, crossings.reads


def _boundaries(machine: Machine, walked: Walk, operand: OperandName) -> list[tuple[str, str, NodeWalk]]:
    """(level, next level inwards, the tiles that pass between them) from DRAM to the array.

    An output that no memory holds goes to DRAM in the tiles of its DRAM node, where it has one.
    """
    levels = [memory.name for memory in machine.memories if (operand, memory.name) in walked.nodes]
    chain = ["dram", *levels, "array"]
    logs = [walked.nodes[operand, level] for level in chain[1:]]
    if not levels and operand == "output":
        logs = [walked.nodes.get(("output", "dram"), logs[0])]
    return list(zip(chain, chain[1:], logs, strict=False))


def _end(table: FlowTable, machine: Machine, level: str, name: str, action: str, amount: Amount, bits: int) -> None:
    """One end of a boundary; the array has no actions."""
    if level == "dram":
        table.dram(name, action, amount, bits, machine.dram.burst_bytes * 8)
    elif level != "array":
        table.sram(machine.memory(level), name, action, amount, bits)


def _bias(table: FlowTable, problem: Problem, machine: Machine, walked: Walk) -> None:
    """A bias comes in once, as whole, and starts every output tile of the array."""
    if not problem.bias_values:
        return

    def whole(per_tile: PerTile) -> int:
        return per_tile(problem.bias_values)

    # Every output tile of the array starts from the bias of its columns: first and last range of its key.
    starts = {stay.key for stay in walked.nodes["output", "array"].stays}
    held = [(key[0][1] - key[0][0]) * (key[-1][1] - key[-1][0]) for key in starts]
    for upper, lower, _ in _boundaries(machine, walked, "weight"):
        last = lower == "array" and upper != "dram"
        amount = (lambda per_tile: sum(map(per_tile, held))) if last else whole
        _end(table, machine, upper, "bias", "read", amount, 32)
        _end(table, machine, lower, "bias", "write", amount, 32)


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
