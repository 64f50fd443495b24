"""Tables evaluated as fractions, and the best table by trying every one: nothing shared with the package."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np


def table_value(scheme: dict[str, object], code: int, shift: int) -> Fraction:
    """k x + b of the segment that a code falls into, from a scheme's dict; exact."""
    bits = scheme["input_bits"]
    assert isinstance(bits, int)
    highest = 2 ** (bits - 1) - 1
    x = Fraction(code) / Fraction(2) ** shift
    table = next(table for table in scheme["tables"] if table["shift"] == shift)  # type: ignore[attr-defined]
    if scheme["outside"] == "clamp":
        unit = Fraction(2) ** shift
        low, high = Fraction(scheme["low"]) * unit, Fraction(scheme["high"]) * unit  # type: ignore[arg-type]
        code = min(max(code, math.ceil(low), -highest - 1), math.floor(high), highest)
        x = Fraction(code) / unit
    segment = sum(1 for point in table["breakpoints"] if point != highest and code >= point)
    k = Fraction(table["slopes"][segment], 2 ** scheme["slope"]["fraction_bits"])  # type: ignore[index]
    b = Fraction(table["intercepts"][segment], 2 ** scheme["intercept"]["fraction_bits"])  # type: ignore[index]
    return k * x + b


def nearest_half_up(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))


def lattice_errors(x: np.ndarray, y: np.ndarray, lattice: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Sum of squared errors over the points, of every (k, b) of the lattice."""
    k, b = (part.ravel() for part in np.meshgrid(*lattice, indexing="ij"))
    total = np.zeros(k.size)
    for point, value in zip(x, y, strict=True):
        total += (k * point + b - value) ** 2
    return total


def best_error(
    codes: Sequence[int], of: Callable[[np.ndarray], np.ndarray], shift: int, entries: int,
    lattice: tuple[np.ndarray, np.ndarray], highest: int,
) -> float:  # fmt: skip
    """Least mean squared error of any table: all ways to cut, every line of the lattice on every run."""
    x = np.array(codes) * 2.0**-shift
    y = of(x)
    size = len(codes)
    run = {}
    for start, stop in itertools.combinations(range(size + 1), 2):
        run[start, stop] = lattice_errors(x[start:stop], y[start:stop], lattice).min()
    best = np.inf
    for pieces in range(1, min(entries, size) + 1):
        for inner in itertools.combinations(range(1, size), pieces - 1):
            if any(codes[cut] == highest for cut in inner):
                continue
            edges = (0, *inner, size)
            best = min(best, sum(run[edge] for edge in itertools.pairwise(edges)))
    return float(best) / size


def best_error_recursive(
    codes: Sequence[int], of: Callable[[np.ndarray], np.ndarray], shift: int, entries: int,
    lattice: tuple[np.ndarray, np.ndarray], highest: int,
) -> float:  # fmt: skip
    """The same by recursion over where the last run starts; for each slope of the lattice, the nearest intercept."""
    x = np.array(codes) * 2.0**-shift
    y = of(x)
    k, b = lattice
    size = len(codes)

    def run(start: int, stop: int) -> float:
        rest = y[start:stop] - k[:, None] * x[start:stop]
        mean = rest.mean(axis=1)
        at = np.clip(np.searchsorted(b, mean), 1, b.size - 1)
        nearest = np.where(mean - b[at - 1] <= b[at] - mean, b[at - 1], b[at])
        return float(((rest - nearest[:, None]) ** 2).sum(axis=1).min())

    runs = {pair: run(*pair) for pair in itertools.combinations(range(size + 1), 2)}
    least = {0: 0.0}
    for _ in range(entries):
        least = {
            stop: min(
                [least.get(stop, np.inf)]
                + [
                    least[start] + runs[start, stop]
                    for start in least
                    if start < stop and (start == 0 or codes[start] != highest)
                ]
            )
            for stop in range(size + 1)
        }
        least[0] = 0.0
    return least[size] / size
