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
from accelsim.workload.trace import ConvDims

Ints = NDArray[np.int64]


def distinct_inputs(
    conv: ConvDims, row_start: Ints, row_extent: Ints, red_start: Ints, red_extent: Ints
) -> tuple[Ints, Ints, Ints]:
    """Distinct in-bounds input elements of one group, for every (row chunk, reduction chunk) pair.

    Arrays of chunk starts and extents in flattened indices. Returns the kind of each row chunk (rows,),
    of each reduction chunk (reductions,), and elements by kind (row kinds, reduction kinds).
    """
    row_kinds, row_kind = distinct_rows(_row_columns(conv, row_start, row_extent))
    red_kinds, red_kind = distinct_rows(_red_columns(conv, red_start, red_extent))
    shape = (conv.p, conv.q, conv.r, conv.s, conv.c, conv.h, conv.w, *conv.stride, *conv.padding, *conv.dilation)
    values: Ints = _by_kind(
        row_start[row_kinds], row_extent[row_kinds], red_start[red_kinds], red_extent[red_kinds],
        np.array(shape, dtype=np.int64),
    )  # fmt: skip
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
    return [np.where(inner_y, -1, top), np.where(inner_x, -1, left), extent]


def _red_columns(conv: ConvDims, start: Ints, extent: Ints) -> list[Ints]:
    """What tells reduction chunks apart: their taps, and where in the channels they begin and end."""
    last = start + extent - 1
    first_tap, last_tap = start // conv.c, last // conv.c
    one_tap = first_tap == last_tap
    return [first_tap, last_tap, np.where(one_tap, extent, start % conv.c), np.where(one_tap, 0, last % conv.c)]


@no_type_check
@numba.njit("int64(int64, int64, int64, int64, int64[:], int64[:], int64)", cache=True)
def _touched(first_pixel, end_pixel, first_tap, last_tap, shape, seen, stamp):
    """Distinct inputs of one channel of one image under some pixels and taps, both in raster order."""
    columns, kernel_columns, height, width = shape[1], shape[3], shape[5], shape[6]
    count = 0
    for tap in range(first_tap, last_tap + 1):
        r, s = divmod(tap, kernel_columns)
        for pixel in range(first_pixel, end_pixel):
            p, q = divmod(pixel, columns)
            y = p * shape[7] + r * shape[11] - shape[9]
            x = q * shape[8] + s * shape[12] - shape[10]
            if 0 <= y < height and 0 <= x < width and seen[y * width + x] != stamp:
                seen[y * width + x] = stamp
                count += 1
    return count


@no_type_check
@numba.njit("int64[:, :](int64[:], int64[:], int64[:], int64[:], int64[:])", cache=True)
def _by_kind(row_start, row_extent, red_start, red_extent, shape):
    taps, channels, pixels = shape[2] * shape[3], shape[4], shape[0] * shape[1]
    seen = np.zeros(shape[5] * shape[6], np.int64)  # the walk that touched an input last: no clearing between
    whole = np.full((taps, taps), -1, np.int64)  # distinct inputs of all pixels of an image, by tap range
    result = np.zeros((row_start.size, red_start.size), np.int64)
    stamp = 0
    for i in range(row_start.size):
        known = np.full((taps, taps), -1, np.int64)  # of this row chunk, by tap range
        for j in range(red_start.size):
            last = red_start[j] + red_extent[j] - 1
            first_tap, first_c = divmod(red_start[j], channels)
            last_tap, last_c = divmod(last, channels)
            for group in range(3):  # channels below, between and above the chunk's two ends
                low, high = min(first_c, last_c + 1), max(first_c, last_c + 1)
                count = low if group == 0 else (high - low if group == 1 else channels - high)
                begins = first_tap if group == 2 or (group == 1 and first_c <= last_c) else first_tap + 1
                ends = last_tap if group == 0 or (group == 1 and first_c <= last_c) else last_tap - 1
                if count == 0 or begins > ends:
                    continue
                if known[begins, ends] < 0:
                    known[begins, ends] = 0
                    at, end = row_start[i], row_start[i] + row_extent[i]
                    while at < end:  # image by image
                        a = at % pixels
                        b = min(pixels, a + end - at)
                        all_of_it = a == 0 and b == pixels
                        touched = whole[begins, ends]
                        images = (end - at) // pixels if all_of_it else 1
                        if not all_of_it or touched < 0:
                            stamp += 1
                            touched = _touched(a, b, begins, ends, shape, seen, stamp)
                            if all_of_it:
                                whole[begins, ends] = touched
                        known[begins, ends] += images * touched
                        at += images * pixels if all_of_it else b - a
                result[i, j] += count * known[begins, ends]
    return result
