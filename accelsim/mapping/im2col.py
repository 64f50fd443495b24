"""Which input elements of a conv a (pixel, reduction) tile touches.

Pixels are the flattened (n, p, q); reduction indices the flattened (r, s, c), c fastest. The pixel
(n, p, q) and the tap (r, s, c) meet at input (n, c, p stride + r dilation - padding, ...); positions
in the padding hold no element. Elements are distinct: an input that several pairs share counts once.

Chunks alike hold equally many: a reduction chunk is a few groups of channels with one range of taps
each, and a pixel chunk away from the padding holds what its neighbours hold. So only one chunk of
each kind is walked, tap by tap, whatever the size of the conv.
"""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.mapping.arrays import distinct_rows
from accelsim.mapping.nest import TooManyChunks
from accelsim.workload.trace import ConvDims

Ints = NDArray[np.int64]

MAX_PAIRS = 2**20


def distinct_inputs(
    conv: ConvDims, row_start: Ints, row_extent: Ints, red_start: Ints, red_extent: Ints
) -> tuple[Ints, Ints, Ints]:
    """Distinct in-bounds input elements of one group, for every (row chunk, reduction chunk) pair.

    Arrays of chunk starts and extents in flattened indices. Returns the kind of each row chunk (rows,),
    of each reduction chunk (reductions,), and elements by kind (row kinds, reduction kinds). Raises
    TooManyChunks when there are more pairs of kinds than can be walked.
    """
    row_kinds, row_kind = distinct_rows(_row_columns(conv, row_start, row_extent))
    red_kinds, red_kind = distinct_rows(_red_columns(conv, red_start, red_extent))
    begins, ends, channels = _tap_ranges(conv, red_start[red_kinds], red_extent[red_kinds])
    ranges, which = distinct_rows([begins.ravel(), ends.ravel()])
    if ranges.size * row_kinds.size > MAX_PAIRS:
        raise TooManyChunks(ranges.size * row_kinds.size)
    shape = (conv.p, conv.q, conv.r, conv.s, conv.h, conv.w, *conv.stride, *conv.padding, *conv.dilation)
    touched = _touched_by(
        row_start[row_kinds], row_extent[row_kinds], begins.ravel()[ranges], ends.ravel()[ranges],
        np.array(shape, dtype=np.int64),
    )  # fmt: skip
    values: Ints = (touched[:, which.reshape(begins.shape)] * channels).sum(axis=2)
    return row_kind, red_kind, values


def _row_columns(conv: ConvDims, start: Ints, extent: Ints) -> list[Ints]:
    """What tells pixel chunks apart: place in the image, unless it is away from the padding, and extent."""
    (stride_h, stride_w), (pad_h, pad_w), (dil_h, dil_w) = conv.stride, conv.padding, conv.dilation
    inside = start % (conv.p * conv.q)
    last = inside + extent - 1
    one_image = last < conv.p * conv.q
    top, bottom, left = inside // conv.q, last // conv.q, inside % conv.q
    lowest = bottom * stride_h + (conv.r - 1) * dil_h - pad_h
    inner_y = one_image & (top * stride_h >= pad_h) & (lowest < conv.h)
    rightmost = (left + extent - 1) * stride_w + (conv.s - 1) * dil_w - pad_w
    inner_x = one_image & (top == bottom) & (left * stride_w >= pad_w) & (rightmost < conv.w)
    padding = one_image & ((lowest < 0) | (top * stride_h - pad_h >= conv.h))
    row = np.where(inner_y, -1, np.where(padding, -2, top))
    return [row, np.where(inner_x | padding, -1, left), extent]


def _red_columns(conv: ConvDims, start: Ints, extent: Ints) -> list[Ints]:
    """What tells reduction chunks apart: their taps, and where in the channels they begin and end."""
    last = start + extent - 1
    first_tap, last_tap = start // conv.c, last // conv.c
    one_tap = first_tap == last_tap
    return [first_tap, last_tap, np.where(one_tap, extent, start % conv.c), np.where(one_tap, 0, last % conv.c)]


def _tap_ranges(conv: ConvDims, start: Ints, extent: Ints) -> tuple[Ints, Ints, Ints]:
    """The up to three groups of channels of a reduction chunk: first and last tap, and channels (n, 3).

    Channels below, between and above the chunk's two ends; an empty group has no channels.
    """
    last = start + extent - 1
    (first_tap, first_c), (last_tap, last_c) = np.divmod(start, conv.c), np.divmod(last, conv.c)
    low, high = np.minimum(first_c, last_c + 1), np.maximum(first_c, last_c + 1)
    overlap = first_c <= last_c
    begins = np.stack([first_tap + 1, np.where(overlap, first_tap, first_tap + 1), first_tap], axis=1)
    ends = np.stack([last_tap, np.where(overlap, last_tap, last_tap - 1), last_tap - 1], axis=1)
    channels = np.stack([low, high - low, conv.c - high], axis=1)
    channels = np.where(begins <= ends, channels, 0)
    return np.where(channels > 0, begins, 0), np.where(channels > 0, ends, 0), channels


@no_type_check
@numba.njit("int64(int64, int64, int64, int64, int64[:])", cache=True)
def _touched(first_pixel, end_pixel, first_tap, last_tap, shape):
    """Distinct inputs of one channel of one image under some pixels and taps, both in raster order.

    A raster range is a first row, whole rows and a last row. So an input row sees at most nine sets of
    columns, one for each pair of kinds of pixel row and tap row: note which, then unite those.
    """
    columns, kernel_columns, height, width = shape[1], shape[3], shape[4], shape[5]
    top, left = divmod(first_pixel, columns)
    bottom, right = divmod(end_pixel - 1, columns)
    r_first, s_first = divmod(first_tap, kernel_columns)
    r_last, s_last = divmod(last_tap, kernel_columns)
    lowest = max(np.int64(0), top * shape[6] + r_first * shape[10] - shape[8])
    rows = min(height, bottom * shape[6] + r_last * shape[10] - shape[8] + 1) - lowest
    if rows <= 0:
        return np.int64(0)
    sees = np.zeros(rows, np.int64)
    used = np.int64(0)
    for p in range(top, bottom + 1):
        p_kind = (1 if p == top else 0) + (2 if p == bottom else 0)
        for r in range(r_first, r_last + 1):
            y = p * shape[6] + r * shape[10] - shape[8]
            if lowest <= y < lowest + rows:
                r_kind = (1 if r == r_first else 0) + (2 if r == r_last else 0)
                sees[y - lowest] |= 1 << (4 * p_kind + r_kind)
                used |= 1 << (4 * p_kind + r_kind)
    seen = np.zeros((16, width), np.bool_)
    for pair in range(16):
        if not (used >> pair) & 1:
            continue
        q_from, q_to = (left if pair & 4 else 0), (right if pair & 8 else columns - 1)
        s_from, s_to = (s_first if pair & 1 else 0), (s_last if pair & 2 else kernel_columns - 1)
        for s in range(s_from, s_to + 1):
            for q in range(q_from, q_to + 1):
                x = q * shape[7] + s * shape[11] - shape[9]
                if 0 <= x < width:
                    seen[pair, x] = True
    known_for, known = np.int64(-1), np.int64(0)
    count = np.int64(0)
    for y in range(rows):
        if sees[y] == 0:
            continue
        if sees[y] != known_for:  # neighbours see the same, so remembering one is enough
            known_for, known = sees[y], np.int64(0)
            for x in range(width):
                for pair in range(16):
                    if (known_for >> pair) & 1 and seen[pair, x]:
                        known += 1
                        break
        count += known
    return count


@no_type_check
@numba.njit("int64[:, :](int64[:], int64[:], int64[:], int64[:], int64[:])", cache=True)
def _touched_by(row_start, row_extent, begins, ends, shape):
    """Distinct inputs of one channel for every (pixel chunk, tap range), image by image."""
    pixels = shape[0] * shape[1]
    result = np.zeros((row_start.size, begins.size), np.int64)
    for j in range(begins.size):
        whole = np.int64(-1)
        for i in range(row_start.size):
            at, end = row_start[i], row_start[i] + row_extent[i]
            while at < end:
                a = at % pixels
                b = min(pixels, a + end - at)
                if a == 0 and b == pixels:
                    if whole < 0:
                        whole = _touched(a, b, begins[j], ends[j], shape)
                    images = (end - at) // pixels
                    result[i, j] += images * whole
                    at += images * pixels
                else:
                    result[i, j] += _touched(a, b, begins[j], ends[j], shape)
                    at += b - a
    return result
