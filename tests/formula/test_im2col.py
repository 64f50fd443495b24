"""Distinct conv inputs of (pixel, reduction) tiles against sets built element by element."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.mapping.im2col import distinct_inputs
from accelsim.mapping.problem import conv_problem
from accelsim.schemes import PsumScheme
from accelsim.validate.walk import conv_inputs
from accelsim.workload.trace import ConvDims

Chunk = tuple[int, int]  # start, extent


def _counted(conv: ConvDims, rows: list[Chunk], reductions: list[Chunk]) -> list[list[int]]:
    row, red = (np.array(chunks, dtype=np.int64) for chunks in (rows, reductions))
    row_kind, red_kind, values = distinct_inputs(conv, row[:, 0], row[:, 1], red[:, 0], red[:, 1])
    return [[int(count) for count in line] for line in values[np.ix_(row_kind, red_kind)]]


def _by_sets(conv: ConvDims, rows: list[Chunk], reductions: list[Chunk]) -> list[list[int]]:
    problem = conv_problem(conv, 8, 8, 8, PsumScheme(32), "flatten_crs")

    def size(row: Chunk, red: Chunk) -> int:
        ranges = {"groups": (0, 1), "pq": (row[0], sum(row)), "rsc": (red[0], sum(red))}
        return len(set(conv_inputs(problem, ranges)))

    return [[size(row, red) for red in reductions] for row in rows]


def _cuts(draw: st.DrawFn, extent: int) -> list[Chunk]:
    """The whole of 0..extent-1 cut at random places, then some overlapping pieces in no order."""
    inner = draw(st.lists(st.integers(1, max(1, extent - 1)), max_size=3))
    edges = sorted({0, extent, *(cut for cut in inner if cut < extent)})
    pieces = [(low, high - low) for low, high in itertools.pairwise(edges)]
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, extent - 1))
        pieces.append((start, draw(st.integers(1, extent - start))))
    return pieces


@st.composite
def _cases(draw: st.DrawFn) -> tuple[ConvDims, list[Chunk], list[Chunk]]:
    def pair(low: int, high: int) -> tuple[int, int]:
        return draw(st.integers(low, high)), draw(st.integers(low, high))

    (r, s), stride, padding, dilation = pair(1, 3), pair(1, 3), pair(0, 2), pair(1, 2)
    h, w = (
        max(1, dil * (taps - 1) + 1 - 2 * pad) + draw(st.integers(0, 5))
        for dil, taps, pad in zip(dilation, (r, s), padding, strict=True)
    )
    n, c = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    conv = ConvDims(n, 1, c, 1, h, w, r, s, stride, padding, dilation)
    return conv, _cuts(draw, n * conv.p * conv.q), _cuts(draw, r * s * c)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(_cases())
def test_distinct_inputs_equal_element_sets(case: tuple[ConvDims, list[Chunk], list[Chunk]]) -> None:
    assert _counted(*case) == _by_sets(*case)


@pytest.mark.parametrize(
    ("conv", "rows", "reductions", "expected"),
    [
        # 1-D, 3 taps, stride 1 on 6 inputs: 4 outputs; two outputs see 4 inputs, all four see 6.
        (ConvDims(1, 1, 1, 1, 1, 6, 1, 3), [(0, 2), (2, 2), (0, 4)], [(0, 3)], [[4], [4], [6]]),
        # The same with a stride of 3: nothing is shared.
        (ConvDims(1, 1, 1, 1, 1, 6, 1, 3, stride=(1, 3)), [(0, 2)], [(0, 3), (0, 1)], [[6, 2]]),
        # A dilation of 2 skips inputs: one output sees 0, 2, 4; two see 0..5.
        (ConvDims(1, 1, 1, 1, 1, 6, 1, 3, dilation=(1, 2)), [(0, 1), (0, 2)], [(0, 3)], [[3], [6]]),
        # Padding holds nothing: the first output of a padded row sees two inputs, its first tap none.
        (ConvDims(1, 1, 1, 1, 1, 6, 1, 3, padding=(0, 1)), [(0, 1)], [(0, 3), (0, 1)], [[2, 0]]),
        # A 1 x 1 conv reads pixels x channels, whatever its stride.
        (ConvDims(2, 1, 3, 1, 4, 4, 1, 1, stride=(2, 2)), [(0, 5), (5, 3)], [(0, 2), (2, 1)], [[10, 5], [6, 3]]),
        # A tile that ends one row of pixels and begins the next: 3 x 3 on 4 x 4 gives 2 x 2 outputs.
        (ConvDims(1, 1, 1, 1, 4, 4, 3, 3), [(0, 2), (1, 2), (0, 4)], [(0, 9)], [[12], [14], [16]]),
    ],
)
def test_hand_counted(conv: ConvDims, rows: list[Chunk], reductions: list[Chunk], expected: list[list[int]]) -> None:
    assert _counted(conv, rows, reductions) == expected
    assert _by_sets(conv, rows, reductions) == expected
