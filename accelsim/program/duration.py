"""How long one array instruction lasts: its block's own cycles, or the slowest buffer port.

An instruction runs the loops below the innermost buffer node on the extents of one tile step. Steps
with equal extents take equal time, so each distinct step is worked out once. Port bits are those of
a step on its own; a conv's pixels each read their own inputs (padding not skipped), an upper bound.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accelsim.hardware.adder_tree import AdderTree
from accelsim.hardware.machine import Machine
from accelsim.hardware.systolic import Systolic
from accelsim.mapping.count import tiling
from accelsim.mapping.dataflow import spatial_widths
from accelsim.mapping.nest import Loop, Mapping, chunk_classes, chunk_count
from accelsim.mapping.problem import Problem
from accelsim.program.program import Ints
from accelsim.program.steps import Steps


@dataclass(frozen=True)
class ArrayWork:
    """Cycles of each array instruction (n,), the part the array itself needs, and by-port totals."""

    cycles: Ints
    compute_cycles: Ints
    port_cycles: tuple[tuple[str, int], ...]


def array_work(problem: Problem, mapping: Mapping, steps: Steps, machine: Machine) -> ArrayWork:
    """Array cycles of every step."""
    inner = mapping.loops[len(steps.loops) :]
    extents = np.stack([steps.ranges(dim, len(steps.loops))[1] for dim in problem.dims])
    started = np.zeros(steps.count, np.int64)  # whether the step's outputs already hold a psum
    for dim in problem.irrelevant("output"):
        started |= steps.ranges(dim, len(steps.loops))[0] > 0
    kinds, where = np.unique(np.vstack([extents, started]), axis=1, return_inverse=True)
    compute, ports = [], []
    for *sizes, resumes in kinds.T.tolist():
        step = dataclasses.replace(problem, extents=tuple(zip(problem.dims, sizes, strict=True)), conv=None)
        compute.append(compute_cycles(step, inner, machine.array))
        ports.append(_port_cycles(step, inner, machine, bool(resumes)))
    names = tuple(ports[0])
    each = np.array([[port[name] for name in names] for port in ports], np.int64)
    need = np.array(compute, np.int64)
    totals = each[where].sum(axis=0)
    longest = np.maximum(need, each.max(axis=1))
    by_port = tuple((name, int(total)) for name, total in zip(names, totals, strict=True))
    return ArrayWork(longest[where], need[where], by_port)


def compute_cycles(step: Problem, inner: Sequence[Loop], array: AdderTree | Systolic) -> int:
    """Cycles of the array alone for one step: adder_tree pieces, or systolic folds with skew."""
    if isinstance(array, AdderTree):
        return array.cycles(math.prod(chunk_count(extent, dim, inner) for dim, extent in step.extents))
    return _systolic_cycles(step, inner, array)


def _systolic_cycles(step: Problem, inner: Sequence[Loop], array: Systolic) -> int:
    """Folds over the two unrolled dims; the third operand's private dims stream through each fold."""
    row, column = spatial_widths(step, array)
    stationary = {"weight_stationary": "weight", "input_stationary": "ifmap", "output_stationary": "output"}
    streams = step.irrelevant(stationary[array.dataflow])  # type: ignore[arg-type]
    length = math.prod(step.extent(dim) for dim in streams)
    others = [dim for dim in step.dims if dim not in (row, column, *streams)]
    repeats = math.prod(step.extent(dim) for dim in others)
    total = 0
    for rows in chunk_classes(step.extent(row), row, inner):
        for cols in chunk_classes(step.extent(column), column, inner):
            total += rows.count * cols.count * array.fold_cycles(length, rows.extent, cols.extent)
    return repeats * total


def _port_cycles(step: Problem, inner: Sequence[Loop], machine: Machine, resumes: bool) -> dict[str, int]:
    """Cycles each buffer port (and the psum engine) needs for one step."""
    ifmap, weight, psum = machine.ifmap_buffer, machine.weight_buffer, machine.psum_buffer
    inputs = tiling(step, "ifmap", inner).total(lambda values: ifmap.accesses(values, step.ifmap_bits))
    weights = tiling(step, "weight", inner).total(lambda values: weight.accesses(values, step.weight_bits))
    outputs = tiling(step, "output", inner)

    def words(values: int) -> int:
        return psum.accesses(values, step.psum.bits)

    reads = outputs.total(words) if resumes else outputs.again(words)
    writes = outputs.total(words)
    cycles = {
        f"{ifmap.name} read": _ceil(inputs * ifmap.word_bits, ifmap.read_bits_per_cycle),
        f"{weight.name} read": _ceil(weights * weight.word_bits, weight.read_bits_per_cycle),
        f"{psum.name} read": _ceil(reads * psum.word_bits, psum.read_bits_per_cycle),
        f"{psum.name} write": _ceil(writes * psum.word_bits, psum.write_bits_per_cycle),
    }
    if machine.psum_engine is not None and step.psum.is_apsq:
        cycles[machine.psum_engine.name] = _ceil(outputs.total(), machine.psum_engine.psums_per_cycle)
    return cycles


def _ceil(amount: int, rate: int) -> int:
    return -(-amount // rate)
