"""DOSA's mappings of Gemmini as commands: `L3[WIO] Q4 C8 - L2[WI] N1 K4X - L1[O] K4 C2 Q14 C4X - L0[W] P8`.

Levels from the outside in, loops of a level from the outside in, each a dim and its trips; X says that the trips
are spatial. L3 is DRAM: its loops step from command to command, all others are inside of one.

Two things the runs did are not in the text, and the cycles show both. Gemmini's conv takes one output size, so
that a layer of 120 x 12 pixels ran as 120 x 120. Its matmul takes tiles in units of the array's rows, and the runs
passed the number of 16s: a tile of 128 is 8 x 4 = 32 values on a 4 x 4 array, and one of less than 16 is a whole array.
"""

from __future__ import annotations

import math
import re

from accelsim.mapping.commands import DIMS, Commands, Dim

LEVEL = re.compile(r"L(\d)\[[WIO]+\]((?: [A-Z]\d+X?)*)")
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
    levels = []
    for part in mapping.split(" - "):
        found = LEVEL.fullmatch(part)
        if found is None:
            raise ValueError(f"no level of a mapping: {part!r}")
        levels.append((found[1], [(text[0].lower(), int(text[1:].rstrip("X"))) for text in found[2].split()]))
    if [name for name, _ in levels] != ["3", "2", "1", "0"]:
        raise ValueError(f"not the four levels of Gemmini: {mapping!r}")
    outer = [(_dim(name), trips) for name, trips in levels[0][1] if trips > 1]
    tile: dict[Dim, int] = dict.fromkeys(DIMS, 1)
    for _, factors in levels[1:]:
        for name, trips in factors:
            tile[_dim(name)] *= trips
    extents = {dim: tile[dim] * math.prod(trips for each, trips in outer if each == dim) for dim in DIMS}
    return extents, tile, tuple(outer)


def _dim(name: str) -> Dim:
    for dim in DIMS:
        if dim == name:
            return dim
    raise ValueError(f"no dim {name!r}")
