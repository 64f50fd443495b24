"""Small ragged problems and loop nests, evenly at random from a `random.Random`."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from accelsim.mapping.nest import Loop, Mapping, Node, Store
from accelsim.mapping.problem import OPERANDS, Problem, conv_problem, matmul_problem
from accelsim.schemes import PsumScheme
from accelsim.spec.models import SpatialReduction
from accelsim.workload import ConvDims, MatmulDims

MOST_MACS = 1200
LEVELS = ("far", "near")
RULES: tuple[SpatialReduction, ...] = ("flatten_crs", "channels_only", "nested")


def psum_scheme(rng: random.Random) -> PsumScheme:
    if rng.random() < 0.4:
        return PsumScheme(rng.choice([16, 24, 32]))
    return PsumScheme(rng.choice([4, 7, 8]), rng.randint(1, 4))


def problem_of(rng: random.Random, size: int, rules: Sequence[SpatialReduction] = RULES) -> Problem:
    """A matmul or conv of at most MOST_MACS, extents up to about `size`; a conv walked by one of the rules."""
    while True:
        problem = _matmul(rng, size) if rng.random() < 0.5 else _conv(rng, size, rng.choice(rules))
        if math.prod(extent for _, extent in problem.extents) <= MOST_MACS:
            return problem


def _matmul(rng: random.Random, size: int) -> Problem:
    b, g = rng.choice([(1, 1), (1, 1), (2, 1), (1, 3), (2, 2)])
    m, k, n = (rng.randint(1, size) for _ in range(3))
    return matmul_problem(MatmulDims(b, g, m, k, n), *_widths(rng), psum_scheme(rng), bias_values=rng.choice([0, n]))


def _conv(rng: random.Random, size: int, rule: SpatialReduction) -> Problem:
    """Strided, grouped, depthwise, dilated, padded; a kernel may be larger than its input."""
    n, groups, c, k = rng.choice([(1, 1, 2, 3), (1, 1, 3, 2), (2, 1, 1, 2), (1, 2, 2, 1), (1, 3, 1, 1), (1, 1, 5, 1)])
    most = min(size, 4)
    (r, s), (p, q) = ((rng.randint(1, min(most, 3)), rng.randint(1, most)) for _ in range(2))
    limits = ((1, 3), (0, 2), (1, 2))
    stride, padding, dilation = ((rng.randint(low, high), rng.randint(low, high)) for low, high in limits)
    h, w = (
        max(1, (out - 1) * step + dil * (taps - 1) + 1 - 2 * pad) + rng.randint(0, 1)
        for out, step, dil, taps, pad in zip((p, q), stride, dilation, (r, s), padding, strict=True)
    )
    conv = ConvDims(n, groups, c, k, h, w, r, s, stride, padding, dilation)
    return conv_problem(conv, *_widths(rng), psum_scheme(rng), rule, bias_values=rng.choice([0, groups * k]))


def _widths(rng: random.Random) -> tuple[int, int, int]:
    ifmap, weight, ofmap = (rng.choice([3, 4, 8, 16]) for _ in range(3))
    return ifmap, weight, ofmap


def nest_of(rng: random.Random, size: int, rules: Sequence[SpatialReduction] = RULES) -> tuple[Problem, Mapping]:
    """Any loops in any order (steps need not divide, nor shrink), storage anywhere among them."""
    problem = problem_of(rng, size, rules)
    extents = dict(problem.extents)
    dims = [dim for dim, extent in problem.extents if extent > 1] or [problem.row]
    nodes: list[Node] = []
    for _ in range(rng.randint(0, min(size, 7))):
        dim = rng.choice(dims)
        nodes.append(Loop(dim, rng.randint(1, max(1, extents[dim] - 1))))
    for operand in OPERANDS:
        inner = rng.randint(0, len(nodes))
        nodes.insert(inner, Store(operand, LEVELS[1]))
        nodes.insert(rng.randint(0, inner), Store(operand, LEVELS[0]))
    return problem, Mapping((*nodes, *(Store(operand, "array") for operand in OPERANDS)))
