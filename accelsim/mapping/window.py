"""Which input positions a chunk of outputs sees through a chunk of taps, along one axis of a conv.

Output p and tap r meet at position p stride + r dilation - padding; positions outside 0..size-1 are
padding and hold nothing. Taps that are `stride / gcd(stride, dilation)` apart see the same positions
shifted by a whole number of outputs, so of each tap only the outputs that the tap before it in that
series has not seen are new. A 2-D conv whose loops are not flattened is the product of its two axes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.mapping.arrays import distinct_rows
from accelsim.mapping.nest import TooManyChunks
from accelsim.workload.trace import ConvDims

Ints = NDArray[np.int64]

MAX_WORK = 2**26
"""Pairs of kinds of chunks times taps that are worked out."""


@dataclass(frozen=True)
class Axis:
    """Taps, input size, stride, padding and dilation along one axis."""

    taps: int
    size: int
    stride: int
    padding: int
    dilation: int


def axis_of(conv: ConvDims, axis: int) -> Axis:
    """Axis 0 (rows: p, r, h) or 1 (columns: q, s, w) of a conv."""
    taps, size = ((conv.r, conv.h), (conv.s, conv.w))[axis]
    return Axis(taps, size, conv.stride[axis], conv.padding[axis], conv.dilation[axis])


def meetings(axis: Axis, outputs: int) -> int:
    """Pairs of an output (of the first `outputs`) and a tap that meet at a position inside."""
    pairs = 0
    for tap in range(axis.taps):
        first = tap * axis.dilation - axis.padding
        low = max(0, -(first // axis.stride))
        high = min(outputs - 1, (axis.size - 1 - first) // axis.stride)
        pairs += max(0, high - low + 1)
    return pairs


def distinct_positions(
    axis: Axis, start: Ints, extent: Ints, tap_start: Ints, tap_extent: Ints, widths: tuple[int, int] = (1, 1)
) -> tuple[Ints, Ints, Ints]:
    """Distinct in-bounds positions of every (output chunk, tap chunk) pair.

    Arrays of chunk starts and extents. With `widths` (w, v) a chunk is dealt out to w x v PEs, every
    w-th output and v-th tap to one of them, and what each sees is summed. Returns the kind of each
    output chunk (outputs,), of each tap chunk (taps,), and positions by kind (output kinds, tap kinds).
    Raises TooManyChunks when there are more pairs of kinds than can be worked out.
    """
    kind, tap_kind, values = _lane_positions(axis, start, extent, tap_start, tap_extent, widths)
    return kind, tap_kind, values.sum(axis=(2, 3))


def most_positions(
    axis: Axis, start: Ints, extent: Ints, tap_start: Ints, tap_extent: Ints, widths: tuple[int, int]
) -> int:
    """Most distinct positions that one PE sees of any pair of chunks; arguments as `distinct_positions`."""
    _, _, values = _lane_positions(axis, start, extent, tap_start, tap_extent, widths)
    return int(values.max(initial=0))


def _lane_positions(
    axis: Axis, start: Ints, extent: Ints, tap_start: Ints, tap_extent: Ints, widths: tuple[int, int]
) -> tuple[Ints, Ints, Ints]:
    """As `distinct_positions`, PE by PE: (output kinds, tap kinds, PEs along the outputs, along the taps)."""
    firsts, kind = distinct_rows(_output_columns(axis, start, extent))
    tap_firsts, tap_kind = distinct_rows([tap_start, tap_extent])
    # Axes: output kinds, tap kinds, PEs along the outputs, PEs along the taps.
    lanes, tap_lanes = np.arange(widths[0])[:, None], np.arange(widths[1])
    start, tap_start = start[firsts, None, None, None] + lanes, tap_start[tap_firsts, None, None] + tap_lanes
    extent = -((lanes - extent[firsts, None, None, None]) // widths[0])
    tap_extent = -((tap_lanes - tap_extent[tap_firsts, None, None]) // widths[1])
    pairs, longest = firsts.size * tap_firsts.size, int(tap_extent.max(initial=0))
    if pairs * longest * lanes.size * tap_lanes.size > MAX_WORK:
        raise TooManyChunks(pairs)
    stride, dilation = axis.stride * widths[0], axis.dilation * widths[1]
    period = stride // math.gcd(stride, dilation)
    shift = period * dilation // stride
    begin = start * axis.stride + tap_start * axis.dilation - axis.padding
    values = np.zeros((firsts.size, tap_firsts.size, lanes.size, tap_lanes.size), np.int64)
    for tap in range(longest):
        first = begin + tap * dilation
        unseen = np.maximum(extent - shift, 0) if tap >= period else 0
        low = np.maximum(unseen, -(first // stride))
        high = np.minimum(extent - 1, (axis.size - 1 - first) // stride)
        values += np.where(tap < tap_extent, np.maximum(high - low + 1, 0), 0)
    return kind, tap_kind, values


def _output_columns(axis: Axis, start: Ints, extent: Ints) -> list[Ints]:
    """What tells output chunks apart: their place, unless no tap of theirs meets the padding, and extent."""
    first = start * axis.stride - axis.padding
    last = first + (extent - 1) * axis.stride + (axis.taps - 1) * axis.dilation
    inside = (first >= 0) & (last < axis.size)
    outside = (last < 0) | (first >= axis.size)
    return [np.where(inside, -1, np.where(outside, -2, start)), extent]
