"""Storage nodes of a loop nest, holding values.

A node keeps its tile in an array as large as the operand together with a mask of what it holds: a
value is where its index says, and reading what is not held is an error, never a stale number. A node
below holds a part of what the node above it holds. A tile stays until a range of a dim relevant to the
operand changes.
"""

from __future__ import annotations

import numpy as np

from accelsim.functional.accesses import Port, Sizes
from accelsim.functional.arrangement import Ints
from accelsim.functional.tiles import Index, Key, Layout, Visit
from accelsim.hardware.sram import Width


class NotHeld(Exception):
    """A node was asked for values it does not hold, or given what it already holds: a fault in here."""


class Bank:
    """Values of one operand in one memory."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.values = np.zeros(shape, np.int64)
        self.held = np.zeros(shape, np.bool_)

    def fill(self, values: Ints) -> None:
        self.values[...] = values
        self.held[...] = True

    def read(self, index: Index) -> Ints:
        if not self.held[index].all():
            raise NotHeld
        values: Ints = self.values[index]
        return values

    def put(self, index: Index, values: Ints) -> None:
        if self.held[index].any():
            raise NotHeld
        self.values[index] = values
        self.held[index] = True

    def take(self, index: Index) -> Ints:
        values = self.read(index).copy()
        self.held[index] = False
        return values

    def move(self, source: Bank, index: Index) -> int:
        """Moves what `source` holds under `index` here; how many values that was."""
        mask = source.held[index]
        moved = int(np.count_nonzero(mask))
        if moved == mask.size:
            self.put(index, source.take(index))
        elif moved:
            if (self.held[index] & mask).any():
                raise NotHeld
            self.values[index] = np.where(mask, source.values[index], self.values[index])
            self.held[index] |= mask
            source.held[index] = False
        return moved


class TileKeeper:
    """What every node below the outermost has: the tile it is at, and when that is left."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.sizes: Sizes = ()
        self._key: Key | None = None
        self._index: Index | None = None

    @property
    def index(self) -> Index:
        if self._index is None:
            raise NotHeld
        return self._index

    @property
    def empty(self) -> bool:
        return self._index is None

    def stays(self, visit: Visit) -> bool:
        """Whether the visit is to the tile at hand. Pieces of a visit follow each other, so none stays."""
        return self._key == _key(self.layout, visit) and visit.pieces(self.layout.dims) == 1

    def turn_to(self, visit: Visit) -> None:
        self._key = _key(self.layout, visit)
        self._index = self.layout.index(visit.ranges)
        self.sizes = self.layout.sizes(visit)

    def forget(self) -> None:
        self._key = self._index = None


def _key(layout: Layout, visit: Visit) -> Key:
    return tuple(visit.ranges[dim] for dim in layout.dims)


class InputStore:
    """A node of the ifmap or the weight; the outermost holds the whole tensor."""

    def __init__(self, layout: Layout, name: str, bits: Width, port: Port, parent: InputStore | None) -> None:
        self.bank = Bank(layout.shape)
        self.layout = layout
        self._tile = TileKeeper(layout)
        self._name, self._bits = name, bits
        self._port = port
        self._parent = parent

    def arrive(self, visit: Visit) -> None:
        """Hold the visit's tile: fetched whole from the node above, unless it is here already."""
        if self._parent is None or self._tile.stays(visit):
            return
        if not self._tile.empty:
            self.bank.held[self._tile.index] = False
        self._tile.turn_to(visit)
        self.bank.values[self._tile.index] = self._parent.bank.read(self._tile.index)
        self.bank.held[self._tile.index] = True
        self._parent._port.move(self._name, "read", self._tile.sizes, self._bits)
        self._port.move(self._name, "write", self._tile.sizes, self._bits)
