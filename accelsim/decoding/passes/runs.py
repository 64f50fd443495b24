"""A pass as runs in program order: a slot of an op's loads, and the computation on it.

An op is cut into as many runs as its largest load needs slots, all of equal share; an op without loads
is one run. An op of more than MOST_RUNS slots has that many runs of some slots each, so that the program of a very
long prompt stays small; where its first load and last computation overlap nothing then counts for more, by less
than a MOST_RUNS-th of the op. Of two owners, draft and verify, the runs follow one another by the named interleaving:

    proportional  each at the same share of its own work (by the busiest resource of each run)
    verify_first  the draft's after all of the verify's
    draft_first   the other way round
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.decoding.passes.stores import Stores
from accelsim.decoding.passes.work import OpCost, PassWork
from accelsim.program.program import Ints

Owner = Literal["verify", "draft"]
Interleave = Literal["proportional", "verify_first", "draft_first"]
MOST_RUNS = 2048
OWNERS: tuple[Owner, ...] = ("verify", "draft")
INTERLEAVES: tuple[Interleave, ...] = ("proportional", "verify_first", "draft_first")


@dataclass(frozen=True)
class Stream:
    """Passes of one owner that follow one another: a verify, or some draft steps."""

    owner: Owner
    passes: tuple[PassWork, ...]

    @property
    def ops(self) -> list[OpCost]:
        return [op for one in self.passes for op in one.ops]


@dataclass(frozen=True)
class Runs:
    """Arrays of shape (runs,). `op` is the place in the owner's stream; gathers and stores stand at an
    op's last run; `needs` is how many further gathers of the owner must be over before the run."""

    owner: Ints
    op: Ints
    compute_fs: Ints
    dram_bits: Ints
    reram_bits: Ints
    gather_bits: Ints
    stored_bits: Ints
    needs: Ints

    def __len__(self) -> int:
        return int(self.op.size)


def merged_runs(streams: Sequence[Stream], stores: Stores, interleave: Interleave) -> Runs:
    """The runs of one stream, or of a verify and a draft in the order that the interleaving says."""
    parts = [stream_runs(stream, stores) for stream in streams]
    keys = [_key(stream.owner, part, stores, interleave) for stream, part in zip(streams, parts, strict=True)]
    owners = np.concatenate([part.owner for part in parts])
    order = np.lexsort((owners, np.concatenate(keys)))
    columns = {field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Runs)}
    return Runs(**{name: column[order] for name, column in columns.items()})


def _key(owner: Owner, runs: Runs, stores: Stores, interleave: Interleave) -> NDArray[np.float64]:
    """Where on 0..1 each run stands."""
    if interleave != "proportional":
        return np.full(len(runs), float(interleave != f"{owner}_first"))
    loads = np.maximum(stores.dram.busy_fs(runs.dram_bits), stores.reram.busy_fs(runs.reram_bits))
    work = np.maximum(runs.compute_fs, loads).astype(np.float64)
    return np.asarray((np.cumsum(work) - work / 2) / max(1.0, float(work.sum())), np.float64)


def stream_runs(stream: Stream, stores: Stores) -> Runs:
    """The runs of one owner's passes."""
    ops = stream.ops
    dram, reram, compute, gather, stored = (
        np.array([getattr(op, name) for op in ops], np.int64)
        for name in ("dram_bits", "reram_bits", "compute_fs", "gather_bits", "stored_bits")
    )
    counts = np.clip(-(-np.maximum(dram, reram) // stores.slot_bits), 1, MOST_RUNS)
    op = np.repeat(np.arange(len(ops)), counts)
    nth = np.arange(op.size) - np.repeat(np.cumsum(counts) - counts, counts)
    last, first = nth == counts[op] - 1, nth == 0

    def share(whole: Ints) -> Ints:
        """Equal parts, larger by one in the first few runs of an op."""
        return np.asarray(whole[op] // counts[op] + (nth < whole[op] % counts[op]), np.int64)

    return Runs(
        owner=np.full(op.size, OWNERS.index(stream.owner), np.int64),
        op=op,
        compute_fs=share(compute),
        dram_bits=share(dram),
        reram_bits=share(reram),
        gather_bits=np.where(last, gather[op], 0),
        stored_bits=np.where(last, stored[op], 0),
        needs=np.where(first, _gathers_needed(stream, gather)[op], 0),
    )


def _gathers_needed(stream: Stream, gather: Ints) -> Ints:
    """Per op, how many gathers it waits for beyond those that an earlier op has waited for.

    The first op of a later pass waits for all before it: its token comes of them.
    """
    done = np.cumsum(gather > 0)
    needed, begin = np.zeros(gather.size, np.int64), 0
    for one in stream.passes:
        needed[begin] = done[begin - 1] if begin else 0
        for place, after in enumerate(one.after):
            if after:
                needed[begin + place] = max(int(done[begin + earlier]) for earlier in after)
        begin += len(one.ops)
    return np.asarray(np.diff(np.maximum.accumulate(needed), prepend=0), np.int64)
