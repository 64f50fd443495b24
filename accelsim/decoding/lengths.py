"""Prompt and output lengths of requests, as a user writes them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import user_error

MOST = 1 << 20
FORMS = f"write one number (128), a range (32:512), or a mean with geometric lengths (~200), in tokens from 1 to {MOST}"


def draw_lengths(text: str, count: int, seed: int, name: str) -> NDArray[np.int64]:
    """`count` lengths in tokens: `128` all alike, `32:512` uniform with both ends, `~200` geometric of that mean.

    A geometric length is what a fixed chance of stopping after each token gives. UserError, with `name`, for
    anything else.
    """
    rng = np.random.default_rng(seed)
    try:
        if text.startswith("~"):
            (mean,) = _checked(float(text[1:]))
            return np.minimum(rng.geometric(1 / mean, count), MOST).astype(np.int64)
        low, *rest = _checked(*(int(part) for part in text.split(":", 1)))
    except ValueError:
        raise user_error(name, "length", repr(text[:60]), FORMS) from None
    high = rest[0] if rest else low
    if high < low:
        raise user_error(name, "length", f"the range {text} ends before it begins", f"write {high:g}:{low:g}")
    return rng.integers(int(low), int(high) + 1, count)


def _checked(*lengths: float) -> tuple[float, ...]:
    if not all(1 <= length <= MOST for length in lengths):
        raise ValueError
    return lengths
