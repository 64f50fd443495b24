"""The array's accumulators: what every visit adds up, and what is stored when an output leaves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from accelsim.functional.accesses import Port
from accelsim.functional.arrangement import Ints
from accelsim.functional.outputs import OutputStore
from accelsim.functional.psums import PsumRule, Step, SumRange, steps_read
from accelsim.functional.stores import NotHeld, TileKeeper
from accelsim.functional.tiles import Box, Index, Layout, Visit

FINAL_BITS = 32


@dataclass(frozen=True)
class Offset:
    """What every output gets after its last step, by column: bias and zero-point correction in one number.

    `values` has an axis for each of the output's `dims` (1 where it does not vary); `columns` is the box
    of what is read for a tile, `port` where from.
    """

    values: Ints
    dims: tuple[str, ...]
    columns: Box
    bits: int
    port: Port

    def read(self, visit: Visit, pieces: int) -> Ints:
        """The numbers of a visit's columns, which `pieces` tiles each read."""
        varies = visit.dim in self.columns.dims
        sizes = self.columns.sizes(visit if varies else Visit(visit.ranges))
        self.port.move("bias", "read", sizes if varies else [(size, pieces) for size, _ in sizes], self.bits)
        whole = {dim: visit.ranges[dim] if dim in self.columns.dims else (0, 1) for dim in self.dims}
        values: Ints = self.values[tuple(slice(*whole[dim]) for dim in self.dims)]
        return values


class Accumulator:
    """The array's outputs. What a visit adds up goes up as a psum, or as an output after its last step."""

    def __init__(
        self, layout: Layout, reductions: int, rule: PsumRule, offset: Offset | None, parent: OutputStore
    ) -> None:
        self._sums = np.zeros(layout.shape, np.int64)
        self.final = SumRange(FINAL_BITS)
        self.most_steps = 0
        self.requantised = self.dequantised = 0
        self.passed = 0
        """Sums of single PEs that joined another's, were every product of a piece another PE's."""
        self.entered = 0
        """Psums and biases that came in from outside the array."""
        self._steps = np.zeros(layout.shape, np.int64)
        self._summed = np.zeros(layout.shape, np.int64)
        self._reductions = reductions
        self._rule, self._offset = rule, offset
        self._tile = TileKeeper(layout)
        self._visit = Visit({})
        self._lanes: set[tuple[int, ...]] = set()
        self._parent = parent
        parent.below = self

    def arrive(self, visit: Visit) -> None:
        if self._tile.stays(visit):
            return
        self.leave()
        self._tile.turn_to(visit)
        self._visit = visit
        self._sums[self._tile.index] = 0
        self._lanes.clear()

    def add(self, index: Index, products: Ints, reductions: int, lanes: tuple[int, ...]) -> None:
        """Add the sums of `reductions` products to the outputs under `index`, `lanes` of them at once (by dim)."""
        self._sums[index] += products.reshape(self._sums[index].shape)
        self._summed[index] += reductions
        self._lanes.add(lanes)

    def leave(self) -> None:
        if self._tile.empty:
            return
        index, sizes, rule = self._tile.index, self._tile.sizes, self._rule
        step, summed = _same(self._steps[index]), _same(self._summed[index])
        last = summed == self._reductions
        self.most_steps = max(self.most_steps, step + 1)
        total = self._sums[index]
        self.passed += total.size * (places(frozenset(self._lanes)) - 1)
        earlier = steps_read(step, last, rule.group_size)
        for other in earlier:
            stored = self._parent.take_psums(other % rule.group_size, index, sizes)
            total = total + rule.value(other, stored)
            self.entered += total.size
        rule.see(Step(step, last, summed, index, total))
        if step or not last:
            self.requantised += total.size
            self.dequantised += total.size * len(earlier)
            stored = rule.store(step, total)
            total = rule.value(step, stored)
        if last:
            if self._offset is not None:
                self.entered += total.size
                total = total + self._offset.read(self._visit, sum(times for _, times in sizes))
            self.final.see(total)
            self._parent.put_outputs(index, total, sizes)
        else:
            self._parent.put_psums(step % rule.group_size, index, stored, sizes)
        self._steps[index] = step + 1
        self._tile.forget()


@cache
def places(boxes: frozenset[tuple[int, ...]]) -> int:
    """How many places some boxes, all from the origin, cover together."""
    covered = np.zeros([max(extents) for extents in zip(*boxes, strict=True)], np.bool_)
    for box in boxes:
        covered[tuple(slice(extent) for extent in box)] = True
    return int(np.count_nonzero(covered))


def _same(values: Ints) -> int:
    """What all outputs of a tile agree on."""
    first = int(values.flat[0])
    if (values != first).any():
        raise NotHeld
    return first
