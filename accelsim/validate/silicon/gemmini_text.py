"""DOSA's mappings of Gemmini as commands: `L3[WIO] Q4 C8 - L2[WI] N1 K4X - L1[O] K4 C2 Q14 C4X - L0[W] P8`.

The form is that of `accelsim.mapping.loop_text`. L3 is DRAM: its loops step from command to command, all others
are inside of one.

Two things the runs did are not in the text, and the cycles show both. Gemmini's conv takes one output size, so
that a layer of 120 x 12 pixels ran as 120 x 120. Its matmul takes tiles in units of the array's rows, and the runs
passed the number of 16s: a tile of 128 is 8 x 4 = 32 values on a 4 x 4 array, and one of less than 16 is a whole array.
"""

from __future__ import annotations

import math

from accelsim.mapping.commands import DIMS, Commands, Dim
from accelsim.mapping.loop_text import read_levels

UNIT = 16


def conv_commands(mapping: str, stride: int) -> Commands:
    """A conv as it ran: on square images. ValueError for a text of another form."""
    extents, tile, loops = read(mapping)
    if extents["p"] != extents["q"]:
        tile["q"] = tile["q"] * extents["p"] // extents["q"]
        extents["q"] = extents["p"]
    return Commands(extents, tile, loops, stride, conv=True)


def matmul_commands(mapping: str, array_rows: int) -> Commands:
    """A matmul as it ran: tiles in whole arrays."""
    extents, named, loops = read(mapping)
    tile = dict(named)
    units: tuple[Dim, ...] = ("p", "c", "k")
    for dim in units:
        tile[dim] = min(extents[dim], array_rows * max(1, named[dim] // UNIT))
    order = [dim for dim, _ in loops] + [dim for dim in DIMS if dim not in dict(loops)]
    again = tuple((dim, -(-extents[dim] // tile[dim])) for dim in order)
    return Commands(extents, tile, tuple((dim, trips) for dim, trips in again if trips > 1), 1, conv=False)


def read(mapping: str) -> tuple[dict[Dim, int], dict[Dim, int], tuple[tuple[Dim, int], ...]]:
    """Extents, the tile of a command, and the loops over commands. ValueError for a text of another form."""
    levels = read_levels(mapping)
    if [level.name for level in levels] != ["3", "2", "1", "0"]:
        raise ValueError(f"not the four levels of Gemmini: {mapping!r}")
    outer = [(_dim(factor.dim), factor.trips) for factor in levels[0].factors if factor.trips > 1]
    tile: dict[Dim, int] = dict.fromkeys(DIMS, 1)
    for level in levels[1:]:
        for factor in level.factors:
            tile[_dim(factor.dim)] *= factor.trips
    extents = {dim: tile[dim] * math.prod(trips for each, trips in outer if each == dim) for dim in DIMS}
    return extents, tile, tuple(outer)


def _dim(letter: str) -> Dim:
    return next(dim for dim in DIMS if dim == letter.lower())
