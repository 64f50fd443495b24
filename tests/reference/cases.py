"""Small ragged problems and nests, and machines with buffers of a few words, drawn evenly at random.

Each is built by `random.Random` from a hypothesis (size, seed): evenly, where hypothesis' own
strategies would mostly give the simplest cases, and still shrunk to the smallest size that fails.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

from hypothesis import strategies as st

from accelsim.hardware.machine import Machine, build_machine
from accelsim.hardware.sram import Sram
from accelsim.mapping.nest import Loop, Mapping, Node, Store
from accelsim.mapping.problem import OPERANDS, OperandName, Problem
from accelsim.schemes import PsumScheme
from accelsim.spec.models import ArchSpec, SpatialReduction
from accelsim.validate.random_nests import LEVELS, RULES, nest_of, problem_of

LARGEST_SIZE = 12
ARRAYS = ("adder_tree", "systolic", "pe_grid")
DATAFLOWS = ("weight_stationary", "input_stationary", "output_stationary")
MATMUL_DIMS, CONV_DIMS = ("b", "g", "m", "k", "n"), ("groups", "n", "p", "q", "c", "r", "s", "k")

Case = TypeVar("Case")


def drawn(build: Callable[[random.Random, int], Case]) -> st.SearchStrategy[Case]:
    """Cases of `build(rng, size)`, sizes 1..LARGEST_SIZE."""
    sizes = st.sampled_from(range(1, LARGEST_SIZE + 1))
    return st.builds(lambda size, seed: build(random.Random(seed), size), sizes, st.integers(0, 2**48))


def arch(array: dict[str, Any], spill: str = "through", latency_ns: float = 0.0, kib: float = 256.0) -> ArchSpec:
    """A whole accelerator around `array`, with equal buffers."""
    buffer = {"capacity_kib": kib, "word_bits": 64, "read_bits_per_cycle": 64, "write_bits_per_cycle": 64}
    return ArchSpec.model_validate(
        {
            "spec_version": 1,
            "name": "counted",
            "technology": {"node_nm": 28.0, "voltage_v": 0.9, "clock_mhz": 500.0},
            "array": array,
            "buffers": {"ifmap": buffer, "weight": buffer, "psum_ofmap": buffer},
            "psum_engine": {"bits": (4, 7, 8), "group_sizes": (1, 2, 3, 4)},
            "dram": {"kind": "ddr3", "bandwidth_gb_per_s": 1.0, "burst_bytes": 8, "latency_ns": latency_ns},
            "lut_unit": {"lanes": 4},
            "vector_unit": {"lanes": 4},
            "mapping": {"spill": spill},
        }
    )


@cache
def _full_size(spec: str) -> Machine:
    return build_machine(ArchSpec.model_validate_json(spec))


def machine_of(rng: random.Random, kinds: Sequence[str] = ARRAYS) -> tuple[ArchSpec, Machine]:
    """An array a few lanes wide with buffers of a few words, far below what a spec may say."""
    kind = rng.choice(kinds)
    array: dict[str, Any] = {"kind": kind, "dataflow": rng.choice(DATAFLOWS)}
    if kind == "adder_tree":
        array |= {lanes: rng.randint(1, 4) for lanes in ("po", "pci", "pco")}
    elif kind == "systolic":
        array |= {"rows": rng.randint(1, 4), "cols": rng.randint(1, 4)}
    else:
        array = _grid(rng)
    spec = arch(array, rng.choice(["through", "bypass"]), rng.choice([0.0, 2.0, 10.0]))
    machine = _full_size(spec.model_dump_json())
    for sram in machine.memories:
        machine = machine.with_memory(_shrunk(rng, sram))
    return spec, machine


def _grid(rng: random.Random) -> dict[str, Any]:
    """PEs that unroll one to three dims a side, each with a width or with what is left."""
    rows, cols = rng.randint(1, 6), rng.randint(1, 6)
    sides = {
        name: {side: _side(rng, dims, pes) for side, pes in (("rows", rows), ("cols", cols))}
        for name, dims in (("matmul", MATMUL_DIMS), ("conv", CONV_DIMS))
    }
    dataflow = rng.choice([*DATAFLOWS, "row_stationary"])
    if dataflow == "row_stationary":
        for side, dim in (("rows", "r"), ("cols", "p")):
            if all(unrolled["dim"] != dim for unrolled in sides["conv"][side]):
                sides["conv"][side] += ({"dim": dim, "width": rng.choice([None, 1])},)
    return {"kind": "pe_grid", "dataflow": dataflow, "rows": rows, "cols": cols, "unroll": sides}


def _side(rng: random.Random, dims: tuple[str, ...], pes: int) -> tuple[dict[str, Any], ...]:
    side, left = [], pes
    for dim in rng.sample(dims, rng.randint(1, 3)):
        width = rng.choice([None, rng.randint(1, left)])
        left //= width or 1
        side.append({"dim": dim, "width": width})
    return tuple(side)


def _shrunk(rng: random.Random, sram: Sram) -> Sram:
    word_bits = rng.choice([32, 64])
    words = rng.randint(1, rng.choice([4, 12, 80]))
    return dataclasses.replace(sram, word_bits=word_bits, capacity_bits=words * word_bits + rng.randint(0, 31))


def rules_of(spec: ArchSpec) -> tuple[SpatialReduction, ...]:
    """How the array may walk a conv."""
    return ("nested",) if spec.array.kind == "pe_grid" else RULES


def placed_case_of(rng: random.Random, size: int) -> tuple[Problem, ArchSpec, Machine]:
    spec, machine = machine_of(rng)
    return problem_of(rng, size, rules_of(spec)), spec, machine


def buffered_nest_of(rng: random.Random, size: int) -> tuple[Problem, Mapping, Machine]:
    """A random nest whose inner storage level is the machine's buffers; sometimes outputs bypass theirs."""
    spec, machine = machine_of(rng)
    problem, nest = nest_of(rng, size, rules_of(spec))
    names = {"ifmap": machine.ifmap_buffer.name, "weight": machine.weight_buffer.name}
    if rng.random() < 0.7:
        names["output"] = machine.psum_buffer.name
    nodes: list[Node] = []
    for node in nest.nodes:
        if not isinstance(node, Store) or node.level == "array":
            nodes.append(node)
        elif node.level == LEVELS[1] and node.operand in names:
            nodes.append(Store(node.operand, names[node.operand]))
    return problem, Mapping(tuple(nodes)), machine


def chain_machine_of(rng: random.Random) -> tuple[ArchSpec, Machine]:
    """A machine of one to three memory levels, each of one or more memories that hold some of the operands."""
    spec, machine = machine_of(rng)
    plain = machine.memories[0]
    levels: list[list[tuple[OperandName, ...]]] = []
    for _ in range(rng.randint(1, 3)):
        split = rng.choice([[(0, 1, 2)], [(0, 1), (2,)], [(0,), (1, 2)], [(0, 2), (1,)], [(0,), (1,), (2,)]])
        level = [tuple(OPERANDS[at] for at in group) for group in split]
        levels.append([holds for holds in level if rng.random() < 0.8])
    memories = [
        dataclasses.replace(_shrunk(rng, plain), name=f"level{number}_{'_'.join(holds)}", holds=holds)
        for number, level in enumerate(levels)
        for holds in level
    ]
    for operand in OPERANDS:
        if not any(operand in memory.holds for memory in memories):
            memories.append(dataclasses.replace(_shrunk(rng, plain), name=f"{operand}_own", holds=(operand,)))
    return spec, dataclasses.replace(machine, memories=tuple(memories))


def chain_case_of(rng: random.Random, size: int) -> tuple[Problem, ArchSpec, Machine]:
    spec, machine = chain_machine_of(rng)
    return problem_of(rng, size, rules_of(spec)), spec, machine


def chained_nest_of(rng: random.Random, size: int) -> tuple[Problem, Mapping, Machine]:
    """A random nest with storage in any memories of each operand's chain, some or all of them passed by."""
    spec, machine = chain_machine_of(rng)
    problem, nest = nest_of(rng, size, rules_of(spec))
    nodes: list[Node] = list(nest.loops)
    for operand in OPERANDS:
        position = 0
        for memory in machine.chain(operand):
            if rng.random() < 0.75:
                position = rng.randint(position, len(nodes))
                nodes.insert(position, Store(operand, memory.name, rng.random() < 0.5))
                position += 1
    return problem, Mapping((*nodes, *(Store(operand, "array") for operand in OPERANDS))), machine


def spilled_group_of(rng: random.Random, size: int) -> tuple[Problem, Mapping, Machine]:
    """A nest of many reduction loops with outputs stored among them: groups of psums leave unfinished."""
    spec, machine = chain_machine_of(rng)
    while True:
        problem = problem_of(rng, size, rules_of(spec))
        if math.prod(problem.extent(dim) for dim in problem.reduction) > 3 or size < 4:
            break
    split = [dim for dim, extent in problem.extents if extent > 1] or [problem.row]
    reducing = [dim for dim in split if dim in problem.reduction] or split
    loops = []
    for _ in range(rng.randint(3, 9)):
        dim = rng.choice(reducing if rng.random() < 0.6 else split)
        loops.append(Loop(dim, rng.randint(1, max(1, problem.extent(dim) - 1))))
    nodes: list[Node] = sorted(loops, key=lambda loop: -loop.step * rng.uniform(0.5, 1.5))
    for operand in OPERANDS:
        position = 0
        for memory in machine.chain(operand):
            if rng.random() < 0.85:
                position = rng.randint(position, len(nodes))
                nodes.insert(position, Store(operand, memory.name))
                position += 1
    problem = dataclasses.replace(problem, psum=PsumScheme(rng.choice([4, 7, 8]), rng.randint(2, 4)))
    return problem, Mapping((*nodes, *(Store(operand, "array") for operand in OPERANDS))), machine
