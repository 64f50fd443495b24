"""Which activations a pass keeps on the chip, from the op that makes them to the last one that reads them.

At every op there has to be room for what waits for its readers, for its result (whole, or the tile that goes out), and
for a tile of each input that is not there. In program order a result is kept as long as that holds; where it does not,
what is read last goes. It then was in DRAM from the start, and comes from there for every reader. Of what chips
gather, all of it is kept or nothing. Passes side by side keep theirs as if each had the buffers to itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accelsim.workload.chips import ChipTrace
from accelsim.workload.trace import Phase


@dataclass(frozen=True)
class Tiles:
    """Bits of one op's tiles in the buffers for activations: of its inputs together, and of its result."""

    inputs: int
    outputs: int


def resident_tensors(part: ChipTrace, tiles: Sequence[Tiles], room_bits: int) -> frozenset[str]:
    """Ids of the activations, views and gathered copies with them, that are kept in `room_bits` of one chip.

    `tiles` are those of each op of the trace's one phase.
    """
    (phase,) = part.trace.phases
    tensors = [tensor for tensor in part.trace.tensors if tensor.kind == "activation"]
    home = {tensor.id: tensor.view_of or tensor.id for tensor in tensors}
    home |= {copy: home[whole] for copy, whole in part.copy_of.items()}
    bits: dict[str, int] = {}
    for tensor in tensors:
        bits[home[tensor.id]] = max(bits.get(home[tensor.id], 0), tensor.elements * tensor.bits)
    last = _last_readers(phase, home)
    made = {home[name] for op in phase.ops for name in op.outputs if name in home}
    kept = set(last) - made  # what the pass starts from, the host's
    waiting = {name for name in kept if bits[name] <= room_bits}
    for place, (op, tile) in enumerate(zip(phase.ops, tiles, strict=True)):
        results = {home[name] for name in op.outputs if name in home}
        kept |= results
        waiting |= results
        while waiting:
            streams = any(home[name] not in waiting for name in op.inputs if name in home)
            needed = sum(bits[name] for name in waiting) + (tile.inputs if streams else 0)
            needed += 0 if results <= waiting else tile.outputs
            if needed <= room_bits:
                break
            latest = max(waiting, key=lambda name: (last.get(name, place), bits[name], name))
            kept.remove(latest)
            waiting.remove(latest)
        waiting = {name for name in waiting if last.get(name, place) > place}
    return frozenset(name for name, whole in home.items() if whole in kept)


def _last_readers(phase: Phase, home: dict[str, str]) -> dict[str, int]:
    """The place of the last op to read each activation."""
    readers: dict[str, int] = {}
    for place, op in enumerate(phase.ops):
        readers |= {home[name]: place for name in op.inputs if name in home}
    return readers
