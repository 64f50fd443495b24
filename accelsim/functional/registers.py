"""Register files in the PEs: an input's node in them, whose copies are noted as PEs work on them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from accelsim.functional.accesses import AccessTable, Port
from accelsim.functional.accumulator import places
from accelsim.functional.arrangement import Ints
from accelsim.functional.stores import InputStore
from accelsim.functional.tiles import ConvInputs, Layout, Visit
from accelsim.hardware.registers import RegisterFile
from accelsim.hardware.sram import Width
from accelsim.mapping.problem import OperandName, Problem


class FilePort:
    """One operand's accesses of the register files, a value each."""

    def __init__(self, table: AccessTable, file: RegisterFile, name: str, bits: int) -> None:
        self._table, self._file, self._name, self._bits = table, file, name, bits

    def move(self, action: str, values: int) -> None:
        count = values * self._file.words_per_value(self._bits)
        key = (self._file.name, self._name, action)
        self._table.add(key, count, values, values * self._bits, count * self._file.word_bits)


class RegisterInput(InputStore):
    """An input in registers: fetched once from above, written into every PE that works on it, read by every MAC.

    A PE is known by its place in the innermost piece. Along dims that do not select an element, PEs in
    use have it, all from the first on; of a conv's window, those whose output and tap meet in it.
    """

    def __init__(
        self, problem: Problem, operand: OperandName, layout: Layout, name: str, bits: Width, table: AccessTable,
        file: FilePort, parent: InputStore,
    ) -> None:  # fmt: skip
        super().__init__(layout, name, bits, Port(table, None), parent)
        self._file = file
        self._others = problem.irrelevant(operand)
        self._extents = dict(problem.extents)
        self._lanes: set[tuple[int, ...]] = set()
        self._in_pes: list[Ints] = []
        self._values = 0
        self._split = False

    def arrive(self, visit: Visit) -> None:
        if not self._tile.stays(visit):
            self.leave()
        self._split = visit.pieces(self.layout.dims) > 1
        super().arrive(visit)

    def use(self, visit: Visit) -> None:
        """The MACs of a visit, piece by piece."""
        for piece in _pieces(visit):
            extents = {dim: high - low for dim, (low, high) in piece.ranges.items()}
            others = math.prod(extents[dim] for dim in self._others)
            self._lanes.add(tuple(extents[dim] for dim in self._others))
            if isinstance(self.layout, ConvInputs):
                used = self._copies(piece, extents)
                self._in_pes.append(used)
                self._file.move("read", used.size * others)
            else:
                values = math.prod(extents[dim] for dim in self.layout.dims)
                self._values = values if self._split else sum(size * times for size, times in self._tile.sizes)
                self._file.move("read", values * others)
            if self._split:
                self.leave()

    def leave(self) -> None:
        """Count the copies of the tile that was worked on."""
        if self._lanes:
            copies = np.unique(np.concatenate(self._in_pes)).size if self._in_pes else self._values
            self._file.move("write", copies * places(frozenset(self._lanes)))
        self._lanes.clear()
        self._in_pes.clear()

    def _copies(self, piece: Visit, extents: dict[str, int]) -> Ints:
        """A number for each element and PE of the window that meet in a piece, padding left out."""
        if not isinstance(self.layout, ConvInputs):
            raise TypeError("only a conv has a window")
        positions = self.layout.positions(piece.ranges)
        pixels, taps = (self._places(dims, extents) for dims in (("n", "p", "q"), ("r", "s", "c")))
        taps_in_all = self._extents["r"] * self._extents["s"]
        pes = taps_in_all * self._extents["p"] * self._extents["q"]
        codes = positions * pes + pixels[None, :, None] * taps_in_all + taps[None, None, :]
        inside: Ints = codes[positions >= 0]
        return inside

    def _places(self, dims: tuple[str, ...], extents: dict[str, int]) -> Ints:
        """Per combination of the dims' indices in a piece, its place along those of them that a window has."""
        index = np.indices([extents[dim] for dim in dims])
        place = np.zeros(index.shape[1:], np.int64)
        for dim, along in zip(dims, index, strict=True):
            if dim in ("p", "q", "r", "s"):
                place = place * self._extents[dim] + along
        return place.ravel()


def _pieces(visit: Visit) -> Iterator[Visit]:
    if visit.dim is None:
        yield visit
        return
    low, high = visit.ranges[visit.dim]
    for start in range(low, high, visit.step):
        yield Visit({**visit.ranges, visit.dim: (start, min(start + visit.step, high))})
