"""Runs of a strided DMA against every address of a tile's box, laid out and sorted one by one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.hardware.machine import build_machine
from accelsim.hardware.strided_dma import StridedDma
from accelsim.mapping.nest import Loop, Mapping, Store, without_single_trips
from accelsim.mapping.problem import OperandName, Problem, conv_problem
from accelsim.program.runs import tile_runs
from accelsim.program.steps import Steps, walk
from accelsim.program.tiles import levels_of
from accelsim.schemes import PsumScheme
from accelsim.spec import load_arch
from accelsim.workload import ConvDims

MACHINE = build_machine(load_arch("validation/vta_1x16"))
BUFFERS: dict[OperandName, str] = {"ifmap": "ifmap_buffer", "weight": "weight_buffer", "output": "psum_buffer"}


@st.composite
def convs(draw: st.DrawFn) -> ConvDims:
    """Small convs whose channels are whole blocks of 2 and filters of 3."""
    r, s = draw(st.sampled_from([(1, 1), (3, 3), (1, 3)]))
    stride = draw(st.integers(1, 2))
    padding = (r // 2, s // 2) if draw(st.booleans()) else (0, 0)
    h, w = draw(st.integers(r + 1, 6)), draw(st.integers(s + 1, 6))
    groups, c, k = draw(st.integers(1, 2)), 2 * draw(st.integers(1, 3)), 3 * draw(st.integers(1, 2))
    return ConvDims(draw(st.integers(1, 2)), groups, c, k, h, w, r, s, (stride, stride), padding)


DMA = StridedDma(run_fs=1, image_block=1, channel_block=2, filter_block=3)


def problem_of(dims: ConvDims) -> Problem:
    return conv_problem(dims, 8, 8, 8, PsumScheme(32), "nested")


def boxes(problem: Problem, steps: Steps, operand: OperandName) -> Iterator[tuple[int, int]]:
    """Runs and values of each step's tile: its addresses one by one."""
    conv = problem.conv
    assert conv is not None
    for at in range(steps.count):
        span = {
            dim: range(int(start[at]), int(start[at] + extent[at]))
            for dim in problem.dims
            for start, extent in [steps.ranges(dim, len(steps.loops))]
        }
        yield runs_of(addresses(conv, span, operand), conv, operand)


def addresses(conv: ConvDims, span: dict[str, range], operand: OperandName) -> list[int]:
    """Where the elements of the box lie, in the blocked layout."""
    every = itertools.product
    if operand == "weight":
        return sorted(
            place((g * conv.k + k) // 3, c // 2, r, s, k % 3, c % 2, sizes=(conv.c // 2, conv.r, conv.s, 3, 2))
            for g, k, c, r, s in every(*(span[dim] for dim in ("groups", "k", "c", "r", "s")))
        )
    if operand == "output":
        blocks = conv.groups * conv.k // 3
        return sorted(
            place(n, (g * conv.k + k) // 3, p, q, k % 3, sizes=(blocks, conv.p, conv.q, 3))
            for n, g, k, p, q in every(*(span[dim] for dim in ("n", "groups", "k", "p", "q")))
        )
    high, wide = (
        box(span[out], span[tap], conv.stride[axis], conv.padding[axis], (conv.h, conv.w)[axis])
        for axis, (out, tap) in enumerate((("p", "r"), ("q", "s")))
    )
    blocks = conv.groups * conv.c // 2
    return sorted(
        place(n, (g * conv.c + c) // 2, y, x, c % 2, sizes=(blocks, conv.h, conv.w, 2))
        for n, g, c, y, x in every(span["n"], span["groups"], span["c"], high, wide)
    )


def place(*index: int, sizes: tuple[int, ...]) -> int:
    where = index[0]
    for at, size in zip(index[1:], sizes, strict=True):
        where = where * size + at
    return where


def box(outputs: range, taps: range, stride: int, padding: int, size: int) -> range:
    needed = [o * stride + t - padding for o in outputs for t in taps]
    return range(max(min(needed), 0), min(max(needed), size - 1) + 1)


def runs_of(where: list[int], conv: ConvDims, operand: OperandName) -> tuple[int, int]:
    """Breaks between addresses; blocks of channels, and padded rows, are runs of their own even where they touch."""
    if not where:
        return 0, 0
    if operand == "ifmap":
        row, block = conv.w * 2, conv.h * conv.w * 2
    elif operand == "output":
        row = block = conv.p * conv.q * 3
    else:
        row = block = 10**9
    unit = row if operand == "ifmap" and any(conv.padding) else block
    cuts = sum(1 for a, b in itertools.pairwise(where) if b != a + 1 or a // unit != b // unit)
    return cuts + 1, len(where)


@settings(max_examples=150, deadline=None)
@given(convs(), st.sampled_from(["ifmap", "weight", "output"]), st.data())
def test_runs_and_boxes(conv: ConvDims, operand: OperandName, data: st.DataObject) -> None:
    problem = problem_of(conv)
    blocks = (("n", 1), ("groups", 1), ("k", 3), ("p", 1), ("q", 1), ("c", 2), ("r", 1), ("s", 1))
    loops = [
        Loop(dim, unit * data.draw(st.integers(1, problem.extent(dim) // unit), dim))
        for dim, unit in data.draw(st.permutations(blocks))
    ]
    nodes = [Store(operand, "dram"), *loops, Store(operand, BUFFERS[operand])]
    mapping = Mapping(without_single_trips(nodes, problem))
    steps = walk(problem, mapping.loops)
    (level,) = levels_of(problem, mapping, MACHINE, steps, operand)
    runs, values = tile_runs(problem, steps, level, operand, DMA)
    expected = np.array(list(boxes(problem, steps, operand)))[level.tiles.begins]
    assert values.tolist() == expected[:, 1].tolist()
    assert runs.tolist() == expected[:, 0].tolist()


@pytest.mark.parametrize(("columns", "runs"), [(4, 2), (2, 8)])
def test_whole_rows_of_outputs_are_one_run(columns: int, runs: int) -> None:
    """4 x 4 outputs of 6 filters, 3 a block: whole rows join, half rows do not."""
    problem = problem_of(ConvDims(1, 1, 2, 6, 4, 4, 1, 1))
    nodes = (Store("output", "dram"), *([Loop("q", columns)] if columns < 4 else []), Store("output", "psum_buffer"))
    mapping = Mapping(nodes)
    steps = walk(problem, mapping.loops)
    (level,) = levels_of(problem, mapping, MACHINE, steps, "output")
    assert tile_runs(problem, steps, level, "output", DMA)[0].tolist() == [runs] * (4 // columns)
