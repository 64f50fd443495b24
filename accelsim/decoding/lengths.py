"""Prompt and output lengths of requests, as a user writes them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import user_error

MOST = 1 << 20
FORMS = "write one number (128), a range (32:512), or a mean with geometric lengths (~200), in tokens from 1"


def draw_lengths(text: str, count: int, seed: int, name: str) -> NDArray[np.int64]:
    """`count` lengths in tokens: `128` all alike, `32:512` uniform with both ends, `~200` geometric of that mean.

    A geometric length is what a fixed chance of stopping after each token gives. UserError, with `name`, for
    anything else.
    """
    rng = np.random.default_rng(seed)
    try:
        if text.startswith("~"):
            mean = _checked(float(text[1:]))
            return np.minimum(rng.geometric(1 / mean, count), MOST).astype(np.int64)
        first, _, last = text.partition(":")
        low = int(_checked(int(first)))
        high = int(_checked(int(last))) if last else low
        if high < low or (":" in text and not last):
            raise ValueError
        return rng.integers(low, high + 1, count)
    except ValueError:
        raise user_error(name, "length", repr(text[:60]), FORMS) from None


def _checked(length: float) -> float:
    if not 1 <= length <= MOST:
        raise ValueError
    return length
