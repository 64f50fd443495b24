"""Whole simulations of matmuls whose bound is beyond doubt, beside max(MACs / peak, bytes / bandwidth).

Every operand crosses DRAM once (the buffers hold all of it); extents are multiples of the lanes. Ours may
only be longer: by the first tile's way in and the last one's way out.
"""

from __future__ import annotations

from collections.abc import Iterator

from accelsim.hardware.machine import build_machine
from accelsim.simulation import simulate
from accelsim.spec import ArchSpec
from accelsim.validate.row import Row
from accelsim.workload import load_trace

TOLERANCE_PCT = 5.0
INPUT_BITS = 8
COMPUTE, BANDWIDTH = "compute", "bandwidth"
CASES = (
    # lanes (rows, reduction, columns), bytes per ns, m, k, n, what bounds it
    ((8, 8, 8), 64.0, 1024, 1024, 1024, COMPUTE),
    ((4, 8, 8), 32.0, 512, 512, 2048, COMPUTE),
    ((16, 8, 8), 64.0, 2048, 768, 768, COMPUTE),
    ((8, 16, 16), 2.0, 8, 4096, 4096, BANDWIDTH),
    ((16, 16, 16), 1.0, 1, 8192, 2048, BANDWIDTH),
    ((8, 8, 8), 0.5, 64, 64, 8192, BANDWIDTH),
)


def machine_spec(lanes: tuple[int, int, int], gb_per_s: float) -> ArchSpec:
    """Adder trees without pipeline at 1 GHz; DRAM without latency or row misses, ports out of the way."""
    buffer = {"capacity_kib": 32768.0, "read_bits_per_cycle": 1 << 20, "write_bits_per_cycle": 1 << 20}
    po, pci, pco = lanes
    return ArchSpec.model_validate(
        {
            "spec_version": 1,
            "name": "roofline",
            "technology": {"node_nm": 28.0, "voltage_v": 0.9, "clock_mhz": 1000.0},
            "array": {
                "kind": "adder_tree", "dataflow": "weight_stationary", "po": po, "pci": pci, "pco": pco,
                "pipeline_stages": 0,
            },
            "buffers": {"ifmap": buffer, "weight": buffer, "psum_ofmap": buffer},
            "dram": {
                "kind": "lpddr4", "bandwidth_gb_per_s": gb_per_s, "row_hit_efficiency": 1.0, "latency_ns": 0.0,
            },
            "lut_unit": {"lanes": 1},
            "vector_unit": {"lanes": 1},
        }
    )  # fmt: skip


def rows() -> Iterator[Row]:
    """Simulated cycles of each case beside its roofline, and the bound that the simulator names."""
    for lanes, gb_per_s, m, k, n, bound in CASES:
        spec = machine_spec(lanes, gb_per_s)
        (op,) = simulate(spec, load_trace(f"matmul:{m}x{k}x{n}")).ops
        compute = m * k * n / build_machine(spec).peak_macs_per_cycle
        transfer = (m * k + k * n + m * n) * INPUT_BITS / 8 / gb_per_s
        longest = max(compute, transfer)
        beyond_doubt = f"{longest / min(compute, transfer):.0f} times the other"
        case = f"{m}x{k}x{n} on {'x'.join(map(str, lanes))}, {gb_per_s:g} B/cycle: {beyond_doubt}"
        what = f"cycles where {bound} bounds"
        yield Row("roofline", case, what, "cycles", longest, op.cycles, TOLERANCE_PCT)
