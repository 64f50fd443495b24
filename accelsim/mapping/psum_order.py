"""Whether a mapping sums a psum scheme's reduction tiles, in the scheme's order.

The order is that of the trained sums: k of a matmul; r, s, c of a convolution, c fastest.
"""

from __future__ import annotations

import math

from accelsim.hardware.machine import Machine
from accelsim.mapping.dataflow import spatial_widths
from accelsim.mapping.nest import REGISTERS, Mapping
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.problem import Problem

TRAIN = "train the psum scheme with"


def psum_order_fault(problem: Problem, mapping: Mapping, visits: int, machine: Machine) -> Infeasible | None:
    """Why psums that leave the array `visits` times do not leave after every k_tile products; None if they do.

    A scheme without k_tile fits any mapping, and outputs that never leave (visits = 1) fit any scheme.
    """
    wanted = problem.psum.k_tile
    if wanted is None or visits == 1:
        return None
    widths = _tile(problem, mapping, machine)
    given = math.prod(widths)
    if wanted != given:
        lever = f"{TRAIN} k_tile {given}, or change the array's reduction width to {wanted}"
        return Infeasible("array", wanted, given, "reduction elements per psum", lever)
    extents = [problem.extent(dim) for dim in problem.reduction]
    *taps, channels = extents
    if math.prod(taps) > 1 and channels % wanted:  # a tile would reach from one kernel element into the next
        lever = f"set array.spatial_reduction to flatten_crs, or {TRAIN} a k_tile that divides {channels} channels"
        return Infeasible(
            "array", wanted, channels % wanted, "reduction elements of a kernel element's last psum", lever
        )
    if math.prod(widths[:-1]) > 1:  # channels of several kernel elements in one psum
        lever = f"unroll {problem.reduction[-1]} alone, or {TRAIN} no k_tile"
        return Infeasible("array", 1, math.prod(widths[:-1]), "kernel elements of one psum", lever)
    loops = mapping.array_loops("output")
    order = [problem.reduction.index(loop.dim) for loop in loops if loop.dim in problem.reduction]
    if order != sorted(order):
        lever = f"map its reduction in the order {', '.join(problem.reduction)}, or {TRAIN} no k_tile"
        return Infeasible("array", 1, 0, "reduction loops in the scheme's order", lever)
    due = -(-math.prod(extents) // wanted)
    if visits != due:
        lever = f"let the dataflow store psums after every tile, or {TRAIN} no k_tile"
        return Infeasible("array", due, visits, "visits of the accumulator", lever)
    return None


def _tile(problem: Problem, mapping: Mapping, machine: Machine) -> list[int]:
    """Elements of each reduction dim that a psum sums before it leaves the array or its registers."""
    if mapping.store("output", REGISTERS) is None:
        widths = spatial_widths(problem, machine.array)
        return [widths.get(dim, 1) for dim in problem.reduction]
    loops = mapping.array_loops("output")
    return [min([problem.extent(dim), *(loop.step for loop in loops if loop.dim == dim)]) for dim in problem.reduction]
