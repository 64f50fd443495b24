"""Small tools over integer arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def distinct_rows(columns: Sequence[Ints]) -> tuple[Ints, Ints]:
    """The first row of each kind of row of some columns (kinds,), and the kind of every row (rows,).

    Most columns hold one value, so numbering them one after another beats sorting whole rows.
    """
    which = np.zeros(columns[0].size, np.int64)
    for column in columns:
        if column.size and column.min() != column.max():
            _, numbers = np.unique(column, return_inverse=True)
            _, which = np.unique(which * (int(numbers.max()) + 1) + numbers, return_inverse=True)
    first = np.zeros(int(which.max()) + 1 if which.size else 0, np.int64)
    first[which[::-1]] = np.arange(which.size)[::-1]
    return first, which
