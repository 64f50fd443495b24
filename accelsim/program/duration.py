"""How long one array instruction lasts: its block's own cycles, or the slowest buffer port.

An instruction runs the loops below the innermost buffer node on the extents of one tile step. Steps
with equal extents take equal time, so each distinct step is worked out once. A step that only brings
more of the stream to the fold a systolic array is in adds its length and no second skew. Port bits
are those of a step on its own; a conv's pixels each read their own inputs (padding not skipped), an
upper bound.
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
    depth = len(steps.loops)
    inner = mapping.loops[depth:]
    extents = [steps.ranges(dim, depth)[1] for dim in problem.dims]
    started = np.zeros(steps.count, np.int64)  # whether the step's outputs already hold a psum
    for dim in problem.irrelevant("output"):
        started |= steps.ranges(dim, depth)[0] > 0
    fixed = [dim for dim in problem.dims if dim not in stream_dims(problem, machine.array)]
    continues = ~steps.changes(fixed, depth)
    kinds, where = _distinct([*extents, started, continues.astype(np.int64)])
    compute, ports = [], []
    for *sizes, resumes, same_fold in kinds:
        step = dataclasses.replace(problem, extents=tuple(zip(problem.dims, sizes, strict=True)), conv=None)
        compute.append(compute_cycles(step, inner, machine.array, bool(same_fold)))
        ports.append(_port_cycles(step, inner, machine, bool(resumes)))
    names = tuple(ports[0])
    each = np.array([[port[name] for name in names] for port in ports], np.int64)
    need = np.array(compute, np.int64)
    totals = each[where].sum(axis=0)
    longest = np.maximum(need, each.max(axis=1))
    by_port = tuple((name, int(total)) for name, total in zip(names, totals, strict=True))
    return ArrayWork(longest[where], need[where], by_port)


def _distinct(columns: list[Ints]) -> tuple[list[list[int]], Ints]:
    """The distinct rows of some columns, and which of them each row is.

    Most columns hold one value, so numbering them one after another beats sorting whole rows.
    """
    which = np.zeros(columns[0].size, np.int64)
    for column in columns:
        if column.min() != column.max():
            _, numbers = np.unique(column, return_inverse=True)
            _, which = np.unique(which * (int(numbers.max()) + 1) + numbers, return_inverse=True)
    first = np.zeros(int(which.max()) + 1, np.int64)
    first[which[::-1]] = np.arange(which.size)[::-1]
    return [[int(column[row]) for column in columns] for row in first], which


def stream_dims(problem: Problem, array: AdderTree | Systolic) -> tuple[str, ...]:
    """The dims that stream through a systolic fold: those the stationary operand does not depend on."""
    if isinstance(array, AdderTree):
        return ()
    if array.dataflow == "weight_stationary":
        return problem.irrelevant("weight")
    return problem.irrelevant("ifmap" if array.dataflow == "input_stationary" else "output")


def compute_cycles(step: Problem, inner: Sequence[Loop], array: AdderTree | Systolic, same_fold: bool) -> int:
    """Cycles of the array alone for one step: adder_tree pieces, or systolic folds with skew.

    `same_fold`: the step differs from the one before in streamed dims only.
    """
    if isinstance(array, AdderTree):
        return array.cycles(math.prod(chunk_count(extent, dim, inner) for dim, extent in step.extents))
    return _systolic_cycles(step, inner, array, same_fold)


def _systolic_cycles(step: Problem, inner: Sequence[Loop], array: Systolic, same_fold: bool) -> int:
    """Folds over the two unrolled dims; the other dims of the stationary operand repeat them."""
    row, column = spatial_widths(step, array)
    streams = stream_dims(step, array)
    length = math.prod(step.extent(dim) for dim in streams)
    repeats = math.prod(step.extent(dim) for dim in step.dims if dim not in (row, column, *streams))
    folds, total = 0, 0
    for rows in chunk_classes(step.extent(row), row, inner):
        for cols in chunk_classes(step.extent(column), column, inner):
            count = repeats * rows.count * cols.count
            folds += count
            total += count * array.fold_cycles(length, rows.extent, cols.extent)
    return length if same_fold and folds == 1 else total


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
