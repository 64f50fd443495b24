"""A matmul through two memory levels, every word and every cycle counted by hand.

The machine: 2 x 2 x 2 adder tree without pipeline, 1 ns clock, DRAM of 8 bytes per cycle with 1-byte
bursts and no latency; a shared L2 of 64 b ports; buffers that take 64 b and give plenty a cycle.
The op: matmul 4 x 4 x 8 at 8 bits. An array instruction is one (n, k) pair of 2 x 2: 2 cycles, 8 of them.
"""

from __future__ import annotations

import pytest

from accelsim.engine.engine import run
from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping.fit import demands
from accelsim.mapping.nest import Loop, Mapping, Store
from accelsim.mapping.problem import OPERANDS, matmul_problem
from accelsim.mapping.traffic import mac_flows
from accelsim.program.mac import mac_program
from accelsim.schemes import PsumScheme
from accelsim.spec.models import ArchSpec
from accelsim.workload import MatmulDims

NS = 1_000_000
MATMUL = matmul_problem(MatmulDims(1, 1, 4, 4, 8), 8, 8, 8, PsumScheme(32))
MAPPING = Mapping(
    (
        *(Store(operand, "dram") for operand in OPERANDS),
        Store("ifmap", "l2"),
        Store("output", "l2"),
        Loop("n", 4),
        Store("weight", "l2", True),
        Loop("n", 2),
        Store("weight", "weight_buffer", True),
        Store("output", "psum_buffer", True),
        Loop("k", 2),
        Store("ifmap", "ifmap_buffer", True),
        Loop("m", 2),
        *(Store(operand, "array") for operand in OPERANDS),
    )
)


def machine(l2_port_bits: int = 64) -> Machine:
    wide = {"capacity_kib": 1.0, "read_bits_per_cycle": 4096, "write_bits_per_cycle": 64}
    psum = {**wide, "write_bits_per_cycle": 4096}
    ports = {"read_bits_per_cycle": l2_port_bits, "write_bits_per_cycle": l2_port_bits}
    return build_machine(
        ArchSpec.model_validate(
            {
                "spec_version": 1,
                "name": "tiny",
                "technology": {"node_nm": 28.0, "voltage_v": 0.9, "clock_mhz": 1000.0},
                "array": {
                    "kind": "adder_tree", "dataflow": "weight_stationary",
                    "po": 2, "pci": 2, "pco": 2, "pipeline_stages": 0,
                },
                "memories": [{"name": "l2", "holds": ("ifmap", "weight", "psum"), "capacity_kib": 1.0, **ports}],
                "buffers": {"ifmap": wide, "weight": wide, "psum_ofmap": psum},
                "dram": {
                    "kind": "lpddr4", "bandwidth_gb_per_s": 8.0, "burst_bytes": 1,
                    "row_hit_efficiency": 1.0, "latency_ns": 0.0,
                },
                "lut_unit": {"lanes": 1},
                "vector_unit": {"lanes": 1},
            }
        )
    )  # fmt: skip


def test_words() -> None:
    counts = {(f.block, f.operand, f.action): f.count for f in mac_flows(MATMUL, MAPPING, machine()) if f.operand}
    assert counts == {
        # DRAM in bits: every value crosses once.
        ("dram", "ifmap", "read"): 16 * 8,
        ("dram", "weight", "read"): 32 * 8,
        ("dram", "ofmap", "write"): 32 * 8,
        # L2 in words of 8 values: the ifmap comes whole, and leaves 8 values at a time for each of 4 n x 2 k;
        # weights come in 2 tiles of 16 and leave in 4 of 8; outputs come in 4 tiles of 8 and leave whole.
        ("l2", "ifmap", "write"): 2,
        ("l2", "ifmap", "read"): 8,
        ("l2", "weight", "write"): 4,
        ("l2", "weight", "read"): 4,
        ("l2", "ofmap", "write"): 4,
        ("l2", "ofmap", "read"): 4,
        # Buffers: filled as L2 gives; the array takes tiles of 2 x 2 values, a word each: 4 n x 2 k x 2 m of the
        # ifmap, 4 n x 2 k of the weight.
        ("ifmap_buffer", "ifmap", "write"): 8,
        ("ifmap_buffer", "ifmap", "read"): 16,
        ("weight_buffer", "weight", "write"): 4,
        ("weight_buffer", "weight", "read"): 8,
        # 8 output tiles of 2 x 2: as psums (2 words of 2) after the first k, as ofmap (1 word) after the second.
        ("psum_buffer", "psum", "write"): 16,
        ("psum_buffer", "psum", "read"): 16,
        ("psum_buffer", "ofmap", "write"): 8,
        ("psum_buffer", "ofmap", "read"): 4,
    }


def test_demands() -> None:
    # L2: 16 ifmap values, two tiles of 16 weights, 32 outputs whose slots are psums of 32 b.
    # Buffers: two tiles of 8 values of 8 b, of 8 values of 8 b, of 8 psums of 32 b.
    assert demands(MATMUL, MAPPING, machine()) == {
        "l2": 16 * 8 + 2 * 16 * 8 + 32 * 32,
        "ifmap_buffer": 2 * 8 * 8,
        "weight_buffer": 2 * 8 * 8,
        "psum_buffer": 2 * 8 * 32,
    }


def _timeline(machine: Machine) -> dict[str, list[tuple[int, int]]]:
    result = run(mac_program(MATMUL, MAPPING, machine).program)
    return {
        queue.name: [(int(a) // NS, int(b) // NS) for a, b in zip(start, finish, strict=True)]
        for queue, start, finish in zip(result.program.queues, result.start_fs, result.finish_fs, strict=True)
    }


def test_cycles() -> None:
    # Two ifmap tiles fill the buffer's slots, then each waits for the array to be done with the one before the
    # last; where a weight is due at the same instant (9, 13), it goes after the ifmap: one L2 read port.
    assert _timeline(machine()) == {
        "load_ifmap": [(0, 2)],
        "move_ifmap_ifmap_buffer": [(2, 3), (3, 4), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16), (17, 18)],
        "load_weight": [(2, 4), (4, 6)],
        "move_weight_weight_buffer": [(4, 5), (5, 6), (10, 11), (14, 15)],
        "load_psum": [(0, 0)],
        "move_psum_psum_buffer": [(0, 0), (0, 0), (10, 10), (14, 14)],
        "array": [(5 + 2 * step, 7 + 2 * step) for step in range(8)],
        "move_output_l2": [(9, 10), (13, 14), (17, 18), (21, 22)],
        "store": [(22, 26)],
    }


def test_a_wide_port_serves_two_buffers_at_once() -> None:
    # 128 b of L2 port, 64 b of buffer port: the weight no longer waits for the ifmap.
    assert _timeline(machine(128))["move_weight_weight_buffer"] == [(4, 5), (5, 6), (9, 10), (13, 14)]


@pytest.mark.parametrize(("port_bits", "servers"), [(64, 1), (127, 1), (128, 2), (256, 4)])
def test_servers_of_a_port(port_bits: int, servers: int) -> None:
    program = mac_program(MATMUL, MAPPING, machine(port_bits)).program
    assert {r.name: r.capacity for r in program.resources}["l2 read"] == servers
