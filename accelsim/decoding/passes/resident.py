"""Which activations a pass keeps on the chip, from the op that makes them to the last one that reads them.

Half of the buffers that activations pass through holds them, the other half is for the tiles of the op that runs. In
program order a result is kept if it fits beside those that wait there for their readers; of what chips gather, all
of it has to fit. What is not kept goes to DRAM, and comes back for every reader. Passes side by side keep theirs as
if each had the buffers to itself.
"""

from __future__ import annotations

from accelsim.workload.chips import ChipTrace
from accelsim.workload.trace import Phase


def resident_tensors(part: ChipTrace, room_bits: int) -> frozenset[str]:
    """Ids of the activations, views and gathered copies with them, that are kept in `room_bits` of one chip."""
    (phase,) = part.trace.phases
    tensors = [tensor for tensor in part.trace.tensors if tensor.kind == "activation"]
    home = {tensor.id: tensor.view_of or tensor.id for tensor in tensors}
    home |= {copy: home[whole] for copy, whole in part.copy_of.items()}
    bits: dict[str, int] = {}
    for tensor in tensors:
        bits[home[tensor.id]] = max(bits.get(home[tensor.id], 0), tensor.elements * tensor.bits)
    last = _last_readers(phase, home)
    waiting: dict[str, int] = {}
    kept: set[str] = set()
    made = {home[name] for op in phase.ops for name in op.outputs if name in home}
    given = sorted(last.keys() - made)  # what the pass starts from, the host's
    for place, names in enumerate([given, *([home[n] for n in op.outputs if n in home] for op in phase.ops)]):
        for name in names:
            if name not in waiting and bits[name] + sum(waiting.values()) <= room_bits:
                kept.add(name)
                waiting[name] = bits[name]
        waiting = {name: held for name, held in waiting.items() if last.get(name, 0) > place}
    return frozenset(name for name, whole in home.items() if whole in kept)


def _last_readers(phase: Phase, home: dict[str, str]) -> dict[str, int]:
    """The last op to read each activation, numbered from 1."""
    readers: dict[str, int] = {}
    for place, op in enumerate(phase.ops, start=1):
        readers |= {home[name]: place for name in op.inputs if name in home}
    return readers
