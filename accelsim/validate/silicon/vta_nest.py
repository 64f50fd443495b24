"""TVM's tilings of convs on VTA as loop nests.

The schedule (`schedule_conv2d_packed`, TVM vta/python/vta/top/vta_conv2d.py) walks output tiles rows,
filters, columns; in each it accumulates over channel tiles, loading the inputs (with their halo) and the
weights of every step, then requantises and stores. Two virtual threads, over filters or over rows, are
two tiles in flight with half of the buffers each: inputs and weights are double buffered. Their steps
take turns one by one, so both tiles are stored before either's sums start anew: outputs are not.
Within a GEMM instruction the loops over columns and over taps along a row are the sequencer's, the rest
are micro-ops.
"""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.hardware.adder_tree import AdderTree
from accelsim.hardware.machine import Machine
from accelsim.mapping.nest import Loop, Mapping, Node, Spatial, Store, without_single_trips
from accelsim.mapping.placement import buffer_of
from accelsim.mapping.problem import OPERANDS, OperandName, Problem, conv_problem
from accelsim.schemes import PsumScheme
from accelsim.workload import ConvDims

INPUT_BITS, OUTPUT_BITS, PSUM_BITS = 8, 8, 32


@dataclass(frozen=True)
class Tiling:
    """Tile sizes: output rows and columns, channels and filters in blocks of the array; virtual threads."""

    rows: int
    columns: int
    channel_blocks: int
    filter_blocks: int
    threads: int


def problem_of(dims: ConvDims) -> Problem:
    """The conv with INT8 operands and outputs, INT32 sums."""
    return conv_problem(dims, INPUT_BITS, INPUT_BITS, OUTPUT_BITS, PsumScheme(PSUM_BITS), "nested")


def nest_of(tiling: Tiling, problem: Problem, machine: Machine) -> Mapping:
    """The tiling as a loop nest of this problem. ValueError for an array other than an adder tree."""
    array = machine.array
    if not isinstance(array, AdderTree):
        raise ValueError("VTA's array is an adder tree")
    two = tiling.threads > 1
    channels, filters = tiling.channel_blocks * array.pci, tiling.filter_blocks * array.pco

    def held(operand: OperandName) -> Store:
        return Store(operand, buffer_of(machine, operand).name, two and operand != "output")

    nodes: list[Node] = [Store(operand, "dram") for operand in OPERANDS]
    nodes += [Loop("n", array.po), Loop("p", tiling.rows), Loop("groups", 1), Loop("k", filters)]
    nodes += [Loop("q", tiling.columns), held("output"), Loop("c", channels), held("ifmap"), held("weight")]
    nodes += [Loop(dim, step) for dim, step in (("c", array.pci), ("q", 1), ("s", 1), ("r", 1), ("k", array.pco))]
    nodes += [Loop("p", 1), *(Store(operand, "array") for operand in OPERANDS)]
    nodes += [Spatial("n", array.po)] if array.po > 1 else []
    nodes += [Spatial("c", array.pci), Spatial("k", array.pco)]
    return Mapping(without_single_trips(nodes, problem))
