"""Partial sums that cross the boundary above a memory: every output's are followed through the whole nest.

Plain Python over real index ranges; nothing of `accelsim` is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

Ranges = tuple[tuple[int, int], ...]
"""First and last + 1 index of every dim."""


def psum_stays(
    extents: Sequence[int], selects: Sequence[bool], loops: Sequence[tuple[int, int]], above: int, group_size: int
) -> tuple[list[int], list[int]]:
    """Psums that go up from, and come down to, a memory below the first `above` loops, a number for each stay.

    `selects` says which dims select an output, `loops` are (dim, step). An output's visit of the array first
    takes what is stored of it if `group_size` visits are, and stores a psum; the last takes all and stores none.
    """
    shape = [extent for extent, own in zip(extents, selects, strict=True) if own]
    visits, stored, inside = (np.zeros(shape, np.int64) for _ in range(3))
    up, down, came = [], [], 0
    stay = visit = None
    for outer, inner in _steps(tuple((0, extent) for extent in extents), list(loops), above):
        held, tile = _outputs(outer, selects), _outputs(inner, selects)
        if held != stay:
            up.append(int(inside.sum()))
            down.append(came)
            inside[...], came, stay = 0, 0, held
        begins, ends = tile != visit, _is_last(inner, extents, selects)
        at = tuple(slice(*span) for span in tile)
        if begins:
            full = (stored[at] > 0) & (visits[at] % group_size == 0)
            came += int(((stored[at] - inside[at]) * full).sum())
            stored[at] *= ~full
            inside[at] *= ~full
            for numbers in (visits, stored, inside):
                numbers[at] += 1
            visit = tile
        if ends:
            came += int((stored[at] - inside[at]).sum())  # its own, which it does not store, is in both
            stored[at] = inside[at] = 0
    assert not stored.any()
    return up, [*down, came]


def _steps(ranges: Ranges, loops: list[tuple[int, int]], above: int) -> Iterator[tuple[Ranges, Ranges]]:
    """Ranges below `above` loops and below all of them, step by step."""
    if not loops:
        yield ranges, ranges
        return
    (dim, step), *rest = loops
    low, high = ranges[dim]
    for start in range(low, high, step):
        part = (*ranges[:dim], (start, min(start + step, high)), *ranges[dim + 1 :])
        for outer, inner in _steps(part, rest, above - 1):
            yield (outer if above > 0 else ranges), inner


def _outputs(ranges: Ranges, selects: Sequence[bool]) -> Ranges:
    return tuple(span for span, own in zip(ranges, selects, strict=True) if own)


def _is_last(ranges: Ranges, extents: Sequence[int], selects: Sequence[bool]) -> bool:
    """Whether these are the last of the reduction."""
    return all(high == extent for (_, high), extent, own in zip(ranges, extents, selects, strict=True) if not own)
