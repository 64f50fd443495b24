"""ZigZag's layers and mappings in our words.

Its loops come innermost first with their trips; ours come outermost first with the chunk one trip
takes: the array's lanes times the trips of the loops inside over the same dim. An operand's storage at
a memory stands above as many loops as ZigZag gives to that memory and the registers below it.
"""

from __future__ import annotations

import math

from accelsim.hardware.machine import Machine
from accelsim.mapping.nest import Loop, Mapping, Node, Spatial, Store, without_single_trips
from accelsim.mapping.placement import buffer_of
from accelsim.mapping.problem import OPERANDS, OperandName, Problem, conv_problem, matmul_problem
from accelsim.schemes import PsumScheme
from accelsim.validate.equal_tree import INPUT_BITS, LANES, OUTPUT_BITS
from accelsim.validate.explicit import double_buffered
from accelsim.validate.record_zigzag import CONV_DIMS, GEMM_DIMS, LAYERS
from accelsim.validate.recording import Record
from accelsim.workload import MatmulDims

NAMES: dict[OperandName, str] = {"ifmap": "I", "weight": "W", "output": "O"}


def problem_of(layer: str) -> Problem:
    """The layer as our mapper sees it, with the loops of a conv one by one."""
    dims, widths, psum = LAYERS[layer], (INPUT_BITS, INPUT_BITS, OUTPUT_BITS), PsumScheme(OUTPUT_BITS)
    if isinstance(dims, MatmulDims):
        return matmul_problem(dims, *widths, psum)
    return conv_problem(dims, *widths, psum, "nested")


def nest_of(record: Record, problem: Problem, machine: Machine) -> Mapping:
    """The recorded mapping of this problem."""
    ours = GEMM_DIMS if problem.conv is None else CONV_DIMS
    lanes = {problem.reduction[-1]: LANES, problem.column: LANES}
    step = {dim: lanes.get(dim, 1) for dim in problem.dims}
    nodes: list[Node] = [Store(operand, "array") for operand in OPERANDS]
    nodes += [Spatial(dim, width) for dim, width in lanes.items()]
    nodes += _stores(record, 0, machine)
    for below, text in enumerate(str(record["loops"]).split(), start=1):
        name, trips = text.split(":")
        dim = ours[name]
        nodes = [*_stores(record, below, machine), Loop(dim, step[dim]), *nodes]
        step[dim] *= math.ceil(float(trips))
    nodes = [*(Store(operand, "dram") for operand in OPERANDS), *nodes]
    return double_buffered(problem, Mapping(without_single_trips(nodes, problem)), machine)


def _stores(record: Record, below: int, machine: Machine) -> list[Node]:
    """The buffers that stand right above `below` loops."""
    names = ((operand, buffer_of(machine, operand).name) for operand in OPERANDS)
    return [Store(operand, name) for operand, name in names if record[f"{NAMES[operand]}_below_dram"] == below]
