"""A loop nest walked step by step: what every storage position would be asked, all positions at once.

`walk` iterates the loops with real index ranges. At each depth (after 0, 1, 2, ... loops) and for each
operand it compares the range of every dim that selects the operand's elements with what stood there
a step ago; where one changed, the old tile leaves and a new one arrives. Obvious on purpose, compiled
only for speed, and without any code of `accelsim.mapping`.
"""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np

DIMS = ("b", "g", "m", "k", "n")
RELEVANT = np.array([[1, 1, 1, 1, 0], [1, 0, 0, 1, 1], [1, 1, 1, 0, 1]], np.bool_)
"""Dims that select an element of the input, the weight and the output."""
MAX_LOOPS = 10
OUTPUT = 2
NO_WINDOWS = np.zeros((0, 6), np.int64)

COUNTS = np.dtype(
    [(name, np.int64, (3, MAX_LOOPS + 1)) for name in ("words", "psum_words", "moved_bits", "largest", "least")]
    + [
        (name, np.int64, (MAX_LOOPS + 1,))
        for name in ("entries", "most_visits", "up_words", "down_words", "crossed_bits")
    ]
    + [("requantised", np.int64), ("dequantised", np.int64)]
)
"""By operand and position. `words` and `moved_bits`: inputs at every arrival, outputs once finished.
`psum_words`: an output's arrivals but the first, a psum each; `up_words`, `down_words` the same for what a memory
at the position sends and takes back, `crossed_bits` both in whole bursts. `least`: values of the smallest tile."""

FORMAT = np.dtype(
    [
        ("bits", np.int64, (3,)),
        ("psum_bits", np.int64),
        ("word_bits", np.int64, (3,)),
        ("burst_bits", np.int64),
    ]
)
"""Bits of a value of each operand, of a psum, of each buffer's word and of a DRAM burst."""


@no_type_check
@numba.njit(cache=True)
def words(values, bits, word_bits):
    """Port words: values never straddle two words, but one wider than a word takes several of its own."""
    if bits > word_bits:
        return values * ((bits + word_bits - 1) // word_bits)
    per_word = word_bits // bits
    return (values + per_word - 1) // per_word


@no_type_check
@numba.njit(cache=True)
def bursts(bits, burst_bits):
    """Bits in whole bursts."""
    return (bits + burst_bits - 1) // burst_bits * burst_bits


@no_type_check
@numba.njit(cache=True)
def walk(extents, loop_dim, loop_step, loops, form, relevant, windows, out):
    """Fill the record `out` with the counts of a nest of `loops` loops, outermost first.

    `windows` (axes, 6): the output and tap dims of each axis of a conv, stride, dilation, padding, size.
    """
    _clear(out)
    dims = extents.size
    low = np.zeros((MAX_LOOPS + 1, dims), np.int64)
    high = np.zeros((MAX_LOOPS + 1, dims), np.int64)
    held_low = np.full((3, MAX_LOOPS + 1, dims), -1, np.int64)
    held_high = np.full((3, MAX_LOOPS + 1, dims), -1, np.int64)
    outputs = 1
    for d in range(dims):
        if relevant[OUTPUT, d]:
            outputs *= extents[d]
    arrivals = np.zeros((MAX_LOOPS + 1, outputs), np.int64)
    tile_values = np.zeros(outputs, np.int64)
    for d in range(dims):
        low[0, d], high[0, d] = 0, extents[d]
    start = np.zeros(MAX_LOOPS + 1, np.int64)
    _arrive(
        0, loops, low[0], high[0], held_low, held_high, extents, form, relevant, windows, arrivals, tile_values, out
    )
    depth = 1
    while 1 <= depth <= loops:
        d = loop_dim[depth - 1]
        if start[depth] >= high[depth - 1, d]:
            depth -= 1
            if depth >= 1:
                start[depth] += loop_step[depth - 1]
            continue
        for e in range(dims):
            low[depth, e], high[depth, e] = low[depth - 1, e], high[depth - 1, e]
        low[depth, d] = start[depth]
        high[depth, d] = min(start[depth] + loop_step[depth - 1], high[depth - 1, d])
        _arrive(
            depth, loops, low[depth], high[depth], held_low, held_high, extents, form, relevant, windows, arrivals,
            tile_values, out,
        )  # fmt: skip
        if depth < loops:
            depth += 1
            start[depth] = low[depth - 1, loop_dim[depth - 1]]
        else:
            start[depth] += loop_step[depth - 1]
    for at in range(outputs):
        for p in range(loops + 1):
            out.most_visits[p] = max(out.most_visits[p], arrivals[p, at])
        if arrivals[loops, at] > 1:  # left the accumulator unfinished at least once
            out.requantised += tile_values[at] * arrivals[loops, at]
            out.dequantised += tile_values[at] * (arrivals[loops, at] - 1)


@no_type_check
@numba.njit(cache=True)
def _clear(out):
    for p in range(MAX_LOOPS + 1):
        out.entries[p], out.most_visits[p] = 0, 0
        out.up_words[p], out.down_words[p], out.crossed_bits[p] = 0, 0, 0
        for x in range(3):
            out.words[x, p], out.psum_words[x, p], out.moved_bits[x, p] = 0, 0, 0
            out.largest[x, p], out.least[x, p] = 0, 2**60
    out.requantised, out.dequantised = 0, 0


@no_type_check
@numba.njit(cache=True)
def _values(x, low, high, relevant, windows):
    """Elements of a tile. Those of an input under a window are seen by outputs and taps together."""
    values = np.int64(1)
    for d in range(low.size):
        apart = relevant[x, d]
        for a in range(windows.shape[0] if x == 0 else 0):
            apart = apart and d != windows[a, 0] and d != windows[a, 1]
        if apart:
            values *= high[d] - low[d]
    for a in range(windows.shape[0] if x == 0 else 0):
        row, tap, stride, dilation, padding, size = windows[a]
        seen = np.zeros(size, np.bool_)
        for p in range(low[row], high[row]):
            for r in range(low[tap], high[tap]):
                at = p * stride + r * dilation - padding
                if 0 <= at < size:
                    seen[at] = True
        values *= seen.sum()
    return values


@no_type_check
@numba.njit(cache=True)
def _arrive(depth, loops, low, high, held_low, held_high, extents, form, relevant, windows, arrivals, tile_values, out):
    """The walk enters what is below `depth` loops with the ranges low..high."""
    out.entries[depth] += 1
    for x in range(3):
        same = True
        for d in range(extents.size):
            if relevant[x, d]:
                same = same and held_low[x, depth, d] == low[d] and held_high[x, depth, d] == high[d]
                held_low[x, depth, d], held_high[x, depth, d] = low[d], high[d]
        if same:
            continue
        values = _values(x, low, high, relevant, windows)
        out.largest[x, depth] = max(out.largest[x, depth], values)
        out.least[x, depth] = min(out.least[x, depth], values)
        if x == OUTPUT:
            at = 0
            for d in range(extents.size):
                if relevant[x, d]:
                    at = at * extents[d] + low[d]
            if depth == loops:
                tile_values[at] = values
            arrivals[depth, at] += 1
            if arrivals[depth, at] > 1:
                psum_words = words(values, form.psum_bits, form.word_bits[x])
                out.psum_words[x, depth] += psum_words
                out.up_words[depth] += psum_words
                out.down_words[depth] += psum_words
                out.crossed_bits[depth] += 2 * bursts(values * form.psum_bits, form.burst_bits)
                continue
        out.words[x, depth] += words(values, form.bits[x], form.word_bits[x])
        out.moved_bits[x, depth] += bursts(values * form.bits[x], form.burst_bits)
