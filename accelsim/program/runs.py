"""What a strided DMA moves for each tile of a nested conv: how many runs, and the values of the box around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from accelsim.hardware.dram import Dram
from accelsim.hardware.machine import Machine
from accelsim.hardware.strided_dma import StridedDma
from accelsim.mapping.halo import NESTED_PAIRS
from accelsim.mapping.problem import OperandName, Problem
from accelsim.program.chain import Chain
from accelsim.program.program import Ints
from accelsim.program.steps import Steps
from accelsim.program.tiles import Level
from accelsim.program.transfer import Transfer
from accelsim.workload.trace import ConvDims


def run_by_run(
    chain: Chain, problem: Problem, steps: Steps, levels: Sequence[Level], operand: OperandName, machine: Machine
) -> Chain:
    """The chain with its transfers from and to DRAM as long as the machine's strided DMA takes, if it has one."""
    dma = machine.strided_dma
    if dma is None:
        return chain
    runs, boxes = tile_runs(problem, steps, levels[0], operand, dma)
    value_bits = {"ifmap": problem.ifmap_bits, "weight": problem.weight_bits, "output": problem.ofmap_bits}[operand]

    def longer(transfer: Transfer) -> Transfer:
        if not isinstance(transfer.store, Dram):
            return transfer
        box = np.maximum(boxes * value_bits, transfer.bits)
        pairs, where = np.unique(np.stack([box, transfer.bits]), axis=1, return_inverse=True)
        more = [machine.dram.transfer_fs(int(a)) - machine.dram.transfer_fs(int(b)) for a, b in pairs.T]
        extra = np.array(more, np.int64)[where.ravel()] + runs * dma.run_fs
        return replace(transfer, runs_fs=np.where(transfer.bits > 0, extra, 0))

    return replace(chain, inwards=tuple(map(longer, chain.inwards)), outwards=tuple(map(longer, chain.outwards)))


def tile_runs(problem: Problem, steps: Steps, level: Level, operand: OperandName, dma: StridedDma) -> tuple[Ints, Ints]:
    """Runs and values of every transfer of an operand's tiles at a level, shape (n,) each.

    Layout and runs are those of `accelsim.hardware.strided_dma`; a matmul's tile is one run.
    """
    conv, begins = problem.conv, level.tiles.begins
    if conv is None or not problem.nested:
        return np.ones(level.tiles.values.size, np.int64), level.tiles.values

    def tile(dim: str) -> tuple[Ints, Ints]:
        start, extent = steps.ranges(dim, level.depth)
        return start[begins], extent[begins]

    size = {dim: tile(dim)[1] for dim in problem.relevant(operand)}
    if operand == "weight":
        taps, blocks = size["r"] * size["s"], _blocks(size["c"], dma.channel_block)
        all_taps = taps == conv.r * conv.s
        parts = np.where(all_taps, 1, blocks * np.where(size["s"] == conv.s, 1, size["r"]))
        filters = size["groups"] * _blocks(size["k"], dma.filter_block)
        whole = np.where(size["k"] == conv.k, 1, size["groups"])
        runs = np.where(all_taps & (size["c"] == conv.c), whole, filters * parts)
        return runs, size["groups"] * size["k"] * size["c"] * taps
    images = _blocks(size["n"], dma.image_block)
    if operand == "output":
        channels = size["groups"] * _blocks(size["k"], dma.filter_block)
        runs = images * channels * np.where(size["q"] == conv.q, 1, size["p"])
        return runs, size["groups"] * size["n"] * size["k"] * size["p"] * size["q"]
    high, wide = (_box(conv, axis, *(tile(dim) for dim in pair)) for axis, pair in enumerate(NESTED_PAIRS))
    channels = size["groups"] * _blocks(size["c"], dma.channel_block)
    together = (wide == conv.w) & (not any(conv.padding))
    rows = np.where(together, np.minimum(high, 1), high * (wide > 0))
    return images * channels * rows, size["groups"] * size["n"] * size["c"] * high * wide


def _box(conv: ConvDims, axis: int, outputs: tuple[Ints, Ints], taps: tuple[Ints, Ints]) -> Ints:
    """Positions of one axis from the first to the last that the tile needs, padding left out."""
    (start, count), (tap, many) = outputs, taps
    stride, dilation, padding = conv.stride[axis], conv.dilation[axis], conv.padding[axis]
    first = start * stride + tap * dilation - padding
    last = (start + count - 1) * stride + (tap + many - 1) * dilation - padding
    return np.asarray(np.maximum(np.minimum(last, (conv.h, conv.w)[axis] - 1) - np.maximum(first, 0) + 1, 0), np.int64)


def _blocks(size: Ints, block: int) -> Ints:
    return np.asarray(-(-size // block), np.int64)
