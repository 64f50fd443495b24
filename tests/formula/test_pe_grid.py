"""A PE grid, counted by hand: widths, the row-stationary diagonal, passes, cycles, ports, energy."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings

from accelsim.hardware.arithmetic import register_energy_pj
from accelsim.hardware.machine import Machine, build_machine
from accelsim.hardware.pe_grid import PeGrid
from accelsim.mapping.copies import pe_values
from accelsim.mapping.count import tiling
from accelsim.mapping.dataflow import map_fixed, spatial_widths
from accelsim.mapping.nest import Loop, Mapping, Node, Store
from accelsim.mapping.problem import OPERANDS, Problem, conv_problem, matmul_problem
from accelsim.mapping.traffic import array_tiling, mac_flows
from accelsim.program.mac import mac_program
from accelsim.schemes import PsumScheme
from accelsim.validate.walk import walk
from accelsim.workload.trace import ConvDims, MatmulDims
from tests.reference.cases import arch, drawn, problem_of

MATMUL = {"rows": ({"dim": "n"},), "cols": ({"dim": "k"},)}
ROWS = ({"dim": "r"}, {"dim": "k"})


def grid(conv_rows: Any = ROWS, conv_cols: Any = ({"dim": "p"},), **more: Any) -> dict[str, Any]:
    unroll = {"matmul": MATMUL, "conv": {"rows": conv_rows, "cols": conv_cols}}
    array = {"kind": "pe_grid", "dataflow": "row_stationary", "rows": 3, "cols": 4, "unroll": unroll}
    return array | more


def machine(ifmap_port_bits: int = 4096, **more: Any) -> Machine:
    """Ports wide enough for anything, but perhaps the one that reads inputs."""
    spec = arch(grid(**more))
    wide = {
        name: buffer.model_copy(update={"read_bits_per_cycle": 4096, "write_bits_per_cycle": 4096})
        for name, buffer in spec.buffers
    }
    wide["ifmap"] = wide["ifmap"].model_copy(update={"read_bits_per_cycle": ifmap_port_bits})
    return build_machine(spec.model_copy(update={"buffers": spec.buffers.model_copy(update=wide)}))


def conv(stride: int = 1, h: int = 6, taps: int = 3, filters: int = 1) -> Problem:
    dims = ConvDims(1, 1, 1, filters, h, h, taps, taps, (stride, stride))
    return conv_problem(dims, 8, 8, 8, PsumScheme(32), "nested")


def mapped(problem: Problem, built: Machine) -> Mapping:
    mapping = map_fixed(problem, built, "through")
    assert isinstance(mapping, Mapping)
    return mapping


def values(problem: Problem, built: Machine) -> Counter[tuple[str, str, str]]:
    flows = mac_flows(problem, mapped(problem, built), built)
    return Counter({(flow.block, flow.operand, flow.action): flow.values for flow in flows})


def widths(problem: Problem, **more: Any) -> dict[str, int]:
    built = machine(**more)
    return {dim: width for dim, width in spatial_widths(problem, built.array).items() if width > 1}


def test_a_row_stationary_conv_by_hand() -> None:
    """3 x 3 taps on 6 x 6 inputs, a kernel row to each of 3 rows of PEs, an output row to each of 4 columns.

    A piece is one tap column and one output column: 3 x 4 MACs, 3 x 4 = 12 pieces. Its inputs are one
    column of 3 + 4 - 1 = 6 input rows, because PE (r, p) works on input row p + r: a diagonal shares one.
    """
    problem, built = conv(), machine()
    assert [(loop.dim, loop.step) for loop in mapped(problem, built).loops] == [("s", 1), ("q", 1)]
    diagonals = {p + r for r, p in itertools.product(range(3), range(4))}
    assert {tile.values for tile in array_tiling(problem, mapped(problem, built), "ifmap").classes} == {len(diagonals)}
    found = values(problem, built)
    assert found["ifmap_buffer", "ifmap", "read"] == 12 * 6
    assert found["weight_buffer", "weight", "read"] == 9  # a kernel row's tap stays while the PE slides along q
    assert found["psum_buffer", "psum", "write"] == found["psum_buffer", "psum", "read"] == (3 - 1) * 16
    assert found["array", "psum", "pass"] == 12 * 4 * (3 - 1)  # each piece: 4 outputs, 3 products each
    assert found["array", "", "mac"] == 12 * 12


@pytest.mark.parametrize(("stride", "h", "rows"), [(1, 6, 6), (2, 9, 9), (3, 12, 12)])
def test_strides_part_the_diagonals(stride: int, h: int, rows: int) -> None:
    """4 output rows of 3 taps: 0..5, at stride 2 0..8, at stride 3 nothing is shared."""
    problem, built = conv(stride, h), machine()
    assert array_tiling(problem, mapped(problem, built), "ifmap").largest == rows


def test_without_a_kernel_row_in_the_array_nothing_is_shared() -> None:
    """The same conv with r walked in time: each of the 3 kernel rows reads its own 4 input rows."""
    problem, built = conv(), machine(conv_rows=({"dim": "k"},), dataflow="weight_stationary")
    tiles = array_tiling(problem, mapped(problem, built), "ifmap")
    assert (tiles.largest, tiles.total()) == (4, 3 * 3 * 4 * 4)
    assert values(problem, built)["array", "psum", "pass"] == 0


def test_an_instruction_takes_a_cycle_a_piece() -> None:
    """A tap column to an instruction: 4 pieces, 4 stages, and 2 passes from the first of 3 PEs to the last."""
    problem, built = conv(), machine()
    work = mac_program(problem, mapped(problem, built), built).work
    assert work.cycles.tolist() == [4 + 4 + 2] * 3
    assert (work.compute_cycles, work.macs, work.lane_macs) == (30, 144, 144)


def test_the_port_reads_a_diagonal_once() -> None:
    """6 inputs of 8 b are one word of 64 b a piece, 4 cycles at 16 b a cycle; the 12 of 12 PEs would be two."""
    problem, built = conv(), machine(ifmap_port_bits=16)
    work = mac_program(problem, mapped(problem, built), built).work
    assert dict(work.port_cycles)["ifmap_buffer read"] == 12 * 4
    assert work.cycles.tolist() == [4 * 4] * 3


def test_a_matmul_is_a_conv_of_one_tap() -> None:
    """5 x 6 x 7 on 3 rows of n and 4 columns of k: 5 m x ceil(7 / 3) x ceil(6 / 4) pieces, m innermost."""
    problem = matmul_problem(MatmulDims(1, 1, 5, 6, 7), 8, 8, 8, PsumScheme(32))
    built = machine()
    mapping = mapped(problem, built)
    assert [(loop.dim, loop.step) for loop in mapping.loops] == [("n", 3), ("k", 4), ("m", 1)]
    # An instruction for each chunk of n: its pieces, 4 stages, 3 passes along the 4 columns.
    assert mac_program(problem, mapping, built).work.cycles.tolist() == [5 * 2 + 4 + 3] * 3
    found = values(problem, built)
    assert found["weight_buffer", "weight", "read"] == 6 * 7
    assert found["array", "psum", "pass"] == 5 * 7 * (6 - 2)  # 6 products in 2 pieces


@pytest.mark.parametrize(
    ("rows", "cols", "side_rows", "side_cols", "expected"),
    [
        (12, 14, ROWS, ({"dim": "p"},), {"r": 3, "k": 4, "p": 4}),
        (12, 14, ROWS, ({"dim": "p"}, {"dim": "k"}), {"r": 3, "k": 4 * 3, "p": 4}),
        (2, 14, ROWS, ({"dim": "p", "width": 3},), {"r": 2, "p": 3}),
        (12, 14, ({"dim": "k", "width": 6}, {"dim": "r"}), ({"dim": "p"},), {"r": 2, "k": 6, "p": 4}),
        (12, 14, ({"dim": "k", "width": 5}, {"dim": "s"}), ({"dim": "k"}, {"dim": "r"}), {"k": 5 * 4, "s": 2, "r": 3}),
        (1, 1, ROWS, ({"dim": "p"},), {}),
    ],
)
def test_widths(rows: int, cols: int, side_rows: Any, side_cols: Any, expected: dict[str, int]) -> None:
    """A 3 x 3 conv of 20 filters on 4 x 4 outputs: dims with a width first, then each takes what is left."""
    found = widths(conv(filters=20), rows=rows, cols=cols, conv_rows=side_rows, conv_cols=side_cols,
                   dataflow="weight_stationary")  # fmt: skip
    assert found == expected


def test_small_kernels_leave_their_rows_to_filters() -> None:
    assert widths(conv(taps=1, filters=20), rows=12, cols=14) == {"k": 12, "p": 6}


def test_a_pass_costs_a_register() -> None:
    built = machine()
    one_bit = register_energy_pj(built.process).value
    assert built.array.actions["pass"].energy_pj.value == pytest.approx(32 * one_bit)
    assert built.array.actions["pass"].energy_pj.assumed
    given = machine(pass_energy_pj=0.5).array.actions["pass"].energy_pj
    assert (given.value, given.confidence) == (0.5, "user")


def test_what_a_cycle_moves_at_most() -> None:
    array = machine(rows=12, cols=14, conv_rows=({"dim": "r", "width": 3}, {"dim": "k", "width": 4})).array
    assert isinstance(array, PeGrid)
    # conv: inputs 3 x 14, weights 3 x 4, outputs 4 x 14; matmul: inputs 14 (k), weights 12 x 14, outputs 12 (n)
    assert [array.values_per_cycle(operand) for operand in ("ifmap", "weight", "output")] == [42, 168, 56]
    assert array.outputs_per_cycle == 56
    with pytest.raises(ValueError, match="at least one"):
        array.cycles(0, 1)


def _dealt_nest(rng: random.Random, size: int) -> tuple[Problem, Mapping]:
    """Loops whose steps are multiples of the ones inside them, each operand stored somewhere among them."""
    problem = problem_of(rng, size, ("nested",))
    nodes: list[Node] = []
    for dim, extent in problem.extents:
        step, position = rng.randint(1, extent), len(nodes)
        while step < extent and rng.random() < 0.8:
            position = rng.randint(0, position)
            nodes.insert(position, Loop(dim, step))
            step *= rng.randint(2, 3)
    for operand in OPERANDS:
        nodes.insert(rng.randint(0, len(nodes)), Store(operand, "near"))
    return problem, Mapping((*nodes, *(Store(operand, "array") for operand in OPERANDS)))


@settings(max_examples=600, deadline=None, derandomize=True)
@given(drawn(_dealt_nest))
def test_copies_equal_walk(case: tuple[Problem, Mapping]) -> None:
    """What single PEs take at any node of any nest, every operand; the walk notes each PE's elements."""
    problem, mapping = case
    walked = walk(problem, mapping)
    for operand, level in itertools.product(OPERANDS, ("near", "array")):
        depth = len(mapping.loops_above(operand, level))
        assert pe_values(problem, operand, mapping.loops, depth) == walked.nodes[operand, level].pe_values()


def test_a_diagonal_is_one_fetch_and_many_copies() -> None:
    """6 inputs of a column go to the 12 PEs of 3 kernel rows x 4 output rows; the weight of a row to its 4 PEs."""
    problem, loops = conv(), (Loop("s", 1), Loop("q", 1))
    assert tiling(problem, "ifmap", loops).total() == 12 * 6
    assert pe_values(problem, "ifmap", loops, 2) == 12 * 12
    assert (tiling(problem, "weight", loops).total(), pe_values(problem, "weight", loops, 2)) == (9, 9 * 4)


def test_uneven_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="a step of 3 deals q unevenly to 2 PEs"):
        pe_values(conv(), "ifmap", (Loop("q", 3), Loop("q", 2)), 0)


def test_the_halo_of_a_whole_tile_is_clipped() -> None:
    """Padding holds nothing: with 1 row of it on both sides, 4 output rows of 3 taps see 4 input rows, not 6."""
    dims = ConvDims(1, 1, 1, 1, 4, 4, 3, 3, (1, 1), (1, 1))
    problem = conv_problem(dims, 8, 8, 8, PsumScheme(32), "nested")
    assert tiling(problem, "ifmap", ()).total() == 16
    assert array_tiling(problem, mapped(problem, machine()), "ifmap").largest == 4
