"""VTA's fitted constants: what a run of addresses adds, and the cycles a finished block of outputs takes.

Fitted on a seeded quarter of the convs of each campaign (group convs are all predicted): the first two on
those of July and August 2019 that agree with one another, the last on the campaign that does not. A block is shifted,
and clipped from both sides (TVM's tuning scripts: right_shift, clip), by an instruction of a cycle each: it takes three
cycles at least, and that is what comes out (without this limit, 0 cycles and 800 ns a run fit these layers better).
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from accelsim.hardware.adder_tree import AdderTree
from accelsim.hardware.machine import Machine
from accelsim.mapping.nest import Mapping
from accelsim.mapping.problem import Problem
from accelsim.validate.explicit import cost_of

SEED = 7
SHARE = 4
"""One run in so many is fitted on."""
RUN_CYCLES = range(40, 125, 5)
OUTPUT_CYCLES = range(3, 9)
SLOW_OUTPUT_CYCLES = range(40, 125, 5)


@dataclass(frozen=True)
class Layer:
    """A conv under its mapping, and its cycles on the board."""

    problem: Problem
    mapping: Mapping
    machine: Machine
    measured_cycles: float


def chosen(count: int) -> frozenset[int]:
    """Which of `count` runs are fitted on."""
    return frozenset(random.Random(SEED).sample(range(count), count // SHARE))


def with_constants(machine: Machine, run_cycles: int, output_cycles: int) -> Machine:
    """The machine with other constants. ValueError without a strided DMA or an adder tree."""
    if machine.strided_dma is None or not isinstance(machine.array, AdderTree):
        raise ValueError(f"{machine.name} has no strided DMA or no adder tree")
    dma = replace(machine.strided_dma, run_fs=run_cycles * machine.period_fs)
    return replace(machine, strided_dma=dma, array=replace(machine.array, output_cycles=output_cycles))


def fitted(layers: Sequence[Layer], runs: Sequence[int], outputs: Sequence[int]) -> tuple[int, int]:
    """The constants of least mean |log(ours / measured)| on a grid; the smaller ones where several are equal."""

    def error(constants: tuple[int, int]) -> float:
        ours = (
            cost_of(layer.problem, layer.mapping, with_constants(layer.machine, *constants)).cycles for layer in layers
        )
        return math.fsum(abs(math.log(a / layer.measured_cycles)) for a, layer in zip(ours, layers, strict=True))

    return min(itertools.product(runs, outputs), key=error)
