"""Passes as one engine program on the chip's four queues.

    transceiver  gathers an op's outputs from the other chips
    compute      one instruction a run, in program order
    reram        loads from the stacked memory
    dram         loads weights, KV entries and constants; stores new KV entries

    dram  --dram_full-->  compute --dram_free-->  dram       credits: slots of the weight buffer
    reram --reram_full--> compute --reram_free--> reram
    compute --done--> transceiver --gathered_OWNER--> compute
    compute --results--> dram                                 a store waits for its op

Loads run ahead of computation across op boundaries as far as there are slots, because weights and old
KV entries depend on no activation. Out of order, a store stands in its queue behind as many later
loads as there are slots, so that none has to wait for it; in order, where its op does.

In-order issue: no instruction issues before its predecessor in program order has, a chain of tokens
given at issue. In a run come its loads, its computation, then the op's gather and store. Pipelined is in-order
issue of a program that a compiler has put in better order: loads stand as many runs earlier as there are slots but one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from accelsim.decoding.passes.runs import OWNERS, Interleave, Runs, Stream, merged_runs
from accelsim.decoding.passes.stores import Stores
from accelsim.program.program import Channel, Ints, Program, Queue, Resource, TokenUse

Issue = Literal["out-of-order", "pipelined", "in-order"]
ISSUES: tuple[Issue, ...] = ("out-of-order", "pipelined", "in-order")
QUEUES = ("transceiver", "compute", "reram", "dram")
TRANSCEIVER, COMPUTE, RERAM, DRAM = range(4)
_PARTS = (DRAM, RERAM, COMPUTE, TRANSCEIVER, DRAM)
"""The queues of a run's instructions in program order: load, load, computation, gather, store."""
_DRAM_LOAD, _RERAM_LOAD, _RUN, _GATHER, _STORE = range(len(_PARTS))


@dataclass(frozen=True)
class PassProgram:
    """A program, its runs, and the run of each queue's instructions."""

    program: Program
    runs: Runs
    run_of: tuple[Ints, ...]


def pass_program(streams: Sequence[Stream], stores: Stores, interleave: Interleave, issue: Issue) -> PassProgram:
    """The program of one stream, or of a draft and a verify at once."""
    runs = merged_runs(streams, stores, interleave)
    slots = stores.slots(bool(runs.dram_bits.any() and runs.reram_bits.any()))
    places = turns = _places(runs, slots[0] if issue == "out-of-order" else 0)
    if issue == "pipelined":
        places, turns = _pipelined(places, slots)
    chained = _NO_CHAIN if issue == "out-of-order" else _in_order(turns)
    queues = tuple(_queue(number, places[number], runs, stores, chained) for number in range(len(QUEUES)))
    channels = [
        Channel("dram_full", "dram", "compute"), Channel("dram_free", "compute", "dram", slots[0]),
        Channel("reram_full", "reram", "compute"), Channel("reram_free", "compute", "reram", slots[1]),
        Channel("done", "compute", "transceiver"), Channel("results", "compute", "dram"),
        *(Channel(f"gathered_{owner}", "transceiver", "compute") for owner in OWNERS), *chained.channels,
    ]  # fmt: skip
    program = Program(queues, tuple(Resource(name) for name in QUEUES), tuple(channels))
    return PassProgram(program, runs, tuple(place // len(_PARTS) for place in places))


def _places(runs: Runs, behind: int) -> list[Ints]:
    """Of each queue, the places (run x 5 + part) of its instructions in queue order.

    A store stands behind so many loads that follow it in program order.
    """
    present = np.stack(
        [runs.dram_bits > 0, runs.reram_bits > 0, np.ones(len(runs), bool), runs.gather_bits > 0, runs.stored_bits > 0],
        axis=1,
    )
    all_places = np.flatnonzero(present.ravel())
    queue = np.array(_PARTS)[all_places % len(_PARTS)]
    found = [all_places[queue == number] for number in range(len(QUEUES))]
    dram = found[DRAM]
    is_store = dram % len(_PARTS) == _STORE
    turn = np.cumsum(~is_store) + np.where(is_store, behind + 0.5, 0.0)
    found[DRAM] = dram[np.argsort(turn, kind="stable")]
    return found


def _pipelined(places: Sequence[Ints], slots: tuple[int, int]) -> tuple[list[Ints], list[Ints]]:
    """Places in the order of their turns, and these: a place, of a load as many runs earlier as its store has slots
    but one."""
    sorted_places, turns = list(places), list(places)
    for queue, count in zip((DRAM, RERAM), slots, strict=True):
        is_load = places[queue] % len(_PARTS) != _STORE
        turn = places[queue] - np.where(is_load, (count - 1) * len(_PARTS), 0)
        order = np.argsort(turn, kind="stable")
        sorted_places[queue], turns[queue] = places[queue][order], turn[order]
    return sorted_places, turns


@dataclass(frozen=True)
class _Chain:
    """Channels between queues whose instructions follow one another in program order, and their tokens by queue."""

    channels: tuple[Channel, ...]
    waits: dict[int, tuple[TokenUse, ...]]
    signals: dict[int, tuple[TokenUse, ...]]


_NO_CHAIN = _Chain((), {}, {})


def _in_order(turns: Sequence[Ints]) -> _Chain:
    """Each instruction waits for a token that its predecessor, where it is in another queue, gives at issue."""
    order = np.argsort(np.concatenate(turns), kind="stable")
    queue = np.repeat(np.arange(len(turns)), [len(each) for each in turns])[order]
    index = np.concatenate([np.arange(len(each)) for each in turns])[order]
    channels = []
    waits: dict[int, tuple[TokenUse, ...]] = {}
    signals: dict[int, tuple[TokenUse, ...]] = {}
    for giver in range(len(turns)):
        for taker in range(len(turns)):
            at = np.flatnonzero((queue[:-1] == giver) & (queue[1:] == taker))
            if giver == taker or not at.size:
                continue
            name = f"issued_{QUEUES[giver]}_{QUEUES[taker]}"
            channels.append(Channel(name, QUEUES[giver], QUEUES[taker], at_issue=True))
            signals[giver] = (*signals.get(giver, ()), TokenUse(name, _ones(len(turns[giver]), index[at])))
            waits[taker] = (*waits.get(taker, ()), TokenUse(name, _ones(len(turns[taker]), index[at + 1])))
    return _Chain(tuple(channels), waits, signals)


def _ones(size: int, where: Ints) -> Ints:
    count = np.zeros(size, np.int64)
    count[where] = 1
    return count


def _queue(number: int, places: Ints, runs: Runs, stores: Stores, chained: _Chain) -> Queue:
    run, part = places // len(_PARTS), places % len(_PARTS)
    bits = np.select(
        [part == _DRAM_LOAD, part == _RERAM_LOAD, part == _GATHER, part == _STORE],
        [runs.dram_bits[run], runs.reram_bits[run], runs.gather_bits[run], runs.stored_bits[run]],
        0,
    )
    if number == COMPUTE:
        busy, latency = runs.compute_fs[run], np.zeros(run.size, np.int64)
    else:
        port = {TRANSCEIVER: stores.transceiver, RERAM: stores.reram, DRAM: stores.dram}[number]
        busy, latency = port.busy_fs(bits), port.latencies_fs(bits)
    waits, signals = _tokens(number, run, part, runs)
    return Queue(
        QUEUES[number], (QUEUES[number],), busy, latency, bits,
        (*waits, *chained.waits.get(number, ())), (*signals, *chained.signals.get(number, ())),
    )  # fmt: skip


def _tokens(number: int, run: Ints, part: Ints, runs: Runs) -> tuple[list[TokenUse], list[TokenUse]]:
    """What the instructions of a queue take and give, the chain of in-order issue left out."""
    if number in (DRAM, RERAM):
        name, load = QUEUES[number], (part != _STORE).astype(np.int64)
        waits = [TokenUse(f"{name}_free", load)]
        if number == DRAM:
            waits.append(TokenUse("results", 1 - load))
        return waits, [TokenUse(f"{name}_full", load)]
    owns = [(owner, runs.owner[run] == which) for which, owner in enumerate(OWNERS)]
    if number == TRANSCEIVER:
        one = np.ones(run.size, np.int64)
        return [TokenUse("done", one)], [TokenUse(f"gathered_{owner}", mine.astype(np.int64)) for owner, mine in owns]
    loads = [(name, (bits[run] > 0).astype(np.int64)) for name, bits in _loads(runs)]
    waits = [TokenUse(f"{name}_full", count) for name, count in loads]
    waits += [TokenUse(f"gathered_{owner}", np.where(mine, runs.needs[run], 0)) for owner, mine in owns]
    signals = [TokenUse(f"{name}_free", count) for name, count in loads]
    signals.append(TokenUse("done", (runs.gather_bits[run] > 0).astype(np.int64)))
    signals.append(TokenUse("results", (runs.stored_bits[run] > 0).astype(np.int64)))
    return waits, signals


def _loads(runs: Runs) -> tuple[tuple[str, Ints], ...]:
    return ("dram", runs.dram_bits), ("reram", runs.reram_bits)
