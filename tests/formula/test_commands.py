"""Commands of a host: their tiles counted one by one, the cache run line by line, and a layer by hand."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import load_arch, load_trace, simulate
from accelsim.errors import UserError
from accelsim.hardware.machine import Machine, build_machine
from accelsim.hardware.offload import Cache, Dma, Rows
from accelsim.hardware.systolic import Systolic
from accelsim.mapping.commands import DIMS, LOADED, Commands, Dim, array_cycles, missing_lines, time_commands

ONE: dict[Dim, int] = dict.fromkeys(DIMS, 1)


@pytest.fixture(scope="module")
def machine() -> Machine:
    return build_machine(load_arch("validation/gemmini_16x16"))


def layer(extents: dict[Dim, int], tile: dict[Dim, int], order: str = "npqkrsc", conv: bool = True) -> Commands:
    whole, part = ONE | extents, ONE | tile
    dims: list[Dim] = [dim for letter in order for dim in DIMS if dim == letter]
    loops = tuple((dim, -(-whole[dim] // part[dim])) for dim in dims)
    return Commands(whole, part, tuple(loop for loop in loops if loop[1] > 1), 1, conv)


@given(st.dictionaries(st.sampled_from(DIMS), st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=4))
@settings(deadline=None, max_examples=200)
def test_tiles_cover_the_layer_once(sizes: dict[Dim, tuple[int, int]]) -> None:
    extents: dict[Dim, int] = {dim: extent for dim, (extent, _) in sizes.items()}
    tile: dict[Dim, int] = {dim: min(extent, part) for dim, (extent, part) in sizes.items()}
    one = layer(extents, tile)
    counted: dict[tuple[int, ...], int] = {}
    starts = [range(0, one.extents[dim], one.tile[dim]) for dim in DIMS]
    for at in itertools.product(*starts):
        size = tuple(min(one.tile[d], one.extents[d] - begin) for d, begin in zip(DIMS, at, strict=True))
        counted[size] = counted.get(size, 0) + 1
    assert {tuple(part[dim] for dim in DIMS): count for part, count in one.classes()} == counted


def fetched_by_running(one: Commands, cache: Cache) -> dict[str, int]:
    """Lines that a fully associative cache of the capacity fetches, command by command, least recently used first."""
    held: OrderedDict[tuple[str, int], None] = OrderedDict()
    fetched = dict.fromkeys(LOADED, 0)
    dims = [dim for dim, _ in one.loops]
    for at in itertools.product(*(range(trips) for _, trips in one.loops)):
        index = dict(zip(dims, at, strict=True))
        begin = {dim: index.get(dim, 0) * one.tile[dim] for dim in DIMS}
        for operand in LOADED:
            for address in addresses(one, operand, begin):
                line = (operand, address // cache.line_bytes)
                if line in held:
                    held.move_to_end(line)
                    continue
                fetched[operand] += 1
                held[line] = None
                if len(held) * cache.line_bytes > cache.capacity_bytes:
                    held.popitem(last=False)
    return fetched


def addresses(one: Commands, operand: str, begin: dict[Dim, int]) -> list[int]:
    """Of one byte in each line of a matmul's tile."""
    rows: Dim = "p" if operand == "ifmap" else "c"
    columns: Dim = "c" if operand == "ifmap" else "k"
    width = one.extents[columns]
    return [
        row * width + column
        for row in range(begin[rows], begin[rows] + one.tile[rows])
        for column in range(begin[columns], begin[columns] + one.tile[columns], 16)
    ]


@pytest.mark.parametrize("order", ["pkc", "kpc", "ckp", "cpk", "pck", "kcp"])
@pytest.mark.parametrize("kib", [3, 12, 90])
def test_missing_lines_against_a_cache_that_runs(order: str, kib: int) -> None:
    """Rows of 256 bytes, tiles of 16 bytes a row: four tiles share a line. Closed form and cache agree within 30 %,
    and exactly where all fits or nothing is found again."""
    cache = Cache(kib * 16, 1, 64)
    one = layer({"p": 64, "c": 256, "k": 256}, {"p": 16, "c": 16, "k": 16}, order, conv=False)
    ran = fetched_by_running(one, cache)
    # The closed form's conflicts of strided rows are switched off by a cache as associative as it is large.
    whole = Cache(1, kib * 16, 64)
    for operand in LOADED:
        found = missing_lines(operand, one, whole)
        compulsory = (64 if operand == "ifmap" else 256) * 256 // 64
        if kib == 90 and ran[operand] == compulsory:
            assert found in (0, pytest.approx(compulsory, rel=0.3))
        else:
            assert found == pytest.approx(ran[operand], rel=0.3), (operand, order, kib)


def test_strided_rows_crowd_into_few_sets() -> None:
    cache = Cache(sets=1024, ways=8, line_bytes=64)
    assert cache.footprint_bytes(Rows(100, 16, 16)) == 25 * 64
    assert cache.footprint_bytes(Rows(100, 16, 512)) == 100 * 512
    assert cache.footprint_bytes(Rows(100, 16, 65536)) == 100 * 65536
    assert cache.footprint_bytes(Rows(100, 64, 192)) == 100 * 64


def test_requests_by_hand() -> None:
    dma = Dma(request_bytes=64, bus_bytes_per_cycle=16, outstanding=16, latency_cycles=32.0, cache=None)
    assert dma.cycles(Rows(3, 16, 512)) == 3 * (1 + 2)
    assert dma.cycles(Rows(3, 100, 512)) == 3 * (4 + 3 + 2 * 2)
    assert dma.cycles(Rows(1, 1, 1)) == 3


def test_folds_by_hand(machine: Machine) -> None:
    array = machine.array
    assert isinstance(array, Systolic)
    assert array_cycles(ONE | {"p": 14, "q": 14, "r": 3, "s": 3, "c": 32, "k": 16}, True, array) == 9 * 2 * (196 + 14)
    assert array_cycles(ONE | {"p": 56, "q": 2}, True, array) == 112 + 8
    assert array_cycles(ONE | {"p": 40, "c": 17}, False, array) == 2 * (40 + 3)


def test_a_layer_by_hand(machine: Machine) -> None:
    """Two tiles of 16 x 64 x 16 in a warm cache: 64 weight rows of a beat, 16 input rows of four, 16 output rows of
    one, each with a request's wait. A command loads for longer than its 4 x 17 cycles of computing."""
    one = layer({"p": 16, "c": 64, "k": 32}, {"p": 16, "c": 64, "k": 16}, conv=False)
    time = time_commands(one, machine)
    assert machine.dma is not None
    wait = machine.dma.latency_cycles / 16
    load = 64 * (1 + wait) + 16 * (4 + wait) + 16 * (1 + wait)
    assert time.cycles == pytest.approx(2 * load + 4 * 17 + 46)
    assert (time.bound, time.commands) == ("dma", 2)


def test_wider_values_take_longer_rows(machine: Machine) -> None:
    one = layer({"p": 16, "c": 64, "k": 32}, {"p": 16, "c": 64, "k": 16}, conv=False)
    wide = replace(one, bits={"ifmap": 16, "weight": 4, "output": 8})
    rows = {name: (wide.rows(name, wide.tile).row_bytes, wide.rows(name, wide.tile).stride_bytes) for name in wide.bits}
    assert rows == {"ifmap": (128, 128), "weight": (8, 16), "output": (16, 32)}


def test_issue_bounds_tiny_tiles(machine: Machine) -> None:
    one = layer({"p": 4, "q": 64, "k": 64, "c": 1}, {"p": 1, "q": 1, "k": 16})
    assert time_commands(one, machine).bound == "issue"


def test_a_machine_without_host() -> None:
    with pytest.raises(ValueError, match="no systolic array that a host"):
        time_commands(layer({"p": 4}, {"p": 4}), build_machine(load_arch("systolic_32x32")))


def test_a_simulation_issues_commands(machine: Machine) -> None:
    """Every op takes at least its commands' issue and what its mapping moves; groups are refused, and said why."""
    spec = load_arch("validation/gemmini_16x16")
    (op,) = simulate(spec, load_trace("matmul:128x768x768")).ops
    assert op.bound_by in ("host", "dma", "array")
    assert op.cycles >= 128 * 768 * 768 / 256
    report = simulate(spec, load_trace("efficientvit_b1"))
    assert {row.resource for row in report.infeasible} == {"host"}
    assert all(row.unit == "groups of a conv in a command" for row in report.infeasible)
    assert report.ops


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"arch.kernels.cores": 2, "arch.kernels.tile_rows": 1, "arch.kernels.tile_cols": 1,
          "arch.kernels.overlap_kib": 1}, "a machine runs kernels or is issued commands"),
        ({"arch.dma": None}, "without dma"),
        ({"arch.host": None}, "without host"),
        ({"arch.array.spatial_reduction": "flatten_crs"}, "write nested"),
        ({"arch.mapping.prefetch": "weights"}, "weights under kernels or a host"),
    ],
)  # fmt: skip
def test_specs_that_make_no_sense(changes: dict[str, object], answer: str) -> None:
    with pytest.raises(UserError, match=answer):
        load_arch("validation/gemmini_16x16", changes)
