"""The tensors of one execution, checked and laid out with one axis per loop dim."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import user_error
from accelsim.functional.arrangement import Ints, column_box, tensor_shape, to_box
from accelsim.mapping.problem import OperandName, Problem

MAX_SUM_BITS = 62


@dataclass(frozen=True, eq=False)
class Operands:
    """Arrays as `accelsim.functional.arrangement` has them; a conv's ifmap is flat.

    `offset` is what every output gets after its last step, with the axes of the output (None: nothing).
    `padding` is the number that stands for zero outside a conv's input.
    """

    ifmap: Ints
    weight: Ints
    offset: Ints | None
    padding: int


def checked_operands(
    problem: Problem,
    ifmap: NDArray[np.integer],
    weight: NDArray[np.integer],
    bias: NDArray[np.integer] | None,
    zero_point: int,
    op: str,
) -> Operands:
    """The tensors laid out; UserError naming the op where shape, width or presence is wrong."""
    whole = _checked(problem, "ifmap", ifmap, problem.ifmap_bits, op)
    box = to_box(problem, "weight", _checked(problem, "weight", weight, problem.weight_bits, op))
    _check_sums(problem, whole, box, op)
    given = to_box(problem, "ifmap", whole) if problem.conv is None else whole.ravel()
    return Operands(given, box, _offset(problem, box, bias, zero_point, op), zero_point)


def _checked(problem: Problem, operand: OperandName, tensor: NDArray[np.integer], bits: int, op: str) -> Ints:
    shape = tensor_shape(problem, operand)
    if tensor.shape != shape:
        raise user_error(op, operand, f"shape {list(tensor.shape)}", f"give {list(shape)}")
    return _in_width(tensor, operand, bits, op)


def _in_width(tensor: NDArray[np.integer], what: str, bits: int, op: str) -> Ints:
    if not np.issubdtype(tensor.dtype, np.integer):
        raise user_error(op, what, f"numbers of type {tensor.dtype}", "give integers")
    low, high = int(tensor.min()), int(tensor.max())
    if low < -(2 ** (bits - 1)) or high >= (2**bits if low >= 0 else 2 ** (bits - 1)):
        raise user_error(op, what, f"numbers from {low} to {high}", f"keep them within its {bits} bits")
    return tensor.astype(np.int64)


def _check_sums(problem: Problem, ifmap: Ints, weight: Ints, op: str) -> None:
    """Sums are computed in 64 bits; refuse what could exceed them."""
    terms = math.prod(problem.extent(dim) for dim in problem.reduction)
    most = terms * int(np.abs(ifmap).max()) * int(np.abs(weight).max())
    if most.bit_length() > MAX_SUM_BITS:
        found = f"sums of up to {most.bit_length() + 1} bits"
        raise user_error(op, "ifmap", found, f"use narrower operands: sums are computed in {MAX_SUM_BITS + 1} bits")


def _offset(problem: Problem, weight: Ints, bias: NDArray[np.integer] | None, zero_point: int, op: str) -> Ints | None:
    if (bias is None) != (problem.bias_values == 0):
        found = "no bias" if bias is None else "a bias, and the problem has none"
        raise user_error(op, "bias", found, f"the problem's bias has {problem.bias_values} numbers")
    if bias is None:
        if zero_point:
            fix = "give the op a bias (zeros will do): the correction travels with it"
            raise user_error(op, "ifmap_zero_point", f"{zero_point} without a bias", fix)
        return None
    if bias.size != problem.bias_values:
        raise user_error(op, "bias", f"{bias.size} numbers", f"the problem's bias has {problem.bias_values}")
    numbers = _in_width(bias, "bias", problem.bias_bits, op).ravel()
    columns = weight.sum(axis=tuple(i for i, dim in enumerate(problem.relevant("weight")) if dim in problem.reduction))
    try:
        return column_box(problem, numbers) - zero_point * column_box(problem, columns.ravel())
    except ValueError as error:
        raise user_error(op, "bias", str(error), "only a bias of one number per column can be executed") from None
