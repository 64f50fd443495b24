"""Systolic folds of nests in another order than the dataflow's, counted by hand.

2 x 2 weight-stationary PEs, loads behind the streams; products of 6 rows, 2 reductions and 4 columns,
all in the buffers: one array instruction. Weights make two tiles (the column chunks).
"""

from __future__ import annotations

import dataclasses

import pytest

from accelsim.hardware.machine import build_machine
from accelsim.mapping.fit import demands
from accelsim.mapping.nest import Loop, Mapping, Node, Store
from accelsim.mapping.problem import OPERANDS, matmul_problem
from accelsim.schemes import PsumScheme
from accelsim.validate.explicit import cost_of, double_buffered
from accelsim.validate.machines import square_systolic
from accelsim.workload import MatmulDims

PROBLEM = matmul_problem(MatmulDims(1, 1, 6, 2, 4), 8, 8, 8, PsumScheme(32))
SKEW = 2 + 2 - 2


def _nest(*loops: Loop) -> Mapping:
    buffers = ("ifmap_buffer", "weight_buffer", "psum_buffer")
    nodes: list[Node] = [Store(operand, "dram") for operand in OPERANDS]
    nodes += [Store(operand, buffer) for operand, buffer in zip(OPERANDS, buffers, strict=True)]
    return Mapping((*nodes, *loops, *(Store(operand, "array") for operand in OPERANDS)))


@pytest.mark.parametrize(
    ("loops", "folds"),
    [
        ((Loop("n", 2), Loop("m", 1)), 2),  # the dataflow's own order
        ((Loop("m", 3), Loop("n", 2), Loop("m", 1)), 4),  # both tiles once for each half of the rows
        ((Loop("m", 2), Loop("n", 2), Loop("m", 1)), 6),
        ((Loop("m", 1), Loop("n", 2)), 12),  # a fold for every row
        ((Loop("m", 4), Loop("n", 2), Loop("m", 1)), 4),  # a ragged half
    ],
)
@pytest.mark.parametrize("load", ["overlapped", "serial"])
def test_a_tile_that_comes_back_pays_skew_and_load_again(loops: tuple[Loop, ...], folds: int, load: str) -> None:
    """6 rows stream through each of 2 tiles in any order: 12 cycles, and what each fold adds to them."""
    spec = square_systolic(2, "weight_stationary")
    spec = spec.model_copy(update={"array": spec.array.model_copy(update={"weight_load": load})})
    machine = build_machine(spec)
    cost = cost_of(PROBLEM, _nest(*loops), machine)
    first_load = 2 if load == "overlapped" else 0
    each = SKEW + (2 if load == "serial" else 0)
    assert cost.timing.compute_cycles == 12 + folds * each + first_load


def test_slots() -> None:
    """8-bit values in 64-bit words; two slots for operands of several tiles, where there is room for the output."""
    machine = build_machine(square_systolic(2, "weight_stationary"))
    nodes = (
        Store("ifmap", "dram"), Store("weight", "dram"), Store("output", "dram"), Store("ifmap", "ifmap_buffer"),
        Loop("n", 2), Store("weight", "weight_buffer"), Store("output", "psum_buffer"), Loop("m", 1),
        Store("ifmap", "array"), Store("weight", "array"), Store("output", "array"),
    )  # fmt: skip
    mapping = double_buffered(PROBLEM, Mapping(nodes), machine)
    assert demands(PROBLEM, mapping, machine) == {
        "ifmap_buffer": 128,  # 12 values, one tile
        "weight_buffer": 128,  # 4 values twice
        "psum_buffer": 256,  # 12 values of 8 bits twice
    }
    small = dataclasses.replace(machine.psum_buffer, capacity_bits=255)
    tight = double_buffered(PROBLEM, Mapping(nodes), machine.with_memory(small))
    assert demands(PROBLEM, tight, machine)["psum_buffer"] == 128
