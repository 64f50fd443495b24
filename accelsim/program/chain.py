"""The transfers of an operand between DRAM and the array, one queue for each boundary and way.

Inputs, for a chain of two memories (the innermost channels bear no memory's name):

    load_ifmap --ifmap_full_l2--> move_ifmap_l1 --ifmap_full--> array
    array --ifmap_free--> move_ifmap_l1 --ifmap_free_l2--> load_ifmap

A tile of an outer memory is waited for by the first inner tile that lies in it, and let go by the last.
Outputs take their slots on the way in, with the psums of tiles that come back, and leave by the way out:

    load_psum --psum_full_l2--> move_psum_l1 --psum_full--> array
    array --output_full--> move_output_l2 --output_full_l2--> store
    store --output_free_l2--> load_psum, move_output_l2 --output_free--> move_psum_l1
    psum_stored of each boundary: the psum has arrived above and can come back

With one memory whose psums never come back there is no way in, and the array takes the slots itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accelsim.hardware.dram import Dram
from accelsim.hardware.reram_stack import ReramStack
from accelsim.hardware.sram import Width
from accelsim.mapping.nest import Loop
from accelsim.mapping.problem import Problem
from accelsim.program.program import Channel, Ints, TokenUse
from accelsim.program.steps import Steps
from accelsim.program.tiles import Level, Returns, returns_of
from accelsim.program.transfer import End, Transfer


@dataclass(frozen=True)
class Chain:
    """An operand's transfers towards the array and away from it, and the array's own channels."""

    inwards: tuple[Transfer, ...]
    outwards: tuple[Transfer, ...]
    channels: tuple[Channel, ...]
    array_takes: str
    array_gives: str


def input_chain(
    name: str, levels: Sequence[Level], bits: Width, extra_bits: int, store: Dram | ReramStack,
    stored_bits: Width | None = None,
) -> Chain:  # fmt: skip
    """Transfers of an input of `bits` a value, in its store `stored_bits` if others; `extra_bits` (a bias) come with
    the first tile."""
    stored_bits = bits if stored_bits is None else stored_bits
    queues = [f"load_{name}", *(f"move_{name}_{_name(level)}" for level in levels[1:]), "array"]
    transfers, channels = [], []
    for at, level in enumerate(levels):
        one = np.ones(level.tiles.values.size, np.int64)
        sizes = packed_sizes(level.tiles.values, bits if at else stored_bits)
        through_port = None if at or bits == stored_bits else packed_sizes(level.tiles.values, bits)
        sizes[0] += extra_bits
        full, free = (f"{name}_{state}{_suffix(levels, at)}" for state in ("full", "free"))
        waits, signals = [TokenUse(free, one)], [TokenUse(full, one)]
        if at:
            waits.append(TokenUse(f"{name}_full{_suffix(levels, at - 1)}", _firsts(levels, at)))
            signals.append(TokenUse(f"{name}_free{_suffix(levels, at - 1)}", _lasts(levels, at)))
        source = levels[at - 1].memory if at else store
        uses = tuple(waits), tuple(signals)
        transfers.append(Transfer(queues[at], sizes, source, level.memory, *uses, through_port))
        channels.append(Channel(full, queues[at], queues[at + 1]))
        channels.append(Channel(free, queues[at + 1], queues[at], level.tiles.slots))
    return Chain(tuple(transfers), (), tuple(channels), f"{name}_full", f"{name}_free")


def output_chain(problem: Problem, steps: Steps, loops: Sequence[Loop], levels: Sequence[Level], dram: Dram) -> Chain:
    """Transfers of the partial sums, each way, and of the finished outputs; `loops`: those above the array's tile."""
    returns = [returns_of(problem, steps, loops, level) for level in levels]
    takes_slots = len(levels) > 1 or bool(returns[0].returns.any())
    inwards: list[Transfer] = []
    outwards: list[Transfer] = []
    channels = [Channel("output_full", "array", _way_out(levels, len(levels) - 1))]
    for at, level in enumerate(levels):
        above: End = levels[at - 1].memory if at else dram
        suffix, out = _suffix(levels, at), _way_out(levels, at)
        if at + 1 < len(levels):
            channels.append(Channel(f"output_full{suffix}", _way_out(levels, at + 1), out))
        user = _way_in(levels, at) if takes_slots else "array"
        channels.append(Channel(f"output_free{suffix}", out, user, level.tiles.slots))
        if takes_slots:
            inwards.append(_comes(problem, levels, at, returns[at], above))
            channels.append(Channel(f"psum_full{suffix}", user, _way_in(levels, at + 1)))
            if returns[at].returns.any():
                channels.append(Channel(f"psum_stored{suffix}", out, user))
        outwards.insert(0, _leaves(problem, levels, at, returns[at], above))
    array_takes = "psum_full" if takes_slots else "output_free"
    return Chain(tuple(inwards), tuple(outwards), tuple(channels), array_takes, "output_full")


def _comes(problem: Problem, levels: Sequence[Level], at: int, returns: Returns, above: End) -> Transfer:
    """Takes a slot for every output tile and fetches the psums of those that come back."""
    tiles, suffix = levels[at].tiles, _suffix(levels, at)
    one = np.ones(tiles.values.size, np.int64)
    waits = [TokenUse(f"output_free{suffix}", one)]
    if at:
        waits.append(TokenUse(f"psum_full{_suffix(levels, at - 1)}", _firsts(levels, at)))
    if returns.returns.any():
        waits.append(TokenUse(f"psum_stored{suffix}", returns.stores_needed))
    bits = problem.psum.bits * returns.coming
    signals = (TokenUse(f"psum_full{suffix}", one),)
    return Transfer(_way_in(levels, at), bits, above, levels[at].memory, tuple(waits), signals)


def _leaves(problem: Problem, levels: Sequence[Level], at: int, returns: Returns, above: End) -> Transfer:
    tiles, suffix = levels[at].tiles, _suffix(levels, at)
    one = np.ones(tiles.values.size, np.int64)
    signals = [TokenUse(f"output_free{suffix}", one)]
    if at:
        signals.append(TokenUse(f"output_full{_suffix(levels, at - 1)}", _lasts(levels, at)))
    if returns.returns.any():
        signals.append(TokenUse(f"psum_stored{suffix}", returns.unfinished.astype(np.int64)))
    psums, stored = problem.psum.bits * returns.leaving, problem.dram_bits["output"]
    finished = packed_sizes(tiles.values, problem.ofmap_bits if at else stored)
    bits, through_port = np.where(returns.unfinished, psums, finished), None
    if not at and stored != problem.ofmap_bits:
        through_port = np.where(returns.unfinished, psums, packed_sizes(tiles.values, problem.ofmap_bits))
    waits = (TokenUse(f"output_full{suffix}", one),)
    return Transfer(_way_out(levels, at), bits, levels[at].memory, above, waits, tuple(signals), through_port)


def packed_sizes(values: Ints, width: Width) -> Ints:
    """Bits of so many values each, rounded up."""
    sizes: Ints = -(-values * width.numerator // width.denominator)
    return sizes


def _name(level: Level) -> str:
    return level.memory.name if level.memory else ""


def _suffix(levels: Sequence[Level], at: int) -> str:
    return "" if at == len(levels) - 1 else f"_{_name(levels[at])}"


def _way_in(levels: Sequence[Level], at: int) -> str:
    """The queue that brings psums to a level."""
    if at == len(levels):
        return "array"
    return f"move_psum_{_name(levels[at])}" if at else "load_psum"


def _way_out(levels: Sequence[Level], at: int) -> str:
    """The queue that takes outputs from a level to the next one outwards."""
    return f"move_output_{_name(levels[at - 1])}" if at else "store"


def _firsts(levels: Sequence[Level], at: int) -> Ints:
    """Per tile of a level: whether it is the first in its tile of the level above."""
    return np.asarray(levels[at - 1].tiles.begins[levels[at].tiles.begins], np.int64)


def _lasts(levels: Sequence[Level], at: int) -> Ints:
    """Per tile of a level: whether it is the last in its tile of the level above."""
    return np.asarray(levels[at - 1].tiles.ends[levels[at].tiles.ends], np.int64)
