"""The output's storage nodes: psums on their way to and from the accumulator, and finished outputs on their way out."""

from __future__ import annotations

from typing import Protocol

from accelsim.functional.accesses import Port, Sizes
from accelsim.functional.arrangement import Ints
from accelsim.functional.stores import Bank, TileKeeper
from accelsim.functional.tiles import Index, Layout, Visit


class Below(Protocol):
    """The next node inwards."""

    def leave(self) -> None: ...


class OutputStore:
    """A node of the output: one bank of psums for each step of a group, and one of finished outputs.

    A psum comes in from the node above in the stay of the tile in which the array takes it; what is held
    when the tile is left goes up. What a stay brings is one transfer, and what it sends another.
    """

    def __init__(
        self, layout: Layout, banks: int, psum_bits: int, ofmap_bits: int, port: Port, parent: OutputStore | None
    ) -> None:
        self.psums = [Bank(layout.shape) for _ in range(banks)]
        self.ofmap = Bank(layout.shape)
        self.below: Below | None = None
        self._tile = TileKeeper(layout)
        self._fetched = 0
        self._psum_bits, self._ofmap_bits = psum_bits, ofmap_bits
        self._port = port
        self._parent = parent
        if parent is not None:
            parent.below = self

    @property
    def outputs(self) -> Ints:
        """Every finished output; NotHeld unless all are here."""
        return self.ofmap.read(...)

    def arrive(self, visit: Visit) -> None:
        if self._parent is None or self._tile.stays(visit):
            return
        self.leave()
        self._tile.turn_to(visit)

    def leave(self) -> None:
        """Send up what is held, once the nodes below have."""
        if self.below is not None:
            self.below.leave()
        if self._parent is None or self._tile.empty:
            return
        self._moved(self, self._parent, "psum", self._fetched, self._psum_bits)
        self._fetched = 0
        banks = zip(self.psums, self._parent.psums, strict=True)
        psums = sum(above.move(own, self._tile.index) for own, above in banks)
        self._moved(self._parent, self, "psum", psums, self._psum_bits)
        outputs = self._parent.ofmap.move(self.ofmap, self._tile.index)
        self._moved(self._parent, self, "ofmap", outputs, self._ofmap_bits)
        self._tile.forget()

    def put_psums(self, bank: int, index: Index, values: Ints, sizes: Sizes) -> None:
        self.psums[bank].put(index, values)
        self._port.move("psum", "write", sizes, self._psum_bits)

    def take_psums(self, bank: int, index: Index, sizes: Sizes) -> Ints:
        self._fetch(bank, index)
        self._port.move("psum", "read", sizes, self._psum_bits)
        return self.psums[bank].take(index)

    def put_outputs(self, index: Index, values: Ints, sizes: Sizes) -> None:
        self.ofmap.put(index, values)
        self._port.move("ofmap", "write", sizes, self._ofmap_bits)

    def _fetch(self, bank: int, index: Index) -> None:
        """Bring psums of one bank down to here, if they are not; what a stay brings is counted when it ends."""
        if self._parent is None or self.psums[bank].held[index].all():
            return
        self._parent._fetch(bank, index)
        self._fetched += self.psums[bank].move(self._parent.psums[bank], index)

    def _moved(self, to: OutputStore, source: OutputStore, operand: str, values: int, bits: int) -> None:
        if values:
            whole = sum(size * times for size, times in self._tile.sizes)
            each = values // whole  # psums of an output
            sizes = [(size * each, times) for size, times in self._tile.sizes]
            if values != whole * each:  # other outputs of the tile are at another step
                sizes = [(values, 1)]
            source._port.move(operand, "read", sizes, bits)
            to._port.move(operand, "write", sizes, bits)
