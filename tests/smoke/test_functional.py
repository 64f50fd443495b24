"""Executing ops from a spec: the documented examples, ops of a trace, and the scales as a file."""

from __future__ import annotations

import doctest
import importlib
import json

import numpy as np
import pytest
from numpy.typing import NDArray

from accelsim import UserError, load_arch, load_trace, simulate
from accelsim.functional import Execution, MappedOp, map_op, map_trace_op, run_op
from accelsim.mapping.placement import Infeasible
from accelsim.schemes import PsumScales, PsumScheme
from accelsim.workload import ConvDims, MatmulDims


@pytest.mark.parametrize("module", ["execution", "op"])
def test_examples(module: str) -> None:
    result = doctest.testmod(importlib.import_module(f"accelsim.functional.{module}"))
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("arch", ["apsq_edge_ws", "apsq_edge_is", "apsq_edge_os", "systolic_32x32", "shared_l2_edge"])
def test_shipped_machines_execute_a_layer(arch: str) -> None:
    numbers = np.random.default_rng(1)
    ifmap, weight = numbers.integers(-128, 128, (1, 1, 128, 96)), numbers.integers(-128, 128, (1, 96, 160))
    execution = run_op(load_arch(arch), MatmulDims(1, 1, 128, 96, 160), ifmap, weight)
    assert isinstance(execution, Execution)
    assert np.array_equal(execution.outputs, ifmap @ weight)
    conv = ConvDims(1, 1, 16, 24, 14, 14, 3, 3, stride=(2, 2), padding=(1, 1))
    ones = run_op(load_arch(arch), conv, np.ones((1, 16, 14, 14), int), np.ones((24, 16, 3, 3), int))
    assert isinstance(ones, Execution)
    assert ones.outputs[0, 0, 0].tolist() == [64, 96, 96, 96, 96, 96, 96]


def test_op_of_a_trace_moves_what_the_report_says() -> None:
    spec, trace = load_arch("apsq_edge_ws"), load_trace("bert_base")
    report = simulate(spec, trace)
    name = next(op.name for op in report.ops if op.macs and "query" in op.name)
    op = map_trace_op(spec, trace, name)
    assert isinstance(op, MappedOp)
    numbers = np.random.default_rng(2)
    ifmap = numbers.integers(-128, 128, (1, 1, 128, 768))
    weight, bias = numbers.integers(-128, 128, (1, 768, 768)), numbers.integers(-(2**16), 2**16, 768)
    execution = op.run(ifmap, weight, bias)
    assert np.array_equal(execution.outputs, ifmap @ weight + bias)
    rows = {
        (row.block, row.operand, row.action): row.count
        for row in report.rows
        if row.op == name
        and row.block in {block for block, _, _ in execution.accesses}
        and row.action not in ("leakage", "activate", "io")  # what a DRAM read or write costs besides
    }
    assert {key: access.count for key, access in execution.accesses.items()} == rows
    with pytest.raises(UserError, match=f"did you mean '{name}'"):
        map_trace_op(spec, trace, name[:-1])


def test_what_does_not_fit_is_a_result() -> None:
    """64 x 32 lanes of 8-bit weights in two slots are 32 Kibit."""
    small = {"arch.array.pci": 64, "arch.array.pco": 32, "arch.buffers.weight.capacity_kib": 3}
    found = map_op(load_arch("apsq_edge_ws", small), MatmulDims(1, 1, 64, 256, 256))
    assert isinstance(found, Infeasible)
    assert (found.resource, found.demand, found.bound) == ("weight_buffer", 2**15, 3 * 2**13)
    assert run_op(load_arch("apsq_edge_ws", small), MatmulDims(1, 1, 1, 256, 256), *_ones(1, 256, 256)) == found


def _ones(m: int, k: int, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.ones((1, 1, m, k), np.int64), np.ones((1, k, n), np.int64)


def test_scales_survive_a_file() -> None:
    scales = PsumScales(PsumScheme(8, 2, 8), (3, 0, 62))
    assert PsumScales.from_dict(json.loads(json.dumps(scales.to_dict()))) == scales
    assert scales.steps == 3


@pytest.mark.parametrize(
    ("scheme", "shifts", "told"),
    [
        (PsumScheme(32), (), "not requantised"),
        (PsumScheme(8), (0, -1), "shift -1 of step 1"),
        (PsumScheme(8), (63,), "shift 63 of step 0"),
        (PsumScheme(8), (True,), "shift True of step 0"),
        (PsumScheme(8), (1.0,), "shift 1.0 of step 0"),
    ],
)
def test_impossible_scales(scheme: PsumScheme, shifts: tuple[int, ...], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        PsumScales(scheme, shifts)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"scheme": {"bits": 8}},
        {"scheme": {"bits": 8}, "shifts": 3},
        {"scheme": {"bits": 8, "groups": 2}, "shifts": [1]},
        {"scheme": {"bits": 8}, "shifts": [1], "more": 1},
        {"scheme": {"bits": "8"}, "shifts": [1]},
        {"scheme": {"bits": 99}, "shifts": [1]},
    ],
)
def test_impossible_scale_files(data: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="psum"):
        PsumScales.from_dict(data)
