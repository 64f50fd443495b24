"""The APSQ recursion over all steps in one pass, and its gradient, in blocks of outputs that stay in the cache.

Integers live in float32 or float64, whichever holds every sum exactly; the caller sees to that. Then
neither the order of a tile's products nor fused multiply-adds change a result. Notation and recursion
are those of `algos.apsq`.

A block is ROWS x COLUMNS outputs. A tile's part of `right` is packed for it, zeros filling its last
columns and the last of its eights of products: the inner loops are long, whole in vectors, and index
plainly, which is what LLVM needs to make vector code of them.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

COLUMNS, ROWS, GRADIENT_ROWS = 256, 64, 32
VECTOR = 16
TINY = 1e-30
"""Smaller gradients count as 0: their products are denormal numbers, which take a processor ten times as long."""
SUMS = {"reassoc", "contract", "nsz"}


@numba.njit(cache=True, nogil=True, fastmath=SUMS)
def apsq_sums(left: Floats, right: Floats, alphas: Floats, tile: int, group: int, qmax: int) -> Floats:
    """left (b, m, k) x right (b, k, n) -> (b, m, n), requantised after each of the `alphas.size` > 1 tiles."""
    m, n = left.shape[1], right.shape[2]
    out = np.empty((left.shape[0], m, n), left.dtype)
    columns = min(COLUMNS, -(-n // VECTOR) * VECTOR)
    packed, held = np.zeros((-(-tile // 8) * 8, columns), left.dtype), np.empty((ROWS, columns), left.dtype)
    errors = np.zeros((0, ROWS, columns), left.dtype)
    for b in range(left.shape[0]):
        for column in range(0, n, columns):
            width = min(columns, n - column)
            for row in range(0, m, ROWS):
                rows = min(ROWS, m - row)
                _run(left[b, row : row + rows], right[b], column, alphas, tile, group, qmax, packed, held, errors)
                out[b, row : row + rows, column : column + width] = held[:rows, :width]
    return out


@numba.njit(cache=True, nogil=True, fastmath=SUMS)
def apsq_gradients(
    left: Floats, right: Floats, alphas: Floats, tile: int, group: int, qmax: int, gradient: Floats
) -> tuple[Floats, Floats, Floats]:
    """The straight-through gradients of left, of right, and of every alpha, given that of the sums.

    With D_n the gradient of what step n stores, going backwards from D_{T-1} = `gradient`: t_n gets D_n
    where q_n was not clamped, else 0; alpha_n gets D_n (q_n - t_n / alpha_n), or D_n q_n where clamped
    (LSQ, arXiv 1902.08153, equation 3). Before an additive step n, D is the gradient of t_n.
    """
    m, n, kind = left.shape[1], right.shape[2], left.dtype
    none, least = kind.type(0), kind.type(TINY)
    of_left, of_right, of_alphas = np.zeros_like(left), np.zeros_like(right), np.zeros(alphas.size)
    columns = min(COLUMNS, -(-n // VECTOR) * VECTOR)
    packed, held = np.zeros((-(-tile // 8) * 8, columns), kind), np.empty((GRADIENT_ROWS, columns), kind)
    errors = np.empty((alphas.size, GRADIENT_ROWS, columns), kind)
    stored = np.empty((GRADIENT_ROWS, columns), kind)
    for b in range(left.shape[0]):
        for column in range(0, n, columns):
            width = min(columns, n - column)
            for row in range(0, m, GRADIENT_ROWS):
                rows = min(GRADIENT_ROWS, m - row)
                own, its = left[b, row : row + rows], of_left[b, row : row + rows]
                _run(own, right[b], column, alphas, tile, group, qmax, packed, held, errors)
                for i in range(rows):
                    for j in range(columns):
                        value = gradient[b, row + i, column + j] if j < width else none
                        stored[i, j] = value if abs(value) >= least else none
                _return(own, right[b], column, tile, group, packed, errors, stored, its, of_right[b], of_alphas)
    return of_left, of_right, of_alphas


@numba.njit(cache=True, nogil=True, fastmath=SUMS)
def _run(
    left: Floats, right: Floats, column: int, alphas: Floats, tile: int, group: int, qmax: int,
    packed: Floats, held: Floats, errors: Floats,
) -> None:  # fmt: skip
    """All steps of a block of rows: `held` is what stands for the sums at the end.

    `errors`, unless it is empty, gets alpha_n dq_n/dalpha_n of every step: q - t / alpha, at most a half,
    or q, at least 1, where it was clamped.
    """
    kind = left.dtype.type
    half, limit, none, all_of_it = kind(0.5), kind(qmax), kind(0), kind(1)
    columns = held.shape[1]
    totals, factors = np.empty((2, columns), left.dtype), np.zeros((2, packed.shape[0]), left.dtype)
    held[:] = 0
    for step in range(alphas.size):
        additive = step % group == 0 or step == alphas.size - 1
        added, kept = (all_of_it, none) if additive else (none, all_of_it)
        alpha, inverse = alphas[step], all_of_it / alphas[step]
        first, last = step * tile, min((step + 1) * tile, left.shape[1])
        _pack(right, first, last, column, packed)
        factors[:] = 0
        for i in range(0, left.shape[0], 2):  # two rows share what is loaded of packed
            for k in range(last - first):
                factors[0, k] = left[i, first + k]
                factors[1, k] = left[i + 1, first + k] if i + 1 < left.shape[0] else none
            for j in range(columns):
                totals[0, j] = held[i, j] * added
                totals[1, j] = held[i + 1, j] * added
            for e in range(0, packed.shape[0], 8):
                a0, a1, a2, a3 = factors[0, e], factors[0, e + 1], factors[0, e + 2], factors[0, e + 3]
                a4, a5, a6, a7 = factors[0, e + 4], factors[0, e + 5], factors[0, e + 6], factors[0, e + 7]
                b0, b1, b2, b3 = factors[1, e], factors[1, e + 1], factors[1, e + 2], factors[1, e + 3]
                b4, b5, b6, b7 = factors[1, e + 4], factors[1, e + 5], factors[1, e + 6], factors[1, e + 7]
                for j in range(columns):
                    w0, w1, w2, w3 = packed[e, j], packed[e + 1, j], packed[e + 2, j], packed[e + 3, j]
                    w4, w5, w6, w7 = packed[e + 4, j], packed[e + 5, j], packed[e + 6, j], packed[e + 7, j]
                    totals[0, j] += (a0 * w0 + a1 * w1 + a2 * w2 + a3 * w3) + (a4 * w4 + a5 * w5 + a6 * w6 + a7 * w7)
                    totals[1, j] += (b0 * w0 + b1 * w1 + b2 * w2 + b3 * w3) + (b4 * w4 + b5 * w5 + b6 * w6 + b7 * w7)
            for r in range(2):
                for j in range(columns):
                    q = min(max(np.floor(totals[r, j] * inverse + half), -limit), limit)
                    held[i + r, j] = held[i + r, j] * kept + alpha * q
                if errors.size:
                    for j in range(columns):
                        exact = totals[r, j] * inverse
                        q = min(max(np.floor(exact + half), -limit), limit)
                        errors[step, i + r, j] = q - (exact if abs(exact) <= limit else none)


@numba.njit(cache=True, nogil=True, fastmath=SUMS)
def _return(
    left: Floats, right: Floats, column: int, tile: int, group: int, packed: Floats, errors: Floats, stored: Floats,
    of_left: Floats, of_right: Floats, of_alphas: Floats,
) -> None:  # fmt: skip
    """The steps of a block backwards; `stored` holds D_{T-1} and then every D_n."""
    half, none, steps = left.dtype.type(0.5), left.dtype.type(0), errors.shape[0]
    columns = packed.shape[1]
    width = min(columns, right.shape[1] - column)
    total, down = np.empty(columns, left.dtype), np.empty_like(packed)
    for step in range(steps - 1, -1, -1):
        additive = step % group == 0 or step == steps - 1
        first, last = step * tile, min((step + 1) * tile, left.shape[1])
        _pack(right, first, last, column, packed)
        down[:] = 0
        for i in range(left.shape[0]):
            share = none
            for j in range(columns):
                share += stored[i, j] * errors[step, i, j]
                total[j] = stored[i, j] if abs(errors[step, i, j]) <= half else none
            of_alphas[step] += share
            for k in range(last - first):
                a, share = left[i, first + k], none
                for j in range(columns):
                    share += total[j] * packed[k, j]
                    down[k, j] += a * total[j]
                of_left[i, first + k] += share
            if additive:
                for j in range(columns):
                    stored[i, j] = total[j]
        for k in range(last - first):
            for j in range(width):
                of_right[first + k, column + j] += down[k, j]


@numba.njit(cache=True, nogil=True)
def _pack(right: Floats, first: int, last: int, column: int, packed: Floats) -> None:
    """A block's part of right's rows first..last; what is beyond right, or beyond them, is 0."""
    width = min(packed.shape[1], right.shape[1] - column)
    packed[last - first :] = 0
    packed[:, width:] = 0
    for k in range(last - first):
        for j in range(width):
            packed[k, j] = right[first + k, column + j]
