"""Where a weight is loaded from, and by which rule of the spec.

In a nest the outermost level of every operand is called dram; a weight that lives in the stack comes from there all
the same. Only weights of matmuls and convs are placed (a bias goes with its weight); KV entries, embeddings and
gains are in the DRAM.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal

from accelsim.hardware.dram import Dram
from accelsim.hardware.machine import Machine
from accelsim.hardware.reram_stack import ReramStack
from accelsim.mapping.problem import Problem
from accelsim.workload.trace import Op, Tensor

StoreName = Literal["dram", "reram"]
CODEBOOK = "codebook"


def weight_store(problem: Problem, machine: Machine) -> Dram | ReramStack:
    """The memory that an op's weight is in. ValueError for a stack that the machine lacks."""
    if problem.weight_home == "dram":
        return machine.dram
    if machine.reram_stack is None:
        raise ValueError(f"{machine.name} has no stacked memory for a weight")
    return machine.reram_stack


def placed(op: Op, weight: Tensor, machine: Machine) -> StoreName:
    """The store of the first rule that the weight matches, by its id, its op's name or how it is stored."""
    if weight.kind != "weight":
        return "dram"
    for rule in machine.placement:
        named = any(fnmatchcase(name, rule.weights) for name in (weight.id, op.name))
        if named or (rule.weights == CODEBOOK and weight.codebook is not None):
            return rule.store
    return "dram"
