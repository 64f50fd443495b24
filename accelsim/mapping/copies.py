"""What single PEs hold of an operand: every PE that works on an element needs a copy of its own.

What is left of a problem below all loops runs side by side, one index of each dim to a PE, and every
loop further out deals its indices to the same PEs again. So an element goes to one PE along the dims
that select it, to every PE in use along the others, and an input of a conv to every pair of an output
and a tap that meet in it (a diagonal, at stride 1).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from accelsim.mapping.halo import halo_classes, halo_dims, halo_pairs, largest_halo
from accelsim.mapping.nest import ChunkClass, Loop, chunk_classes, chunk_count
from accelsim.mapping.problem import OperandName, Problem


def _lane_width(problem: Problem, dim: str, loops: Sequence[Loop]) -> int:
    """How many indices of `dim` run side by side below all `loops`."""
    return min([problem.extent(dim), *(loop.step for loop in loops if loop.dim == dim)])


def uneven_deal(problem: Problem, operand: OperandName, loops: Sequence[Loop], depth: int) -> str | None:
    """What keeps `pe_values` and `largest_in_pe` from counting below the first `depth` loops, in words."""
    widths = {dim: _lane_width(problem, dim, loops) for dim in problem.dims}
    paired = halo_dims(problem) if operand == "ifmap" else ()
    for loop in loops[depth:]:
        if loop.dim in paired and loop.step % widths[loop.dim]:
            return f"a step of {loop.step} deals {loop.dim} unevenly to {widths[loop.dim]} PEs"
    return None


def largest_in_pe(problem: Problem, operand: OperandName, loops: Sequence[Loop], depth: int) -> int:
    """Most elements that one PE needs of one of the operand's tiles below the first `depth` of all `loops`.

    The first PE of each dim, which gets an index of every piece, or of a conv's window the one that
    sees the most. ValueError as `pe_values`.
    """
    uneven = uneven_deal(problem, operand, loops, depth)
    if uneven is not None:
        raise ValueError(uneven)
    pairs = halo_pairs(problem) if operand == "ifmap" else ()
    paired = [dim for pair in pairs for dim in pair]
    most = 1
    for row, red in pairs:
        widths = (_lane_width(problem, row, loops), _lane_width(problem, red, loops))
        most *= largest_halo(problem, (row, red), loops[:depth], widths)
    for dim in problem.relevant(operand):
        if dim not in paired:
            tiles = chunk_classes(problem.extent(dim), dim, loops[:depth])
            most *= max(chunk_count(chunk.extent, dim, loops[depth:]) for chunk in tiles)
    return most


def pe_values(problem: Problem, operand: OperandName, loops: Sequence[Loop], depth: int) -> int:
    """Copies that PEs take of the operand's tiles below the first `depth` of all `loops`, over all visits.

    ValueError where the chunks of a conv window's dims are not dealt out evenly: their loops below
    `depth` step by multiples of what runs side by side.
    """
    above = loops[:depth]
    widths = {dim: _lane_width(problem, dim, loops) for dim in problem.dims}
    pairs = halo_pairs(problem) if operand == "ifmap" else ()
    paired = [dim for pair in pairs for dim in pair]
    uneven = uneven_deal(problem, operand, loops, depth)
    if uneven is not None:
        raise ValueError(uneven)
    per_dim: list[Sequence[ChunkClass]] = [
        halo_classes(problem, pair, above, (widths[pair[0]], widths[pair[1]])) for pair in pairs
    ]
    for dim in problem.relevant(operand):
        if dim not in paired:
            per_dim.append(chunk_classes(problem.extent(dim), dim, above))
    by_cut: dict[int, int] = {}
    for combination in itertools.product(*per_dim):
        cut = max(chunk.cut for chunk in combination)
        by_cut[cut] = by_cut.get(cut, 0) + math.prod(chunk.extent * chunk.count for chunk in combination)

    def copies(cut: int) -> int:
        """Over a tile's visits, the PEs in use along the dims that do not select it."""
        return math.prod(
            sum(min(widths[dim], chunk.extent) * chunk.count
                for chunk in chunk_classes(problem.extent(dim), dim, loops[: cut + 1]))
            for dim in problem.irrelevant(operand)
        )  # fmt: skip

    return sum(values * copies(cut) for cut, values in by_cut.items())
