"""Tiles of a host's commands: those of Gemmini's own software (gemmini.h), which fill half of each memory, and better
ones by `time_commands`.

`tiled_conv_auto` shrinks the largest dim until all fits, then grows what still can. `tiled_matmul_auto` begins with a
square of outputs that fills half of half of the accumulators, and grows columns, rows and reduction in turn.
"""

from __future__ import annotations

import math
from dataclasses import replace

from accelsim.hardware.machine import Machine
from accelsim.hardware.systolic import Systolic
from accelsim.mapping.commands import Commands, Dim, time_commands

ORDER: tuple[Dim, ...] = ("n", "p", "q", "k", "r", "s", "c")
CHANNELS = ("k", "c")
GROWING: tuple[Dim, ...] = ("k", "p", "c")


def default_commands(extents: dict[Dim, int], stride: int, machine: Machine) -> Commands:
    """A conv in the tiles that the software takes, half of the memories each. ValueError for another array."""
    array = machine.array
    if not isinstance(array, Systolic):
        raise ValueError(f"{machine.name} is no systolic array")
    dim = array.rows
    tile = dict(extents)
    while not _fits(tile, stride, machine, dim) and max(tile.values()) > 1:
        # Columns of up to one array are kept while there are rows to give, for they fill the array.
        free = [d for d in ORDER if not (d == "q" and tile["q"] <= dim and tile["p"] > 1)]
        largest = max(free, key=lambda d: tile[d])
        if largest in CHANNELS:
            tile[largest] = max(1, tile[largest] // dim * dim if tile[largest] % dim else tile[largest] - dim)
        else:
            tile[largest] -= 1
    for growing in (("q",), ORDER):
        grown = True
        while grown:
            grown = False
            for d in growing:
                larger = {**tile, d: tile[d] + 1}
                if larger[d] <= extents[d] and _fits(larger, stride, machine, dim):
                    tile, grown = larger, True
    return commands_of(extents, tile, stride)


def matmul_commands(rows: int, columns: int, reduction: int, machine: Machine) -> Commands:
    """A matmul in the tiles that the software takes. ValueError for another array."""
    array = machine.array
    if not isinstance(array, Systolic):
        raise ValueError(f"{machine.name} is no systolic array")
    dim = array.rows
    whole: dict[Dim, int] = {"p": -(-rows // dim), "k": -(-columns // dim), "c": -(-reduction // dim)}
    scratchpad, accumulators = (
        machine.ifmap_buffer.capacity_bits // (array.operand_bits * dim * dim),
        machine.psum_buffer.capacity_bits // (array.accumulator_bits * dim * dim),
    )
    side = max(1, math.isqrt(accumulators // 2))
    blocks: dict[Dim, int] = {
        "p": min(whole["p"], side),
        "k": min(whole["k"], side),
        "c": min(whole["c"], max(1, scratchpad // 4 // side)),
    }
    grown = True
    while grown:
        grown = False
        for d in GROWING:
            larger = {**blocks, d: blocks[d] + 1}
            fits = (larger["p"] + larger["k"]) * larger["c"] <= scratchpad // 2
            if larger[d] <= whole[d] and fits and larger["p"] * larger["k"] <= accumulators // 2:
                blocks, grown = larger, True
    extents: dict[Dim, int] = {"n": 1, "c": reduction, "k": columns, "p": rows, "q": 1, "r": 1, "s": 1}
    tile: dict[Dim, int] = {d: min(extents[d], blocks[d] * dim if d in blocks else 1) for d in extents}
    loops: tuple[Dim, ...] = ("p", "k", "c")
    trips = tuple((d, -(-extents[d] // tile[d])) for d in loops)
    return Commands(extents, tile, tuple((d, count) for d, count in trips if count > 1), 1, conv=False)


def best_commands(start: Commands, machine: Machine) -> Commands:
    """Tiles that the model finds faster, from those of `start` on: a dim of the tile is halved, doubled, or changed by
    an array's width, one at a time, as long as it still fits the way that Gemmini's software counts it."""
    if not isinstance(machine.array, Systolic):
        raise ValueError(f"{machine.name} is no systolic array")
    dim = machine.array.rows
    best, least = start, _cycles(start, machine)
    better = True
    while better:
        better = False
        for d in ORDER:
            size, whole = best.tile[d], best.extents[d]
            steps = {size // 2, 2 * size, size - dim, size + dim, whole}
            for other in sorted({min(whole, each) for each in steps if each >= 1} - {size}):
                tile = {**best.tile, d: other}
                if not _fits(tile, start.stride, machine, dim):
                    continue
                trial = commands_of(dict(start.extents), tile, start.stride)
                trial = replace(
                    trial,
                    conv=start.conv,
                    unpadded_share=start.unpadded_share,
                    bits=start.bits,
                    copies=start.copies,
                    cold=start.cold,
                )
                cycles = _cycles(trial, machine)
                if cycles < least:
                    best, least, better = trial, cycles, True
    return best


def _cycles(layer: Commands, machine: Machine) -> float:
    """A layer's time, no less than its inputs and outputs take through the DRAM's pins."""
    time = time_commands(layer, machine)
    bits = sum(time.missed_bits.values()) + layer.values("output", layer.extents) * layer.bits["output"]
    return max(time.cycles, bits / 8 * float(machine.dram.fs_per_byte) / machine.period_fs)


def commands_of(extents: dict[Dim, int], tile: dict[Dim, int], stride: int) -> Commands:
    """A conv in given tiles, in the software's order of loops, reductions innermost."""
    trips = ((dim, -(-extents[dim] // tile[dim])) for dim in ORDER)
    return Commands(extents, tile, tuple((dim, count) for dim, count in trips if count > 1), stride, conv=True)


def _fits(tile: dict[Dim, int], stride: int, machine: Machine, dim: int) -> bool:
    """Rows of the scratchpad and of the accumulators, half of each, as the software counts them."""
    height, width = tile["p"] * stride + tile["r"] - 1, tile["q"] * stride + tile["s"] - 1
    inputs = -(-tile["c"] // dim) * tile["n"] * height * width
    weights = -(-tile["k"] // dim) * tile["r"] * tile["s"] * tile["c"]
    outputs = -(-tile["k"] // dim) * tile["n"] * tile["p"] * tile["q"]
    scratchpad_rows = machine.ifmap_buffer.capacity_bits // (machine.array.operand_bits * dim)
    accumulator_rows = machine.psum_buffer.capacity_bits // (machine.array.accumulator_bits * dim)
    return inputs + weights <= scratchpad_rows // 2 and outputs <= accumulator_rows // 2
