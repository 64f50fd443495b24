"""The tiling that our model likes best, out of those that TVM's schedule can take (AutoTVM's own space).

Whole tiles, two threads or one, all that fits the buffers. Tilings are ranked by the larger of what the array
and the DMA engine take on tiles away from the edges; the engine then times the first few.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from accelsim.hardware.adder_tree import AdderTree
from accelsim.hardware.machine import Machine
from accelsim.mapping.fit import demands, misfit
from accelsim.mapping.nest import Mapping
from accelsim.mapping.problem import Problem
from accelsim.validate.explicit import cost_of
from accelsim.validate.silicon.vta_nest import Tiling, nest_of

TIMED = 16


def best_cycles(problem: Problem, machine: Machine) -> int:
    """Cycles of the best of them. ValueError where none fits."""
    ranked = sorted(tilings(problem, machine), key=lambda tiling: (rank_cycles(tiling, problem, machine), str(tiling)))
    found: list[int] = []
    for tiling in ranked:
        mapping = nest_of(tiling, problem, machine)
        if _fits(problem, mapping, machine, tiling.threads):
            found.append(cost_of(problem, mapping, machine).cycles)
        if len(found) == TIMED:
            break
    return min(found)


def _fits(problem: Problem, mapping: Mapping, machine: Machine, threads: int) -> bool:
    """Every thread has sums of its own."""
    psums = machine.psum_buffer
    room = threads * demands(problem, mapping, machine)[psums.name] <= psums.capacity_bits
    return room and misfit(problem, mapping, machine) is None


def tilings(problem: Problem, machine: Machine) -> Iterator[Tiling]:
    """Every tiling into whole tiles; two threads where there are two tiles of filters or of rows."""
    array = _array(machine)
    size = problem.extent
    filters = _divisors(size("k") // array.pco)
    for rows in _divisors(size("p")):
        for columns in _divisors(size("q")):
            for channels in _divisors(size("c") // array.pci):
                for blocks in filters:
                    tiles = size("p") // rows, size("groups") * size("k") // array.pco // blocks
                    yield Tiling(rows, columns, channels, blocks, 2 if max(tiles) > 1 else 1)


def rank_cycles(tiling: Tiling, problem: Problem, machine: Machine) -> float:
    """About what a tiling takes: of array and transfers the slower, and the stores that the array waits for."""
    array, dma, conv = _array(machine), machine.strided_dma, problem.conv
    if dma is None or conv is None:
        raise ValueError("tilings are of convs, on a machine with a strided DMA")
    size = problem.extent
    outputs = tiling.rows * tiling.columns
    tiles = size("n") // array.po * size("groups") * size("p") * size("q") // outputs
    tiles = tiles * size("k") // array.pco // tiling.filter_blocks
    steps = tiles * size("c") // array.pci // tiling.channel_blocks
    taps = size("r") * size("s")
    fills = math.prod([n for n in (tiling.channel_blocks, tiling.columns, size("s")) if n > 1][: array.sequencer_loops])
    per_step = outputs * taps * tiling.filter_blocks * tiling.channel_blocks + fills * array.pipeline_stages
    high, wide = (
        min((count - 1) * stride + kernel, whole)
        for count, stride, kernel, whole in zip(
            (tiling.rows, tiling.columns), conv.stride, (conv.r, conv.s), (conv.h, conv.w), strict=True
        )
    )
    together = wide == conv.w and not any(conv.padding)
    runs = tiling.channel_blocks * (1 if together else high) + tiling.filter_blocks
    bits = 8 * array.pci * tiling.channel_blocks * (array.po * high * wide + array.pco * tiling.filter_blocks * taps)
    loads = steps * (runs * dma.run_fs + machine.dram.transfer_fs(bits))
    stored = tiling.filter_blocks * (1 if tiling.columns == size("q") else tiling.rows) * dma.run_fs
    stored += machine.dram.transfer_fs(8 * array.po * array.pco * tiling.filter_blocks * outputs)
    busy = (steps * per_step + tiles * outputs * tiling.filter_blocks * array.output_cycles) * machine.period_fs
    return max(busy + tiles * stored, loads + tiles * stored) / machine.period_fs


def _array(machine: Machine) -> AdderTree:
    if not isinstance(machine.array, AdderTree):
        raise ValueError("VTA's array is an adder tree")
    return machine.array


def _divisors(number: int) -> list[int]:
    return [each for each in range(1, number + 1) if number % each == 0]
