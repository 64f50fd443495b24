"""Whole ops on tiny machines, every cycle counted by hand.

The machine: 2 x 2 x 2 adder tree without pipeline, 1 ns clock, DRAM of `rate` bytes per cycle with
1-byte bursts and no latency. The op: matmul 4 x 4 x 4 at 8 bits, weight stationary: two steps (the n
chunks), each 2 k-chunks x 2 m-chunks = 4 cycles; ifmap 16 B in one tile, weight and ofmap 8 B a step.
"""

from __future__ import annotations

import pytest

from accelsim import load_trace, simulate
from accelsim.engine.engine import Timeline, run
from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping.dataflow import map_fixed
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.problem import Problem, matmul_problem
from accelsim.program.mac import mac_program
from accelsim.schemes import PsumScheme
from accelsim.spec.models import ArchSpec
from accelsim.workload import MatmulDims

NS = 1_000_000


def spec(rate_gb_per_s: float, dataflow: str = "weight_stationary", psum_port_bits: int = 4096) -> ArchSpec:
    wide = {"capacity_kib": 1.0, "read_bits_per_cycle": 4096, "write_bits_per_cycle": 4096}
    psum = {**wide, "read_bits_per_cycle": psum_port_bits, "write_bits_per_cycle": psum_port_bits}
    return ArchSpec.model_validate(
        {
            "spec_version": 1,
            "name": "tiny",
            "technology": {"node_nm": 28.0, "voltage_v": 0.9, "clock_mhz": 1000.0},
            "array": {
                "kind": "adder_tree", "dataflow": dataflow, "po": 2, "pci": 2, "pco": 2, "pipeline_stages": 0,
            },
            "buffers": {"ifmap": wide, "weight": wide, "psum_ofmap": psum},
            "dram": {
                "kind": "lpddr4", "bandwidth_gb_per_s": rate_gb_per_s, "burst_bytes": 1,
                "row_hit_efficiency": 1.0, "latency_ns": 0.0,
            },
            "lut_unit": {"lanes": 1},
            "vector_unit": {"lanes": 1},
        }
    )  # fmt: skip


def timeline(machine: Machine, problem: Problem) -> dict[str, list[tuple[int, int]]]:
    """(start, end) in cycles of every instruction, by queue."""
    mapping = map_fixed(problem, machine, "through")
    assert not isinstance(mapping, Infeasible)
    result: Timeline = run(mac_program(problem, mapping, machine).program)
    return {
        queue.name: [(int(a) // NS, int(b) // NS) for a, b in zip(start, finish, strict=True)]
        for queue, start, finish in zip(result.program.queues, result.start_fs, result.finish_fs, strict=True)
    }


MATMUL = matmul_problem(MatmulDims(1, 1, 4, 4, 4), 8, 8, 8, PsumScheme(32))


def test_dram_bound() -> None:
    # 1 byte a cycle: 16 B ifmap, 8 B weight, 8 B weight, then the ofmaps; the array waits for the DRAM.
    assert timeline(build_machine(spec(1.0)), MATMUL) == {
        "load_ifmap": [(0, 16)],
        "load_weight": [(16, 24), (24, 32)],
        "array": [(24, 28), (32, 36)],
        "store": [(32, 40), (40, 48)],
    }


def test_compute_bound() -> None:
    # 8 bytes a cycle: everything but the first loads and the last store hides behind the array.
    assert timeline(build_machine(spec(8.0)), MATMUL) == {
        "load_ifmap": [(0, 2)],
        "load_weight": [(2, 3), (3, 4)],
        "array": [(3, 7), (7, 11)],
        "store": [(7, 8), (11, 12)],
    }


def test_psum_port_bound() -> None:
    # A step writes 8 psums of 32 b (4 words of 64 b) and then 8 ofmaps of 8 b, a word for each 2 x 2 tile:
    # 6 words at 1 a cycle instead of 4 cycles of array. It reads the 4 words of psums.
    machine = build_machine(spec(8.0, psum_port_bits=64))
    assert timeline(machine, MATMUL)["array"] == [(3, 9), (9, 15)]


def test_narrow_psums_free_the_port() -> None:
    # 16-bit psums take 2 words instead of 4: with the 2 of the ofmap as long as the array itself.
    machine = build_machine(spec(8.0, psum_port_bits=64))
    narrow = matmul_problem(MatmulDims(1, 1, 4, 4, 4), 8, 8, 8, PsumScheme(16))
    assert timeline(machine, narrow)["array"] == [(3, 7), (7, 11)]


def test_ragged_edges_take_whole_cycles() -> None:
    # 3 x 3 x 3 on 2 x 2 x 2: ceil each way, so as many array cycles as 4 x 4 x 4, but fewer bytes.
    ragged = matmul_problem(MatmulDims(1, 1, 3, 3, 3), 8, 8, 8, PsumScheme(32))
    assert timeline(build_machine(spec(1.0)), ragged) == {
        "load_ifmap": [(0, 9)],
        "load_weight": [(9, 15), (15, 18)],
        "array": [(15, 19), (19, 23)],
        "store": [(19, 25), (25, 28)],
    }


# Input and output stationary keep the whole weight (16 B) and prefetch the second ifmap tile (8 B) before
# it: 8 + 8 + 16 bytes, then 4 cycles of array, then two stores of 8 B of which the first hides the second
# array step: 32 + 4 + 16 = 52. Weight stationary as above: 48.
@pytest.mark.parametrize(
    ("dataflow", "cycles"), [("weight_stationary", 48), ("input_stationary", 52), ("output_stationary", 52)]
)
def test_report_agrees_with_the_hand_count(dataflow: str, cycles: int) -> None:
    report = simulate(spec(1.0, dataflow), load_trace("matmul:4x4x4"))
    moved = sum(row.bits_moved for row in report.rows if row.block == "dram") // 8
    psum_words = sum(row.count for row in report.rows if row.operand == "psum")
    # 16 B each of ifmap, weight and ofmap; psums of 2 visits: 16 written, 16 read, 2 to a 64 b word.
    assert moved == 48
    assert psum_words == (0 if dataflow == "output_stationary" else 16)
    assert report.totals.cycles == cycles
    assert report.ops[0].bound_by == "dram"
