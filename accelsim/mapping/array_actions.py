"""What the array does for an op: MACs one by one, those that a zero gates, MACs of two blocks at once, and further
passes for wide operands."""

from __future__ import annotations

import math
from fractions import Fraction

from accelsim.hardware.adder_tree import AdderTree
from accelsim.hardware.machine import Array
from accelsim.hardware.pe_grid import PeGrid
from accelsim.mapping.problem import Problem
from accelsim.mapping.window import axis_of, meetings

SLOT_ACTIONS = ("mac", "gated_mac", "fused_mac", "extra_pass")
"""Actions that take a multiplier for a cycle."""


def passes(problem: Problem, array: Array) -> int:
    """Passes of one product through the multipliers: ceil(a / width) x ceil(b / width)."""
    if not isinstance(array, AdderTree) or not array.wide_passes:
        return 1
    width = array.operand_bits
    return -(-problem.ifmap_bits // width) * -(-problem.weight_bits // width)


def fused_macs(problem: Problem) -> int:
    """MACs that stand for two each, under tile fusion."""
    return problem.macs * problem.fused_pairs.numerator // problem.fused_pairs.denominator


def gated_macs(problem: Problem, array: Array) -> int:
    """MACs whose input is zero or padding, where that keeps the multiplier and its weight still."""
    if not isinstance(array, PeGrid) or not array.zero_gating:
        return 0
    work = (1 - problem.ifmap_zeros) * macs_with_inputs(problem)
    return problem.macs - math.ceil(work)


def macs_with_inputs(problem: Problem) -> int:
    """MACs whose input is an element of the ifmap and not padding."""
    conv = problem.conv
    if conv is None:
        return problem.macs
    others = problem.macs // (conv.p * conv.q * conv.r * conv.s)
    return others * meetings(axis_of(conv, 0), conv.p) * meetings(axis_of(conv, 1), conv.q)


def issued_share(problem: Problem, array: Array) -> Fraction:
    """Multiplier cycles per MAC of the op."""
    return passes(problem, array) * (1 - problem.fused_pairs)


def array_actions(problem: Problem, array: Array) -> tuple[tuple[str, int], ...]:
    """Actions of the array by name, none left out: `mac` + `gated_mac` + 2 x `fused_mac` are the op's MACs."""
    fused, gated = fused_macs(problem), gated_macs(problem, array)
    further = (problem.macs - fused) * (passes(problem, array) - 1)
    return (
        ("mac", problem.macs - 2 * fused - gated), ("gated_mac", gated), ("fused_mac", fused), ("extra_pass", further),
    )  # fmt: skip


def kept_reads(count: int, problem: Problem) -> int:
    """Of so many reads of the weight, those that tile fusion leaves, rounded up."""
    left = 1 - problem.fused_pairs
    return -(-count * left.numerator // left.denominator)
