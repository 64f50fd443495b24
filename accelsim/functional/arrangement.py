"""User tensors as arrays with one axis for each loop dim, and back.

A conv's dim may stand for several primitive indices at once (`pq` for n, p, q; see
`accelsim.mapping.problem`); a dim that is not listed here is its own primitive index.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from accelsim.mapping.problem import OperandName, Problem

Ints = NDArray[np.int64]

_DIGITS = {"pq": ("n", "p", "q"), "rsc": ("r", "s", "c"), "rs": ("r", "s")}
_MATMUL_AXES = {"ifmap": ("b", "g", "m", "k"), "weight": ("b", "k", "n"), "output": ("b", "g", "m", "n")}
_CONV_AXES = {"weight": ("groups", "k", "c", "r", "s"), "output": ("n", "groups", "k", "p", "q")}


def digits(dims: Sequence[str]) -> tuple[str, ...]:
    """The primitive indices that `dims` stand for, slowest first."""
    return tuple(digit for dim in dims for digit in _DIGITS.get(dim, (dim,)))


def primitive_extents(problem: Problem) -> dict[str, int]:
    """The extent of every primitive index of a problem."""
    conv = problem.conv
    if conv is None:
        return dict(problem.extents)
    names = ("n", "groups", "c", "k", "p", "q", "r", "s")
    return {name: getattr(conv, name) for name in names}


def tensor_shape(problem: Problem, operand: OperandName) -> tuple[int, ...]:
    """Shape of the user's tensor of an operand (see `run`)."""
    conv = problem.conv
    if conv is None:
        return tuple(problem.extent(dim) for dim in _MATMUL_AXES[operand])
    if operand == "ifmap":
        return (conv.n, conv.groups * conv.c, conv.h, conv.w)
    if operand == "weight":
        return (conv.groups * conv.k, conv.c, conv.r, conv.s)
    return (conv.n, conv.groups * conv.k, conv.p, conv.q)


def box_shape(problem: Problem, operand: OperandName) -> tuple[int, ...]:
    """One axis per dim relevant to the operand."""
    return tuple(problem.extent(dim) for dim in problem.relevant(operand))


def to_box(problem: Problem, operand: OperandName, tensor: Ints) -> Ints:
    """The user's tensor with one axis per relevant dim; not for the ifmap of a conv, which is no box."""
    axes, extents = _axes(problem, operand), primitive_extents(problem)
    apart = tensor.reshape([extents[axis] for axis in axes])
    order = [axes.index(digit) for digit in digits(problem.relevant(operand))]
    return np.ascontiguousarray(apart.transpose(order)).reshape(box_shape(problem, operand))


def from_box(problem: Problem, operand: OperandName, box: Ints) -> Ints:
    """The inverse of `to_box`."""
    axes, extents = _axes(problem, operand), primitive_extents(problem)
    here = digits(problem.relevant(operand))
    apart = box.reshape([extents[digit] for digit in here])
    ordered = apart.transpose([here.index(axis) for axis in axes])
    return np.ascontiguousarray(ordered).reshape(tensor_shape(problem, operand))


def column_box(problem: Problem, values: Ints) -> Ints:
    """One number per column, or per batch and column, with the axes of the output (1 where it does not vary).

    ValueError for any other number of values.
    """
    own = (*problem.batch, problem.column)
    extents = [problem.extent(dim) for dim in own]
    if values.size not in (extents[-1], math.prod(extents)):
        raise ValueError(f"{values.size} values for {extents[-1]} columns in {math.prod(extents[:-1])} batches")
    spread = np.broadcast_to(values if values.size == extents[-1] else values.reshape(extents), extents)
    return spread.reshape([problem.extent(dim) if dim in own else 1 for dim in problem.relevant("output")])


def _axes(problem: Problem, operand: OperandName) -> tuple[str, ...]:
    return (_CONV_AXES if problem.conv else _MATMUL_AXES)[operand]
