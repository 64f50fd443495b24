"""Small matmuls with prime extents, and adder trees whose buffers cut them into tiles."""

from __future__ import annotations

import dataclasses
import random
from functools import cache

from accelsim.hardware.adder_tree import AdderTree
from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping.problem import Problem, matmul_problem
from accelsim.schemes import PsumScheme
from accelsim.spec.models import ArchSpec
from accelsim.workload.trace import MatmulDims
from tests.reference.cases import arch

SMALL, LARGE = (1, 2, 3, 4, 5, 6, 7), (8, 9, 10, 11, 11, 11, 12, 13, 13, 13, 14)
MOST_WALKED = 1e7
"""Steps of all nests of a case together, roughly; more are drawn anew."""


def search_case(
    seed: int, dataflow: str = "search", smallest_bytes: int = 16, shared: bool = False
) -> tuple[Problem, Machine]:
    """A problem and a machine; many extents are 11, 13 or 17; batch dims in some, shared ones if wanted."""
    rng = random.Random(seed)
    while True:
        problem, widths = _problem(rng, shared), [rng.randint(1, 5) for _ in range(3)]
        if _walked(problem, widths) <= MOST_WALKED:
            return problem, machine_of(rng, widths, dataflow, smallest_bytes)


def _problem(rng: random.Random, shared: bool) -> Problem:
    m, k, n = (rng.choice(rng.choice([SMALL, LARGE, LARGE, (17,)])) for _ in range(3))
    b, g = rng.choice([(1, 2), (1, 3), (2, 2)] if shared else [(1, 1), (1, 1), (1, 1), (2, 1)])
    psum = (
        PsumScheme(rng.choice([16, 32, 32]))
        if rng.random() < 0.5
        else PsumScheme(rng.choice([7, 8]), rng.randint(1, 3))
    )
    widths = [rng.choice([4, 8, 8, 8, 16]) for _ in range(3)]
    return matmul_problem(MatmulDims(b, g, m, k, n), widths[0], widths[1], widths[2], psum)


def _walked(problem: Problem, widths: list[int]) -> float:
    """Tile sizes x orders x steps."""
    b, g, *sides = (extent for _, extent in problem.extents)
    orders = 24 * 24 if g > 1 else 6 * 6
    total = float(b * g * g * orders)
    for extent, width in zip(sides, widths, strict=True):
        total *= extent * max(1.0, 1.3 * extent / width)
    return total


def machine_of(rng: random.Random, widths: list[int], dataflow: str, smallest_bytes: int) -> Machine:
    """An adder tree so wide along rows, reduction and columns, with buffers of some tens of bytes."""
    machine = _full_size(rng.choice([0.0, 2.0, 50.0]), rng.choice([0.1, 1.0, 8.0]), rng.choice([8, 16, 64]))
    assert isinstance(machine.array, AdderTree)
    po, pci, pco = widths
    stages = rng.choice([0, 1, 3, 10])
    array = dataclasses.replace(machine.array, po=po, pci=pci, pco=pco, pipeline_stages=stages)
    # Which dataflows a spec may name is not at stake here.
    array = dataclasses.replace(array, dataflow=dataflow)  # type: ignore[arg-type]
    machine = dataclasses.replace(machine, array=array)
    for sram in machine.memories:
        word_bits = rng.choice([16, 32, 64])
        ports = [rng.choice([word_bits // 2, word_bits, 2 * word_bits]) for _ in range(2)]
        capacity = int(8 * smallest_bytes * (20 ** rng.random()))
        small = dataclasses.replace(
            sram,
            word_bits=word_bits,
            capacity_bits=capacity,
            read_bits_per_cycle=ports[0],
            write_bits_per_cycle=ports[1],
        )
        machine = machine.with_memory(small)
    return machine


@cache
def _full_size(latency_ns: float, gb_per_s: float, burst_bytes: int) -> Machine:
    spec = arch(
        {"kind": "adder_tree", "dataflow": "weight_stationary", "po": 1, "pci": 1, "pco": 1}, latency_ns=latency_ns
    )
    dram = spec.dram.model_copy(update={"bandwidth_gb_per_s": gb_per_s, "burst_bytes": burst_bytes})
    return build_machine(ArchSpec.model_validate(spec.model_copy(update={"dram": dram}).model_dump()))
