"""Global-buffer traffic of a row-stationary grid with registers beside Eyeriss's: stated, not tuned.

Measured on the chip: Chen et al., JSSC 2017, Tables V and VI (values via cucapra/fodlam). Its buffer holds
inputs and psums of 16 b; weights pass beside it. It maps layers by hand, two of AlexNet's with filters of
two channel groups or sets of input rows at once, and slides along inputs that its scratchpads keep, where
ours fetches a tile's halo again. Nothing of ours was chosen for these rows.
"""

from __future__ import annotations

import pytest

from accelsim import load_arch
from accelsim.hardware.machine import build_machine
from accelsim.mapping.dataflow import map_fixed
from accelsim.mapping.nest import Mapping
from accelsim.mapping.problem import conv_problem
from accelsim.mapping.traffic import mac_flows
from accelsim.schemes import PsumScheme
from accelsim.workload.trace import ConvDims

# n, groups, c, k (of one group), h = w padded, taps, stride; MB of buffer accesses measured; ours over theirs
LAYERS = {
    "AlexNet CONV1": ((4, 1, 3, 96, 227, 11, 4), 18.5, 2.16),
    "AlexNet CONV2": ((4, 2, 48, 128, 31, 5, 1), 77.6, 1.00),
    "AlexNet CONV3": ((4, 1, 256, 384, 15, 3, 1), 50.2, 1.52),
    "AlexNet CONV4": ((4, 2, 192, 192, 15, 3, 1), 37.4, 1.53),
    "AlexNet CONV5": ((4, 2, 192, 128, 15, 3, 1), 24.9, 1.53),
    "VGG-16 CONV1-1": ((3, 1, 3, 64, 226, 3, 1), 112.6, 0.38),
    "VGG-16 CONV3-1": ((3, 1, 128, 256, 58, 3, 1), 607.4, 1.11),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_buffer_accesses_beside_the_chip(layer: str) -> None:
    (n, groups, c, k, size, taps, stride), measured_mb, ratio = LAYERS[layer]
    problem = conv_problem(
        ConvDims(n, groups, c, k, size, size, taps, taps, (stride, stride)), 16, 16, 16, PsumScheme(16), "nested"
    )
    machine = build_machine(load_arch("row_stationary_12x14"))
    mapping = map_fixed(problem, machine, "through")
    assert isinstance(mapping, Mapping)
    flows = mac_flows(problem, mapping, machine)
    buffers = ("ifmap_buffer", "psum_buffer")
    ours_mb = sum(flow.bits_useful for flow in flows if flow.block in buffers) / 8e6
    assert ours_mb / measured_mb == pytest.approx(ratio, abs=0.01)


def test_the_tile_of_conv3_is_the_chip_s() -> None:
    """Table III: 64 filters at a time, 16 of them and 4 channels in a PE, 13 output rows."""
    problem = conv_problem(ConvDims(4, 1, 256, 384, 15, 15, 3, 3), 16, 16, 16, PsumScheme(16), "nested")
    mapping = map_fixed(problem, build_machine(load_arch("row_stationary_12x14")), "through")
    assert isinstance(mapping, Mapping)
    inside = mapping.loops[len(mapping.array_loops("weight")) :]
    steps = {dim: min(loop.step for loop in mapping.array_loops("weight") if loop.dim == dim) for dim in "kc"}
    assert steps == {"k": 64, "c": 4}
    assert {loop.dim: loop.step for loop in inside} == {"k": 4, "c": 1, "s": 1}
