"""The storage nodes of a mapping, built: for each operand from its tensor in DRAM down to the array.

Any number of memories may lie between, in the order of the nest. An output's node at DRAM is no copy:
where no memory holds the output, it says in which tiles the array and DRAM exchange its values.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from accelsim.functional.accesses import AccessTable, Port
from accelsim.functional.accumulator import Accumulator, Offset
from accelsim.functional.operands import Operands
from accelsim.functional.outputs import OutputStore
from accelsim.functional.psums import PsumRule
from accelsim.functional.registers import FilePort, RegisterInput
from accelsim.functional.stores import InputStore
from accelsim.functional.tiles import Box, ConvInputs, Layout
from accelsim.hardware.dram import Dram
from accelsim.hardware.machine import Machine
from accelsim.hardware.sram import Sram, Width
from accelsim.mapping.nest import REGISTERS, Mapping, Store
from accelsim.mapping.problem import OperandName, Problem
from accelsim.mapping.registers import value_bits

ARRAY = "array"


@dataclass(frozen=True, eq=False)
class Nodes:
    """Nodes by their place in the nest, and the two ends of each operand's chain that are worked with."""

    at: dict[int, InputStore | OutputStore | Accumulator]
    ifmap: InputStore
    weight: InputStore
    accumulator: Accumulator
    drained: OutputStore
    registers: tuple[RegisterInput, ...]
    """Those of ifmap and weight in the PEs' registers."""


class Builder:
    """Builds the nodes of one mapping; every access of theirs goes into `table`."""

    def __init__(self, problem: Problem, mapping: Mapping, machine: Machine, table: AccessTable) -> None:
        self.problem, self.mapping, self.machine, self.table = problem, mapping, machine, table
        self.at: dict[int, InputStore | OutputStore | Accumulator] = {}
        self.registers: list[RegisterInput] = []

    def build(self, operands: Operands, rule: PsumRule, weight_name: str) -> Nodes:
        """ValueError for a mapping without the array's node of some operand."""
        problem = self.problem
        inputs: Layout = ConvInputs(problem) if problem.conv else Box(problem, problem.relevant("ifmap"))
        ifmap = self._input("ifmap", inputs, "ifmap", problem.ifmap_bits)
        weights = Box(problem, problem.relevant("weight"))
        weight = self._input("weight", weights, weight_name, problem.stored_weight_bits)
        for chain, values in ((ifmap, operands.ifmap), (weight, operands.weight)):
            chain[0].bank.fill(values)
        offset = self._offset(operands)
        drained, accumulator = self._output(rule, offset)
        return Nodes(self.at, ifmap[-1], weight[-1], accumulator, drained, tuple(self.registers))

    def _input(self, operand: OperandName, layout: Layout, name: str, bits: Width) -> list[InputStore]:
        nodes = [InputStore(layout, name, bits, self._port(self.machine.dram), None)]
        for position, memory in self._memories(operand):
            file = None if memory is not None else self._file_port(operand, name, position)
            if file is None:
                nodes.append(InputStore(layout, name, bits, self._port(memory), nodes[-1]))
            else:
                kept = RegisterInput(self.problem, operand, layout, name, bits, self.table, file, nodes[-1])
                self.registers.append(kept)
                nodes.append(kept)
            self.at[position] = nodes[-1]
        return nodes

    def _output(self, rule: PsumRule, offset: Offset | None) -> tuple[OutputStore, Accumulator]:
        problem, banks = self.problem, rule.group_size
        layout = Box(problem, problem.relevant("output"))
        widths = (problem.psum.bits, problem.ofmap_bits)
        drained = node = OutputStore(layout, banks, *widths, self._port(self.machine.dram), None)
        *memories, (position, _) = self._memories("output")
        for at, memory in memories:
            node = OutputStore(layout, banks, *widths, self._port(memory), node)
            self.at[at] = node
        reductions = problem.macs // math.prod(layout.shape)
        accumulator = Accumulator(layout, reductions, rule, offset, node)
        self.at[position] = accumulator
        return drained, accumulator

    def _offset(self, operands: Operands) -> Offset | None:
        """The bias, brought in once by way of the weight's memories; without any it waits in the array."""
        if operands.offset is None:
            return None
        problem = self.problem
        kept = [memory for _, memory in self._memories("weight") if isinstance(memory, Sram)]
        ports = [self._port(self.machine.dram), *(self._port(memory) for memory in kept or (None,))]
        for above, below in itertools.pairwise(ports):
            above.move("bias", "read", [(problem.bias_values, 1)], problem.bias_bits)
            below.move("bias", "write", [(problem.bias_values, 1)], problem.bias_bits)
        columns = Box(problem, (*problem.batch, problem.column))
        return Offset(operands.offset, problem.relevant("output"), columns, problem.bias_bits, ports[-1])

    def _file_port(self, operand: OperandName, name: str, position: int) -> FilePort | None:
        """The registers of an operand whose node stands at `position`; None where that is the array's."""
        node, file = self.mapping.nodes[position], self.machine.register_file(operand)
        if not isinstance(node, Store) or node.level != REGISTERS:
            return None
        if file is None:
            raise ValueError(f"{self.machine.name} has no registers for {operand}")
        return FilePort(self.table, file, name, value_bits(self.problem, operand, self.machine))

    def _memories(self, operand: OperandName) -> Iterator[tuple[int, Sram | None]]:
        """Place and memory of the operand's nodes below its tensor in DRAM; the last is the array's own.

        That is its node in registers where there is one, and the array's place in them is no node.
        """
        own = [
            (at, node.level)
            for at, node in enumerate(self.mapping.nodes)
            if isinstance(node, Store) and node.operand == operand
        ]
        if not own or own[-1][1] != ARRAY:
            raise ValueError(f"the innermost node of {operand} is not the array's")
        if len(own) > 1 and own[-2][1] == REGISTERS:
            own.pop()
        alone = all(level in (ARRAY, REGISTERS, self.machine.dram.name) for _, level in own)
        for at, level in own:
            if level in (ARRAY, REGISTERS) or (level == self.machine.dram.name and alone and operand == "output"):
                yield at, None
            elif level != self.machine.dram.name:
                yield at, self.machine.memory(level)

    def _port(self, memory: Sram | Dram | None) -> Port:
        return Port(self.table, memory)
