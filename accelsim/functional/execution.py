"""Executing a mapped matmul or conv on integers: exact outputs, and the accesses counted on the way.

The loop nest is walked in its order. Every storage node holds the values of its tile; a tile that is
not there is read from the node above, partial sums are written and read back as the psum scheme has
it, finished outputs are drained. Only the pieces of the innermost loop are worked on together. The
accesses equal `accelsim.mapping.traffic.mac_flows`, of which nothing is used here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import UserError, user_error
from accelsim.functional.accesses import Access, AccessTable, Key
from accelsim.functional.arrangement import from_box
from accelsim.functional.multiply import Multiplier
from accelsim.functional.nodes import ARRAY, Builder, Nodes
from accelsim.functional.operands import Operands, checked_operands
from accelsim.functional.psums import ApsqPsums, PlainPsums, PsumRule
from accelsim.functional.registers import FilePort
from accelsim.functional.tiles import Ranges, Visit
from accelsim.hardware.machine import Machine
from accelsim.hardware.pe_grid import PeGrid
from accelsim.mapping.lower import psum_fault
from accelsim.mapping.nest import REGISTERS, Loop, Mapping
from accelsim.mapping.problem import Problem
from accelsim.schemes import PsumScales


@dataclass(frozen=True, eq=False)
class Execution:
    """What an op gave and what it moved.

    `outputs` are int64 sums before they are scaled to the ofmap's width: (b, g, m, n) of a matmul,
    (n, groups k, p, q) of a conv. `accesses` by (block, operand, action). `psum_visits` is T, the most
    visits that an output made of the accumulator; `saturated_psums` counts clamped psums.
    """

    outputs: NDArray[np.int64]
    accesses: dict[Key, Access]
    psum_visits: int
    saturated_psums: int


def run(
    problem: Problem,
    mapping: Mapping,
    machine: Machine,
    ifmap: NDArray[np.integer],
    weight: NDArray[np.integer],
    bias: NDArray[np.integer] | None = None,
    scales: PsumScales | None = None,
    *,
    ifmap_zero_point: int = 0,
    weight_name: str = "weight",
    name: str = "op",
) -> Execution:
    """Execute one op: ifmap (b, g, m, k) and weight (b, k, n), or (n, groups c, h, w) and (groups k, c, r, s).

    Psums of 16 bits and more are exact; below (APSQ) an op whose outputs leave the accumulator needs
    `scales`, one for each step. `bias` (n,) or (b, n), of a conv (groups k,), and the zero-point
    correction -zero_point x sum(weight), which travels with the bias, are added after the last step;
    the padding of a conv holds the zero point. `weight_name` is the weight's name in the accesses
    (weight or kv), `name` the op's in errors.

    Raises UserError naming the op for tensors of a wrong shape or width, for sums that overflow the
    scheme's accumulator (with the bits they need), and for scales that do not fit scheme or mapping.

    >>> from accelsim import load_arch
    >>> from accelsim.hardware.machine import build_machine
    >>> from accelsim.mapping.dataflow import map_fixed
    >>> from accelsim.mapping.problem import matmul_problem
    >>> from accelsim.schemes import PsumScheme
    >>> from accelsim.workload import MatmulDims
    >>> machine = build_machine(load_arch("apsq_edge_ws"))
    >>> problem = matmul_problem(MatmulDims(b=1, g=1, m=32, k=24, n=3), 8, 8, 8, PsumScheme(8, group_size=2))
    >>> mapping = map_fixed(problem, machine, "through")
    >>> ones = run(problem, mapping, machine, np.ones((1, 1, 32, 24), int), np.ones((1, 24, 3), int),
    ...            scales=PsumScales(problem.psum, (0, 0, 1)))
    >>> ones.outputs[0, 0, 0], ones.psum_visits
    (array([24, 24, 24]), 3)
    >>> ones.accesses["psum_buffer", "psum", "write"]
    Access(count=24, values=192, bits_useful=1536, bits_moved=1536)
    """
    rule = _psum_rule(problem, machine, scales, name)
    operands = checked_operands(problem, ifmap, weight, bias, ifmap_zero_point, name)
    table = AccessTable()
    nodes = walk(problem, mapping, machine, operands, rule, table, weight_name)
    array = nodes.accumulator
    rule.check(array.most_steps)
    array.final.check(name, "bias", "its outputs with bias and zero-point correction")
    table.operations(ARRAY, "", "mac", problem.macs, 0)
    if isinstance(machine.array, PeGrid):
        table.operations(machine.array.name, "psum", "pass", array.passed, machine.array.accumulator_bits)
    _psum_registers(problem, mapping, machine, array.entered, table)
    saturated = 0
    if isinstance(rule, ApsqPsums) and machine.psum_engine is not None:
        saturated = rule.saturated
        for action, psums in (("requantise", array.requantised), ("dequantise", array.dequantised)):
            table.operations(machine.psum_engine.name, "psum", action, psums, problem.psum.bits)
    outputs = from_box(problem, "output", nodes.drained.outputs)
    return Execution(outputs, table.rows(), array.most_steps, saturated)


def _psum_registers(problem: Problem, mapping: Mapping, machine: Machine, entered: int, table: AccessTable) -> None:
    """Sums in registers: written by every MAC and with what comes in from outside. Every sum that is there is
    read by the next MAC, or as it leaves: once after each time it was written."""
    file = machine.register_file("output")
    if file is not None and mapping.store("output", REGISTERS) is not None:
        port = FilePort(table, file, "psum", machine.array.accumulator_bits)
        for action in ("write", "read"):
            port.move(action, problem.macs + entered)


def _psum_rule(problem: Problem, machine: Machine, scales: PsumScales | None, op: str) -> ApsqPsums | PlainPsums:
    fault = psum_fault(problem.psum, machine)
    if fault is not None:
        raise UserError([fault])
    if scales is not None and scales.scheme != problem.psum:
        raise user_error(op, "scales", f"scales of {scales.scheme}", f"the op's scheme is {problem.psum}")
    if problem.psum.is_apsq:
        return ApsqPsums(problem.psum, scales, machine.array.accumulator_bits, op)
    return PlainPsums(problem.psum, op)


def walk(
    problem: Problem,
    mapping: Mapping,
    machine: Machine,
    operands: Operands,
    rule: PsumRule,
    table: AccessTable,
    weight_name: str,
) -> Nodes:
    """Iterate the whole nest; afterwards every output has been drained."""
    nodes = Builder(problem, mapping, machine, table).build(operands, rule, weight_name)
    walker = _Walker(problem, mapping, nodes, operands.padding)
    walker.descend(0, {dim: (0, extent) for dim, extent in problem.extents})
    nodes.drained.leave()
    for node in nodes.registers:
        node.leave()
    return nodes


class _Walker:
    """Walks the loops; the innermost one is handed down whole."""

    def __init__(self, problem: Problem, mapping: Mapping, nodes: Nodes, padding: int) -> None:
        self._mapping = mapping.nodes
        self._innermost = max((at for at, node in enumerate(mapping.nodes) if isinstance(node, Loop)), default=-1)
        self._nodes = nodes
        self._multiply = Multiplier(problem, nodes, padding)

    def descend(self, position: int, ranges: Ranges) -> None:
        visit = Visit(ranges)
        for at in range(position, len(self._mapping)):
            node = self._mapping[at]
            if isinstance(node, Loop):
                if at != self._innermost:
                    low, high = ranges[node.dim]
                    for start in range(low, high, node.step):
                        self.descend(at + 1, {**ranges, node.dim: (start, min(start + node.step, high))})
                    return
                visit = Visit(ranges, node.dim, node.step)
            elif at in self._nodes.at:
                self._nodes.at[at].arrive(visit)
        self._multiply(visit)
