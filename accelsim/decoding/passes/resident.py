"""Which activations a pass keeps on the chip, from the op that makes them to the last one that reads them.

At every op there has to be room for what is kept from before it, for its result (whole, or the tile that goes out) and
for a tile of its inputs if one of them is not there. Tensors are kept as long as that holds at every op that they live
through: those first that live shortest for what they save, reads and the write. What is not kept is in DRAM, and comes
from there for every reader. Of what chips gather, all is kept or nothing. Passes side by side keep theirs as if each
had the buffers to itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accelsim.workload.chips import ChipTrace


@dataclass(frozen=True)
class Tiles:
    """Bits of one op's tiles in the buffers for activations: of its inputs together, and of its result."""

    inputs: int
    outputs: int


@dataclass
class _Life:
    """A tensor's bits, and the ops that it lives through: from the one that makes it to its last reader."""

    bits: int
    made: int
    last: int
    moves: int

    @property
    def cost(self) -> tuple[float, int]:
        return (self.last - self.made + 1) / self.moves, self.made


def resident_tensors(part: ChipTrace, tiles: Sequence[Tiles], room_bits: int) -> frozenset[str]:
    """Ids of the activations, views and gathered copies with them, that are kept in `room_bits` of one chip.

    `tiles` are those of each op of the trace's one phase.
    """
    (phase,) = part.trace.phases
    tensors = [tensor for tensor in part.trace.tensors if tensor.kind == "activation"]
    home = {tensor.id: tensor.view_of or tensor.id for tensor in tensors}
    home |= {copy: home[whole] for copy, whole in part.copy_of.items()}
    reads = [{home[name] for name in op.inputs if name in home} for op in phase.ops]
    writes = [{home[name] for name in op.outputs if name in home} for op in phase.ops]
    lives = _lives(reads, writes)
    for tensor in tensors:
        if home[tensor.id] in lives:
            life = lives[home[tensor.id]]
            life.bits = max(life.bits, tensor.elements * tensor.bits)
    held = [0] * len(phase.ops)
    kept: set[str] = set()

    def fits(name: str, life: _Life) -> bool:
        more = kept | {name}
        return all(
            held[at] + life.bits + (0 if reads[at] <= more else tiles[at].inputs)
            + (0 if writes[at] <= more else tiles[at].outputs) <= room_bits
            for at in range(life.made, life.last + 1)
        )  # fmt: skip

    order = sorted(lives.items(), key=lambda item: (item[1].cost, item[0]))
    before = -1
    while before < len(kept):  # what is kept needs no tile, which may make room for more
        before = len(kept)
        for name, life in order:
            if name not in kept and fits(name, life):
                kept.add(name)
                for at in range(life.made, life.last + 1):
                    held[at] += life.bits
    return frozenset(name for name, whole in home.items() if whole in kept)


def _lives(reads: Sequence[set[str]], writes: Sequence[set[str]]) -> dict[str, _Life]:
    """Of every tensor that is read or written; those that no op makes, the host's, are there from the start."""
    lives: dict[str, _Life] = {}
    for at, (read, written) in enumerate(zip(reads, writes, strict=True)):
        for name in sorted(read | written):
            life = lives.setdefault(name, _Life(0, at if name in written else 0, at, 0))
            life.last = at
            life.moves += 1
    return lives
