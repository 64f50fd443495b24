"""The numbers that the kernels pass each other: workspace, counts, best mapping so far."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.mapping.search.tables import MAX_LEVELS, Floats, Ints

MAX_LOOPS = 24
MAX_PER_DIM = 6
MAX_CLASSES = 64
MAX_TILES = 4096
MAX_PLACES = 2048


class Halo(NamedTuple):
    """A conv's input tiles for every number of loops of its two joint dims (see `mapping.halo`).

    Entry (a, b) = kinds of tile below a loops of dim `row` and b of dim `red`, at a * stride + b;
    `row` is -1 where tiles do not overlap.
    """

    row: int
    red: int
    stride: int
    first: Ints
    values: Ints
    row_cut: Ints
    red_cut: Ints
    count: Ints


class Work(NamedTuple):
    """Scratch: chunk classes by (dim, loops taken, class), and the tile kinds being put together."""

    size: Ints
    cut: Ints
    count: Ints
    number: Ints
    pieces: Ints
    trips: Ints
    values: Ints
    cuts: Ints
    tiles: Ints
    visits: Ints
    rows: Ints
    columns: Ints


class Counts(NamedTuple):
    """What one nest moves, by prefix p (0 = above every loop, last = below all)."""

    depth: Ints
    """(p, dims) loops of each dim among the first p."""
    steps: Ints
    """(p,) iterations of the first p loops."""
    largest: Ints
    """(3, p) values of the largest tile."""
    tiles: Ints
    fetches: Ints
    moved: Ints
    """(3, p) DRAM bits of all fetches; of outputs, of finished tiles."""
    words: Ints
    """(3, levels, p) memory words of the same."""
    psum_moved: Ints
    """(p,) DRAM bits of every visit of an output tile but the last."""
    psum_words: Ints
    """(levels, p)"""
    visits: Ints
    """(p,) most visits of an output tile."""
    again: Ints
    """(p,) output values of every visit but the last."""
    stores: Ints
    """(p,) output values of every visit, of tiles visited more than once."""
    fold_cycles: Ints
    """(1,) cycles of a systolic array."""
    bias_reads: Ints
    """(1,) words read to start every output tile of the array with its bias."""


class Places(NamedTuple):
    """Ways to store one operand: by (operand, way)."""

    number: Ints
    """(3,)"""
    energy_pj: Floats
    dram_bits: Ints
    edge_bits: Ints
    """Of the tile that nothing overlaps: an input's first, the output's last."""
    depth: Ints
    """Loops above the innermost memory."""
    need_bits: Ints
    """(3, ways, memories)"""
    read_cycles: Floats
    write_cycles: Floats
    position: Ints
    """(3, ways, levels) loops above each memory of the chain; -1: passed by."""


class Best(NamedTuple):
    """The best mapping so far, changed in place."""

    score: Floats
    """(4,) objective, second metric, energy pJ, time fs."""
    loops: Ints
    """(1 + 2 MAX_LOOPS,) how many, their dims, their steps."""
    position: Ints
    """(3, levels)"""
    counted: Ints
    """(2,) nests and mappings counted."""


def no_halo() -> Halo:
    """For a problem whose tiles do not overlap."""
    empty = np.zeros(0, np.int64)
    return Halo(-1, -1, 1, np.zeros(2, np.int64), empty, empty, empty, empty)


def workspace(dims: int) -> Work:
    """Scratch for nests over `dims` dims."""
    shape = (dims, MAX_PER_DIM, MAX_CLASSES)
    size, cut, count = (np.zeros(shape, np.int64) for _ in range(3))
    number, pieces = (np.zeros(shape[:2], np.int64) for _ in range(2))
    flat = [np.zeros(MAX_TILES, np.int64) for _ in range(6)]
    return Work(size, cut, count, number, pieces, np.zeros(MAX_LOOPS + 1, np.int64), *flat)


def counts(dims: int) -> Counts:
    """Empty counts of nests over `dims` dims."""
    p = MAX_LOOPS + 1

    def zeros(*shape: int) -> Ints:
        return np.zeros(shape, np.int64)

    return Counts(
        zeros(p, dims), zeros(p), zeros(3, p), zeros(3, p), zeros(3, p), zeros(3, p), zeros(3, MAX_LEVELS, p),
        zeros(p), zeros(MAX_LEVELS, p), zeros(p), zeros(p), zeros(p), zeros(1), zeros(1),
    )  # fmt: skip


def places(memories: int) -> Places:
    """Room for every way to store the operands of one nest."""

    def of(*shape: int) -> Ints:
        return np.zeros((3, MAX_PLACES, *shape), np.int64)

    def real(*shape: int) -> Floats:
        return np.zeros((3, MAX_PLACES, *shape))

    return Places(
        np.zeros(3, np.int64), real(), of(), of(), of(), of(memories), real(memories), real(memories), of(MAX_LEVELS)
    )


def no_best() -> Best:
    """Nothing found yet."""
    return Best(
        np.full(4, np.inf),
        np.zeros(1 + 2 * MAX_LOOPS, np.int64),
        np.full((3, MAX_LEVELS), -1, np.int64),
        np.zeros(2, np.int64),
    )
