"""Positions along one axis of a conv, and tilings of nested convs, against sets of elements."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings

from accelsim.mapping.count import tiling
from accelsim.mapping.nest import Loop, Mapping, TooManyChunks, chunks
from accelsim.mapping.problem import conv_problem
from accelsim.mapping.window import Axis, distinct_positions
from accelsim.schemes import PsumScheme
from accelsim.workload.trace import ConvDims
from tests.reference.cases import drawn

Case = tuple[Axis, list[tuple[int, int]], list[tuple[int, int]]]


def _pieces(rng: random.Random, extent: int) -> list[tuple[int, int]]:
    """Some (start, extent) of 0..extent-1, overlapping and in no order."""
    starts = [rng.randrange(extent) for _ in range(rng.randint(1, 6))]
    return [(start, rng.randint(1, extent - start)) for start in starts]


def _axis_case(rng: random.Random, size: int) -> Case:
    taps, stride, dilation = rng.randint(1, 7), rng.randint(1, 6), rng.randint(1, 6)
    axis = Axis(taps, rng.randint(1, 4 * size), stride, rng.randint(0, 9), dilation)
    return axis, _pieces(rng, size), _pieces(rng, taps)


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(drawn(_axis_case))
def test_distinct_positions_equal_sets(case: Case) -> None:
    axis, outputs, taps = case
    (start, extent), (tap_start, tap_extent) = (np.array(pieces, np.int64).T for pieces in (outputs, taps))
    kind, tap_kind, values = distinct_positions(axis, start, extent, tap_start, tap_extent)
    for at, (p_from, p_count) in enumerate(outputs):
        for tap_at, (r_from, r_count) in enumerate(taps):
            seen = {
                p * axis.stride + r * axis.dilation - axis.padding
                for p in range(p_from, p_from + p_count)
                for r in range(r_from, r_from + r_count)
            }
            assert values[kind[at], tap_kind[tap_at]] == len(seen & set(range(axis.size)))


def test_chunks_away_from_the_padding_are_one_kind() -> None:
    axis = Axis(3, 224, 1, 1, 1)
    parts = chunks(224, "p", [Loop("p", 4)])
    kind, _, _ = distinct_positions(axis, parts.start, parts.extent, np.array([0]), np.array([3]))
    assert len(set(kind.tolist())) == 3  # the first, the last, all others


def test_a_window_too_large_to_work_out_is_refused() -> None:
    ones = np.ones(2**14, np.int64)
    with pytest.raises(TooManyChunks):
        distinct_positions(Axis(2**14, 2**14, 1, 2**13, 1), np.arange(2**14), ones, np.arange(2**14), ones)


@pytest.mark.parametrize(
    ("p", "r", "stride", "values"),
    [
        (4, 3, 1, 6 * 5),  # 4 output rows of 3 taps see 4 + 3 - 1 input rows of 5 columns
        (4, 1, 1, 4 * 5),
        (2, 3, 2, 5 * 5),  # rows 0..2 and 2..4
        (2, 1, 2, 2 * 5),
    ],
)
def test_hand_counted(p: int, r: int, stride: int, values: int) -> None:
    """A tile of p output rows and r taps, whole columns of a 1 x 3 x 5 x 5 conv; an axis at a time."""
    conv = ConvDims(1, 1, 1, 1, 9, 5, 3, 1, (stride, 1))
    problem = conv_problem(conv, 8, 8, 8, PsumScheme(32), "nested")
    tiles = tiling(problem, "ifmap", Mapping((Loop("p", p), Loop("r", r))).loops)
    assert tiles.largest == values
