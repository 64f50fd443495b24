"""A conv moved run by run by a sequencer with loops, every cycle counted by hand.

The machine: 1 x 2 x 2 adder tree of 3 pipeline stages at 1 ns, DRAM of 8 bytes a cycle in bursts of 8 without
latency. The conv: 2 channels to 2 filters, 3 x 3 outputs from 3 x 3 inputs padded by 1, one tile of all:

    ifmap   3 rows of 6 bytes: 18 bytes, 3 bursts
    weight  9 taps x 4 bytes, one run: 36 bytes, 5 bursts
    array   81 blocks; 9 blocks of outputs
    store   9 outputs x 2 bytes, one run: 18 bytes, 3 bursts
"""

from __future__ import annotations

from typing import Any

import pytest

from accelsim.engine.engine import run
from accelsim.errors import UserError
from accelsim.hardware.machine import build_machine
from accelsim.mapping.nest import Loop, Mapping, Node, Spatial, Store
from accelsim.mapping.problem import OPERANDS, conv_problem
from accelsim.program.mac import mac_program
from accelsim.schemes import PsumScheme
from accelsim.spec import load_arch, spec_hash
from accelsim.spec.models import ArchSpec
from accelsim.workload import ConvDims

NS = 1_000_000
PROBLEM = conv_problem(ConvDims(1, 1, 2, 2, 3, 3, 3, 3, padding=(1, 1)), 8, 8, 8, PsumScheme(32), "nested")
LOOPS: list[Node] = [Loop("q", 1), Loop("s", 1), Loop("r", 1), Loop("p", 1)]


def schedule(array: dict[str, int], dma: dict[str, Any] | None) -> list[tuple[str, int, int]]:
    """(queue, start, end) in cycles."""
    port = {"capacity_kib": 1.0, "read_bits_per_cycle": 4096, "write_bits_per_cycle": 4096}
    spec = ArchSpec.model_validate(
        {
            "spec_version": 1,
            "name": "tiny",
            "technology": {"node_nm": 28.0, "voltage_v": 0.9, "clock_mhz": 1000.0},
            "array": {
                "kind": "adder_tree", "dataflow": "search", "po": 1, "pci": 2, "pco": 2, "pipeline_stages": 3,
                "spatial_reduction": "nested", **array,
            },
            "buffers": {"ifmap": port, "weight": port, "psum_ofmap": port},
            "dram": {
                "kind": "ddr3", "bandwidth_gb_per_s": 8.0, "burst_bytes": 8, "row_hit_efficiency": 1.0,
                "latency_ns": 0.0,
            },
            "strided_dma": dma,
            "lut_unit": {"lanes": 1},
            "vector_unit": {"lanes": 1},
        }
    )  # fmt: skip
    machine = build_machine(spec)
    held: list[Node] = [
        Store(operand, level)
        for operand, level in zip(OPERANDS, ("ifmap_buffer", "weight_buffer", "psum_buffer"), strict=True)
    ]
    nodes = [*(Store(operand, "dram") for operand in OPERANDS), *held, *LOOPS, Spatial("c", 2), Spatial("k", 2)]
    nodes += [Store(operand, "array") for operand in OPERANDS]
    timeline = run(mac_program(PROBLEM, Mapping(tuple(nodes)), machine).program)
    return [
        (queue.name, int(start[0]) // NS, int(finish[0]) // NS)
        for queue, start, finish in zip(timeline.program.queues, timeline.start_fs, timeline.finish_fs, strict=True)
    ]


BLOCKS = {"run_ns": 10.0, "channel_block": 2, "filter_block": 2}


def test_without_either_a_tile_is_one_transfer() -> None:
    assert schedule({}, None) == [
        ("load_ifmap", 0, 3), ("load_weight", 3, 8), ("array", 8, 8 + 81 + 3), ("store", 92, 95),
    ]  # fmt: skip


def test_every_run_adds_its_time() -> None:
    """Three rows, then one run of weights, then one of outputs."""
    assert schedule({}, BLOCKS) == [
        ("load_ifmap", 0, 33), ("load_weight", 33, 48), ("array", 48, 132), ("store", 132, 145),
    ]  # fmt: skip


def test_the_pipeline_fills_in_every_trip_of_the_sequencer() -> None:
    """Of q, and of q and s."""
    assert schedule({"sequencer_loops": 1}, None)[2] == ("array", 8, 8 + 81 + 3 * 3)
    assert schedule({"sequencer_loops": 2}, None)[2] == ("array", 8, 8 + 81 + 9 * 3)


def test_finished_outputs_take_the_array() -> None:
    assert schedule({"output_cycles": 5}, None)[2] == ("array", 8, 8 + 81 + 3 + 9 * 5)


def test_flattened_convs_have_no_runs() -> None:
    with pytest.raises(UserError, match="no rows and columns"):
        load_arch("validation/vta_1x16", {"arch.array.spatial_reduction": "channels_only"})


def test_a_spec_without_them_keeps_its_hash() -> None:
    """Written out or left out, and as it was before there were such keys."""
    spec = load_arch("apsq_edge_ws")
    same = load_arch("apsq_edge_ws", {"arch.array.sequencer_loops": 0, "arch.array.output_cycles": 0})
    assert spec_hash(spec) == spec_hash(same)
    assert spec_hash(spec).startswith("7c14e12f7b")
