"""Systolic compute cycles and SRAM accesses against SCALE-Sim 3.0.0, exactly, on square arrays.

Its recorded runs (`accelsim validate`), and its closed forms on layers too large to run it on: F (T + R +
C - 2) cycles output stationary, F (T + 2R + C - 2) weight and input stationary. Tolerance: 0 cycles, with
serial weight loads and full edge folds. The `oracles` tests run the simulator itself again.
"""

from __future__ import annotations

import math
from collections import Counter

import pytest

from accelsim.mapping.problem import Problem, conv_problem
from accelsim.schemes import PsumScheme
from accelsim.simulation import simulate
from accelsim.validate import scalesim
from accelsim.validate.machines import square_systolic
from accelsim.validate.record_scalesim import Run, record, topology_path
from accelsim.validate.recording import recorded
from accelsim.validate.row import Row
from accelsim.validate.walk import conv_inputs
from accelsim.workload import ConvDims, MatmulDims, VectorDims, load_trace

LARGE = [(128, 768, 768), (128, 768, 3072), (512, 64, 512), (3136, 576, 64)]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return list(scalesim.rows(recorded("scalesim")))


def test_enough_was_recorded(rows: list[Row]) -> None:
    cycles = [row for row in rows if row.what == "compute cycles"]
    kinds = Counter((row.case.split("/")[0], row.case.split()[-1]) for row in cycles)
    assert len(cycles) == len({row.case for row in cycles}) >= 250
    assert min(kinds.values()) >= 30, kinds
    assert not any(row["stall_cycles"] for row in recorded("scalesim").rows)


def test_every_row_without_a_note_is_equal(rows: list[Row]) -> None:
    plain = [row for row in rows if not row.note]
    assert all(row.tolerance_pct == 0 for row in plain)
    assert [row for row in plain if row.ours != row.reference] == []
    assert len(plain) > 0.95 * len(rows)
    assert all(row.ours < row.reference for row in rows if row.note)


def test_kept_tiles_explain_the_whole_difference(rows: list[Row]) -> None:
    """Where our array keeps a psum, SCALE-Sim writes it once for every chunk of the reduction."""
    kept = [row for row in rows if row.note.startswith("kept")]
    assert len(kept) >= 10
    for row in kept:
        assert row.what == "psum_ofmap SRAM writes"
        extents, size = _extents(row.case)
        assert row.ours == extents["m"] * extents["n"]
        assert row.reference == row.ours * math.ceil(extents["k"] / size)


def test_shared_inputs_explain_the_whole_difference(rows: list[Row]) -> None:
    """Ours is the number of distinct inputs of every stationary tile, listed one by one."""
    shared = [row for row in rows if row.note.startswith("an input")]
    assert len(shared) >= 10
    for row in shared:
        extents, size = _extents(row.case)
        problem = _problem(row.case)
        distinct = 0
        for pixel in range(0, extents["m"], size):
            for tap in range(0, extents["k"], size):
                ranges = {
                    "groups": (0, 1),
                    "pq": (pixel, min(pixel + size, extents["m"])),
                    "rsc": (tap, min(tap + size, extents["k"])),
                }
                distinct += len(set(conv_inputs(problem, ranges)))
        assert row.ours == distinct
        assert row.reference == extents["m"] * extents["k"]


def _extents(case: str) -> tuple[dict[str, int], int]:
    """m, k, n of the layer (as im2col makes it) and the array's size, from the topology file."""
    _, square, _ = case.split()
    dims = _dims(case)
    if isinstance(dims, ConvDims):
        extents = {"m": dims.p * dims.q, "k": dims.r * dims.s * dims.c, "n": dims.k}
    else:
        extents = {dim: getattr(dims, dim) for dim in "mkn"}
    return extents, int(square.split("x")[0])


def _dims(case: str) -> ConvDims | MatmulDims:
    topology, layer = case.split()[0].split("/")
    (dims,) = (op.dims for op in load_trace(topology_path(topology)).phases[0].ops if op.name == layer)
    assert not isinstance(dims, VectorDims)
    return dims


def _problem(case: str) -> Problem:
    dims = _dims(case)
    assert isinstance(dims, ConvDims)
    return conv_problem(dims, 8, 8, 8, PsumScheme(32), "flatten_crs")


def closed_form(size: int, dataflow: str, layer: tuple[int, int, int]) -> int:
    m, k, n = layer
    rows, cols, stream = {"os": (m, n, k), "ws": (k, n, m), "is": (k, m, n)}[dataflow]
    folds = math.ceil(rows / size) * math.ceil(cols / size)
    load = 0 if dataflow == "os" else size
    return folds * (stream + load + 2 * size - 2)


@pytest.mark.parametrize("size", [8, 32])
@pytest.mark.parametrize("dataflow", scalesim.DATAFLOWS)
@pytest.mark.parametrize("layer", LARGE)
def test_closed_forms_on_large_layers(size: int, dataflow: str, layer: tuple[int, int, int]) -> None:
    spec = square_systolic(size, scalesim.DATAFLOWS[dataflow])
    report = simulate(spec, load_trace("matmul:{}x{}x{}".format(*layer)))
    assert report.ops[0].compute_cycles == closed_form(size, dataflow, layer)


@pytest.mark.parametrize("dataflow", scalesim.DATAFLOWS)
@pytest.mark.parametrize("size", [8, 16])
def test_the_recording_follows_the_closed_forms(size: int, dataflow: str) -> None:
    """The file holds what the peer's own formulas say, so it is no copy of our numbers."""
    for row in recorded("scalesim").rows:
        if (row["size"], row["dataflow"]) == (size, dataflow):
            case = f"{row['topology']}/{row['layer']} {size}x{size} {dataflow}"
            extents, _ = _extents(case)
            layer = extents["m"], extents["k"], extents["n"]
            assert int(row["total_cycles"]) + 1 == closed_form(size, dataflow, layer)


@pytest.mark.oracles
@pytest.mark.parametrize("dataflow", scalesim.DATAFLOWS)
@pytest.mark.parametrize(
    ("topology", "layers"), [("gemm", ("ragged_24", "ragged_33")), ("conv", ("strided_3x3", "large_5x5"))]
)
def test_scalesim_itself(topology: str, layers: tuple[str, ...], dataflow: str) -> None:
    pytest.importorskip("scalesim")
    kept = {(row["topology"], row["layer"], row["size"], row["dataflow"]): row for row in recorded("scalesim").rows}
    live = record([Run(topology, 8, dataflow, layers)])
    assert [row["layer"] for row in live.rows] == list(layers)
    for row in live.rows:
        assert row == kept[row["topology"], row["layer"], row["size"], row["dataflow"]]
    assert all(row.ok for row in scalesim.rows(live))
