"""Integer matmuls and convs done directly, and the products of each visit of the accumulator in a nest."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from accelsim.mapping.nest import Loop, Mapping
from accelsim.mapping.problem import Problem

Ints = NDArray[np.int64]
Output = tuple[int, ...]


def tensors(problem: Problem, rng: random.Random, largest: int) -> tuple[Ints, Ints, Ints | None]:
    """Random ifmap, weight and bias of a problem, ifmap and weight within +-largest."""
    numbers = np.random.default_rng(rng.getrandbits(32))

    def drawn(shape: tuple[int, ...]) -> Ints:
        return numbers.integers(-largest, largest, shape, endpoint=True)

    conv, extent = problem.conv, dict(problem.extents)
    if conv is None:
        b, k = extent["b"], extent["k"]
        ifmap, weight = drawn((b, extent["g"], extent["m"], k)), drawn((b, k, extent["n"]))
    else:
        ifmap = drawn((conv.n, conv.groups * conv.c, conv.h, conv.w))
        weight = drawn((conv.groups * conv.k, conv.c, conv.r, conv.s))
    bias = numbers.integers(-(2**20), 2**20, problem.bias_values) if problem.bias_values else None
    return ifmap, weight, bias


def direct(problem: Problem, ifmap: Ints, weight: Ints, bias: Ints | None) -> Ints:
    """The op by its definition."""
    conv = problem.conv
    if conv is None:
        result: Ints = np.einsum("bgmk,bkn->bgmn", ifmap, weight)
        return result if bias is None else result + bias
    (top, left), (down, right), (step_y, step_x) = conv.padding, conv.stride, conv.dilation
    padded = np.pad(ifmap, ((0, 0), (0, 0), (top, top), (left, left)))
    result = np.zeros((conv.n, conv.groups * conv.k, conv.p, conv.q), np.int64)
    for group, r, s in itertools.product(range(conv.groups), range(conv.r), range(conv.s)):
        channels = slice(group * conv.c, (group + 1) * conv.c)
        filters = slice(group * conv.k, (group + 1) * conv.k)
        rows = slice(r * step_y, r * step_y + (conv.p - 1) * down + 1, down)
        columns = slice(s * step_x, s * step_x + (conv.q - 1) * right + 1, right)
        seen = padded[:, channels, rows, columns]
        result[:, filters] += np.einsum("ncpq,kc->nkpq", seen, weight[filters, :, r, s])
    return result if bias is None else result + bias.reshape(1, -1, 1, 1)


def tile_products(problem: Problem, mapping: Mapping, ifmap: Ints, weight: Ints) -> dict[Output, list[int]]:
    """Tp_0..Tp_{T-1} of every output, at its place in the output tensor.

    An output's visit of the accumulator ends when the nest turns to other outputs than its tile's.
    """
    found: dict[Output, list[int]] = {}
    held: frozenset[Output] | None = None
    for ranges in _innermost(mapping, dict(problem.extents)):
        products = list(_products(problem, ranges, ifmap, weight))
        tile = frozenset(output for output, _ in products)
        if tile != held:
            for output in tile:
                found.setdefault(output, []).append(0)
            held = tile
        for output, product in products:
            found[output][-1] += product
    return found


def _innermost(mapping: Mapping, extents: dict[str, int]) -> Iterator[dict[str, range]]:
    loops = [node for node in mapping.nodes if isinstance(node, Loop)]

    def inner(depth: int, ranges: dict[str, range]) -> Iterator[dict[str, range]]:
        if depth == len(loops):
            yield ranges
            return
        loop = loops[depth]
        whole = ranges[loop.dim]
        for start in whole[:: loop.step]:
            part = range(start, min(start + loop.step, whole.stop))
            yield from inner(depth + 1, {**ranges, loop.dim: part})

    return inner(0, {dim: range(extent) for dim, extent in extents.items()})


def _products(problem: Problem, ranges: dict[str, range], ifmap: Ints, weight: Ints) -> Iterator[tuple[Output, int]]:
    conv = problem.conv
    if conv is None:
        for b, g, m, k, n in itertools.product(*(ranges[dim] for dim in "bgmkn")):
            yield (b, g, m, n), int(ifmap[b, g, m, k]) * int(weight[b, k, n])
        return
    for group, (image, p, q), column, (r, s, c) in itertools.product(
        ranges["groups"], _pixels(problem, ranges), ranges["k"], _taps(problem, ranges)
    ):
        y = p * conv.stride[0] + r * conv.dilation[0] - conv.padding[0]
        x = q * conv.stride[1] + s * conv.dilation[1] - conv.padding[1]
        value = int(ifmap[image, group * conv.c + c, y, x]) if y in range(conv.h) and x in range(conv.w) else 0
        filter_ = group * conv.k + column
        yield (image, filter_, p, q), value * int(weight[filter_, c, r, s])


def _pixels(problem: Problem, ranges: dict[str, range]) -> list[tuple[int, ...]]:
    conv = problem.conv
    assert conv is not None
    if "pq" not in ranges:
        return list(itertools.product(*(ranges[dim] for dim in "npq")))
    return [(at // (conv.p * conv.q), at // conv.q % conv.p, at % conv.q) for at in ranges["pq"]]


def _taps(problem: Problem, ranges: dict[str, range]) -> list[tuple[int, ...]]:
    conv = problem.conv
    assert conv is not None
    if "rsc" in ranges:
        return [(at // (conv.s * conv.c), at // conv.c % conv.s, at % conv.c) for at in ranges["rsc"]]
    if "rs" in ranges:
        return [(at // conv.s, at % conv.s, c) for at in ranges["rs"] for c in ranges["c"]]
    return list(itertools.product(*(ranges[dim] for dim in "rsc")))
