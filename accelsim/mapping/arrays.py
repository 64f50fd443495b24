"""Small tools over integer arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

MAX_CODE = 2**62
COUNTED_SPAN = 8


def distinct_rows(columns: Sequence[Ints]) -> tuple[Ints, Ints]:
    """The first row of each kind of row of some columns (kinds,), and the kind of every row (rows,).

    Kinds are numbered in the order of their values. Columns of few values are numbered by counting,
    which is much faster than sorting.
    """
    size = columns[0].size
    if not size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    code, span = np.zeros(size, np.int64), 1
    for column in columns:
        low, high = int(column.min()), int(column.max())
        if span * (high - low + 1) > MAX_CODE:
            _, code = np.unique(code, return_inverse=True)
            _, column = np.unique(column, return_inverse=True)
            low, high, span = 0, int(column.max()), int(code.max()) + 1
        code, span = code * (high - low + 1) + (column - low), span * (high - low + 1)
    if span <= COUNTED_SPAN * size:
        present = np.zeros(span, bool)
        present[code] = True
        which = (np.cumsum(present) - 1)[code]
    else:
        _, which = np.unique(code, return_inverse=True)
    first = np.zeros(int(which.max()) + 1, np.int64)
    first[which[::-1]] = np.arange(size)[::-1]
    return first, which
