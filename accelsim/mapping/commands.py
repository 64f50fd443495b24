"""Time of a matmul or conv that a host issues as commands, one a tile, to an array with a DMA engine of its own.

A command loads its tile of inputs and weights whole, streams its folds through the array back to back and,
where the loops inside have finished its outputs, stores them. One command loads while the one before computes:

    max(issue, load, compute)     load: requests of its rows + lines that the cache lacks (all, without one)
                                  compute: pixels streamed + a gap a fold

(its rows take the place of those that are finished with), and what does not overlap at both ends counts once.

Lines miss by reuse distance: a loop that brings the same lines again finds them in the cache if all that the
loops inside it touch fits (`Cache.footprint_bytes`). Tensors that all fit together are there from the start, for they
have just been written; but every line of a `cold` one misses once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from accelsim.hardware.machine import Machine
from accelsim.hardware.offload import Cache, Rows
from accelsim.hardware.sram import OperandName
from accelsim.hardware.systolic import Systolic

Dim = Literal["n", "c", "k", "p", "q", "r", "s"]
Tile = Mapping[Dim, int]
Bound = Literal["issue", "dma", "compute"]
DIMS: tuple[Dim, ...] = ("n", "c", "k", "p", "q", "r", "s")
RELEVANT: dict[OperandName, tuple[Dim, ...]] = {
    "ifmap": ("n", "c", "p", "q"), "weight": ("c", "k", "r", "s"), "output": ("n", "k", "p", "q"),
}  # fmt: skip
"""Of the inputs r and s only shift the window: nearly the same pixels come again."""
CONTIGUOUS: dict[OperandName, Dim] = {"ifmap": "c", "weight": "k", "output": "k"}
"""Inputs lie as (n, h, w, c), weights as (r, s, c, k), outputs as (n, p, q, k)."""
LOADED: tuple[OperandName, ...] = ("ifmap", "weight")
FOLD_GAP_CYCLES = 1


@dataclass(frozen=True)
class Commands:
    """A layer cut into commands: `loops` (dim, trips) outermost first over tiles of `tile`.

    A matmul has rows p, reduction c and columns k, and `conv` False. Edge tiles are smaller. Of a conv's work the array
    skips what falls on zeros of the padding; the rest is `unpadded_share`. `bits` are of a value of each operand.
    """

    extents: Tile
    tile: Tile
    loops: tuple[tuple[Dim, int], ...]
    stride: int
    conv: bool
    unpadded_share: float = 1.0
    bits: Mapping[OperandName, int] = field(default_factory=lambda: dict.fromkeys(RELEVANT, 8))
    copies: int = 1
    """Layers alike that run one after the other, and share the cache."""
    cold: tuple[OperandName, ...] = ()
    """Inputs of which no line is in the cache before."""

    def classes(self) -> Iterator[tuple[Tile, int]]:
        """Each distinct tile with its number."""
        sizes = []
        for dim in DIMS:
            whole, rest = divmod(self.extents[dim], self.tile[dim])
            sizes.append([(self.tile[dim], whole), *([(rest, 1)] if rest else [])])
        for each in itertools.product(*sizes):
            tile: dict[Dim, int] = dict(zip(DIMS, (size for size, _ in each), strict=True))
            yield tile, math.prod(count for _, count in each)

    def values(self, operand: OperandName, tile: Tile) -> int:
        """Values of an operand's part of a tile, halo with it."""
        return self.rows(operand, tile).rows * tile[CONTIGUOUS[operand]]

    def rows(self, operand: OperandName, tile: Tile) -> Rows:
        """An operand's part of a tile as rows in memory."""
        row = CONTIGUOUS[operand]
        if operand == "ifmap":
            height, width = (tile["p"] - 1) * self.stride + tile["r"], (tile["q"] - 1) * self.stride + tile["s"]
            count = tile["n"] * height * width
        elif operand == "weight":
            count = tile["r"] * tile["s"] * tile["c"]
        else:
            count = tile["n"] * tile["p"] * tile["q"]
        return Rows(count, *(-(-size[row] * self.bits[operand] // 8) for size in (tile, self.extents)))


@dataclass(frozen=True)
class CommandTime:
    """Core cycles of a layer and what bounds most of them.

    `compute_cycles` of them the array needs by itself, with room for `lane_macs` multiply-accumulates. Of each input
    commands load `loaded_values`, for which `missed_bits` cross the DRAM's pins.
    """

    cycles: float
    bound: Bound
    commands: int
    compute_cycles: int
    lane_macs: int
    loaded_values: Mapping[OperandName, int]
    missed_bits: Mapping[OperandName, int]


def time_commands(layer: Commands, machine: Machine) -> CommandTime:
    """Core cycles of a layer. ValueError for a machine without host, DMA engine or systolic array."""
    host, dma, array = machine.host, machine.dma, machine.array
    if host is None or dma is None or not isinstance(array, Systolic):
        raise ValueError(f"{machine.name} has no systolic array that a host issues commands to")
    issue = host.conv_issue_cycles if layer.conv else host.matmul_issue_cycles
    commands = math.prod(trips for _, trips in layer.loops)
    finished = math.prod(trips for dim, trips in layer.loops if dim in RELEVANT["output"]) / commands
    line_cycles = 0.0
    if dma.cache is not None:
        line_cycles = dma.cache.line_bytes * float(machine.dram.fs_per_byte) / machine.period_fs
    missing = {name: _lines_a_command(name, layer, commands, dma.cache) for name in LOADED}
    loaded, requested, missed = dict.fromkeys(LOADED, 0), dict.fromkeys(LOADED, 0), dict.fromkeys(LOADED, 0.0)
    cycles: dict[Bound, float] = {}
    ramp = computing = 0.0
    lane_macs = 0
    for tile, count in layer.classes():
        load = sum(dma.cycles(layer.rows(name, tile)) for name in LOADED)
        load += finished * dma.cycles(layer.rows("output", tile))
        for name in LOADED:
            rows = layer.rows(name, tile)
            loaded[name] += count * layer.values(name, tile)
            requested[name] += count * dma.requested_bits(rows)
            if dma.cache is None:
                load += dma.requested_bits(rows) / 8 * float(machine.dram.fs_per_byte) / machine.period_fs
            else:
                lines = missing[name] * dma.cache.lines(rows) / dma.cache.lines(layer.rows(name, layer.tile))
                missed[name] += count * lines
                load += line_cycles * lines
        busy = layer.unpadded_share * array_cycles(tile, layer.conv, array)
        parts: dict[Bound, float] = {"issue": issue, "dma": load, "compute": busy}
        slowest = max(parts, key=lambda name: parts[name])
        cycles[slowest] = cycles.get(slowest, 0.0) + count * parts[slowest]
        ramp = max(ramp, min(load, busy))
        computing += count * busy
        lane_macs += count * array.macs_per_cycle * streamed_rows(tile, array)
    skew = array.rows + array.cols - 2 + array.rows
    total = sum(cycles.values()) + ramp + skew
    slowest = max(cycles, key=lambda name: cycles[name])
    moved = requested
    if dma.cache is not None:
        moved = {name: math.ceil(lines) * dma.cache.line_bytes * 8 for name, lines in missed.items()}
    return CommandTime(total, slowest, commands, int(computing + skew), lane_macs, loaded, moved)


def streamed_rows(tile: Tile, array: Systolic) -> int:
    """Rows of inputs that a tile's folds take in, all together."""
    return _weight_tiles(tile, array) * tile["n"] * tile["p"] * tile["q"]


def array_cycles(tile: Tile, conv: bool, array: Systolic) -> float:
    """Cycles of a tile's folds, one after the other without draining: each streams its pixels of one image row or
    column (whichever takes fewer folds; of a matmul, its rows), at most as many as the array has rows."""
    p, q = tile["p"], tile["q"]
    streams = -(-tile["n"] * p * q // array.rows)
    if conv:
        streams = tile["n"] * min(p * -(-q // array.rows), q * -(-p // array.rows))
    return float(streamed_rows(tile, array) + _weight_tiles(tile, array) * FOLD_GAP_CYCLES * streams)


def _weight_tiles(tile: Tile, array: Systolic) -> int:
    return tile["r"] * tile["s"] * -(-tile["c"] // array.rows) * -(-tile["k"] // array.cols)


def _lines_a_command(operand: OperandName, layer: Commands, commands: int, cache: Cache | None) -> float:
    """Lines that a command of a whole tile misses in the mean; of a cold operand all commands miss every line once."""
    if cache is None:
        return 0.0
    again = missing_lines(operand, layer, cache) / commands
    if operand not in layer.cold:
        return again
    each = sum(count * cache.lines(layer.rows(operand, tile)) for tile, count in layer.classes())
    once = cache.lines(layer.rows(operand, layer.extents)) * cache.lines(layer.rows(operand, layer.tile)) / each
    return max(again, once)


def missing_lines(operand: OperandName, layer: Commands, cache: Cache | None) -> float:
    """Lines of an operand that all commands together fetch from the DRAM, were each of a whole tile."""
    if cache is None:
        return 0.0
    loops = layer.loops
    if layer.copies * _footprint_bytes(layer, loops, cache) <= cache.capacity_bytes:
        return 0.0
    tile = layer.rows(operand, layer.tile)
    lines = float(cache.lines(tile) * math.prod(trips for _, trips in loops))
    for at in range(len(loops) - 1, -1, -1):
        # Loops that leave the operand alone touch it at every trip: what counts comes after the last of them.
        inside = itertools.dropwhile(lambda loop: loop[0] not in RELEVANT[operand], loops[at + 1 :])
        if _footprint_bytes(layer, tuple(inside), cache) > cache.capacity_bytes:
            break
        dim, trips = loops[at]
        if dim not in RELEVANT[operand]:
            lines /= trips
        elif dim == CONTIGUOUS[operand]:
            lines /= min(trips, _tiles_a_line(tile, cache))
    return lines


def _footprint_bytes(layer: Commands, loops: Sequence[tuple[Dim, int]], cache: Cache) -> float:
    """Room in the cache that these loops' inputs and weights take; tiles side by side make longer rows."""
    total = 0.0
    for operand in LOADED:
        tile = layer.rows(operand, layer.tile)
        width, tiles = tile.row_bytes, 1
        for dim, trips in loops:
            if dim == CONTIGUOUS[operand]:
                width *= trips
            elif dim in RELEVANT[operand]:
                tiles *= trips
        total += tiles * cache.footprint_bytes(Rows(tile.rows, min(width, tile.stride_bytes), tile.stride_bytes))
    return total


def _tiles_a_line(tile: Rows, cache: Cache) -> int:
    """Neighbouring tiles whose rows share a line."""
    return max(1, cache.line_bytes // tile.row_bytes)
