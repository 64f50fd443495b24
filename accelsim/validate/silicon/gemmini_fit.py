"""The three constants of Gemmini's host and DMA engine, fitted on every tenth 16 x 16 row of explicit mappings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from accelsim.hardware.machine import Machine
from accelsim.hardware.offload import Host
from accelsim.mapping.commands import Commands, time_commands

EVERY = 10
START = (100.0, 100.0, 16.0)
"""Cycles to issue a conv and a matmul, and from a request to its answer."""
STEPS = (2.0, 1.2, 1.05, 1.01)


def with_constants(machine: Machine, constants: Sequence[float]) -> Machine:
    """The machine with other constants. ValueError without a DMA engine."""
    if machine.dma is None:
        raise ValueError(f"{machine.name} has no DMA engine")
    conv, matmul, latency = constants
    return replace(machine, host=Host(matmul, conv), dma=replace(machine.dma, latency_cycles=latency))


def fitted(layers: Sequence[Commands], measured_cycles: Sequence[float], machine: Machine) -> tuple[float, ...]:
    """The constants of least mean |log(ours / measured)|: each is stepped up and down by ever smaller factors."""

    def error(constants: Sequence[float]) -> float:
        trial = with_constants(machine, constants)
        ours = (time_commands(layer, trial).cycles for layer in layers)
        return math.fsum(abs(math.log(a / b)) for a, b in zip(ours, measured_cycles, strict=True))

    best: tuple[float, ...] = START
    least = error(START)
    for step in STEPS:
        better = True
        while better:
            better = False
            for at in range(len(best)):
                for factor in (step, 1 / step):
                    trial = tuple(value * factor if at == each else value for each, value in enumerate(best))
                    found = error(trial)
                    if found < least:
                        best, least, better = trial, found, True
    return best
