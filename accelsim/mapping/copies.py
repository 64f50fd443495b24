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

from accelsim.mapping.halo import halo_classes, halo_pairs
from accelsim.mapping.nest import ChunkClass, Loop, chunk_classes
from accelsim.mapping.problem import OperandName, Problem


def _lane_width(problem: Problem, dim: str, loops: Sequence[Loop]) -> int:
    """How many indices of `dim` run side by side below all `loops`."""
    return min([problem.extent(dim), *(loop.step for loop in loops if loop.dim == dim)])


def pe_values(problem: Problem, operand: OperandName, loops: Sequence[Loop], depth: int) -> int:
    """Copies that PEs take of the operand's tiles below the first `depth` of all `loops`, over all visits.

    ValueError where the chunks of a conv window's dims are not dealt out evenly: their loops below
    `depth` step by multiples of what runs side by side.
    """
    above = loops[:depth]
    widths = {dim: _lane_width(problem, dim, loops) for dim in problem.dims}
    pairs = halo_pairs(problem) if operand == "ifmap" else ()
    paired = [dim for pair in pairs for dim in pair]
    uneven = [loop for loop in loops[depth:] if loop.dim in paired and loop.step % widths[loop.dim]]
    if uneven:
        raise ValueError(f"a step of {uneven[0].step} deals {uneven[0].dim} unevenly to {widths[uneven[0].dim]} PEs")
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
