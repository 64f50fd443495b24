"""Which input elements of a conv a (pixel, reduction) tile touches.

Pixels are the flattened (n, p, q); reduction indices the flattened (r, s, c), c fastest. The pixel
(n, p, q) and the tap (r, s, c) meet at input (n, c, p stride + r dilation - padding, ...); positions
in the padding hold no element. Elements are distinct: an input that several pairs share counts once.
"""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.workload.trace import ConvDims

_SIGNATURE = "int64[:, :](int64[:], int64[:], int64[:], int64[:], int64[:], int64)"


def distinct_inputs(
    conv: ConvDims,
    row_start: NDArray[np.int64],
    row_extent: NDArray[np.int64],
    red_start: NDArray[np.int64],
    red_extent: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Distinct in-bounds input elements of one group, for every (row chunk, reduction chunk) pair.

    Arrays of chunk starts and extents in flattened indices; returns shape (rows, reductions).
    """
    if conv.r == conv.s == 1 and conv.padding == (0, 0):
        product: NDArray[np.int64] = np.multiply.outer(row_extent, red_extent)
        return product
    shape = np.array(
        [conv.p, conv.q, conv.s, conv.c, conv.h, conv.w, *conv.stride, *conv.padding, *conv.dilation], dtype=np.int64
    )
    elements = conv.n * conv.c * conv.h * conv.w
    counts: NDArray[np.int64] = _distinct(row_start, row_extent, red_start, red_extent, shape, elements)
    return counts


@no_type_check
@numba.njit(_SIGNATURE, cache=True)
def _distinct(row_start, row_extent, red_start, red_extent, shape, elements):
    p_all, q_all, s_all, c_all, height, width = shape[0], shape[1], shape[2], shape[3], shape[4], shape[5]
    stride_h, stride_w, pad_h, pad_w, dil_h, dil_w = shape[6], shape[7], shape[8], shape[9], shape[10], shape[11]
    seen = np.zeros(elements, np.int64)  # the tile that touched an element last, so no clearing between tiles
    result = np.zeros((row_start.size, red_start.size), np.int64)
    tile = 0
    for i in range(row_start.size):
        for j in range(red_start.size):
            tile += 1
            count = 0
            for red in range(red_start[j], red_start[j] + red_extent[j]):
                tap, c = divmod(red, c_all)
                r, s = divmod(tap, s_all)
                for pixel in range(row_start[i], row_start[i] + row_extent[i]):
                    image_row, q = divmod(pixel, q_all)
                    image, p = divmod(image_row, p_all)
                    y = p * stride_h + r * dil_h - pad_h
                    x = q * stride_w + s * dil_w - pad_w
                    if 0 <= y < height and 0 <= x < width:
                        element = ((image * c_all + c) * height + y) * width + x
                        if seen[element] != tile:
                            seen[element] = tile
                            count += 1
            result[i, j] = count
    return result
