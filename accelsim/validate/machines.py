"""Machines made to equal a peer's: only what the comparison needs is chosen, the rest out of the way."""

from __future__ import annotations

from accelsim.spec import ArchSpec

AMPLE_KIB, AMPLE_BITS_PER_CYCLE = 32768.0, 1 << 20


def square_systolic(size: int, dataflow: str) -> ArchSpec:
    """size x size PEs, serial loads, edge folds in full, INT8; buffers and ports too large to be felt."""
    buffer = {
        "capacity_kib": AMPLE_KIB,
        "read_bits_per_cycle": AMPLE_BITS_PER_CYCLE,
        "write_bits_per_cycle": AMPLE_BITS_PER_CYCLE,
    }
    return ArchSpec.model_validate(
        {
            "spec_version": 1,
            "name": "square",
            "technology": {"node_nm": 28.0, "voltage_v": 0.9, "clock_mhz": 500.0},
            "array": {"kind": "systolic", "dataflow": dataflow, "rows": size, "cols": size},
            "buffers": {"ifmap": buffer, "weight": buffer, "psum_ofmap": buffer},
            "dram": {"kind": "lpddr4", "bandwidth_gb_per_s": 25.6},
            "lut_unit": {"lanes": 1},
            "vector_unit": {"lanes": 1},
        }
    )


def adder_tree() -> ArchSpec:
    """2 x 2 x 2 adder trees with an APSQ engine, DRAM in bursts of 8 bytes."""
    buffer = {"capacity_kib": 256.0, "read_bits_per_cycle": 64, "write_bits_per_cycle": 64}
    return ArchSpec.model_validate(
        {
            "spec_version": 1,
            "name": "tree",
            "technology": {"node_nm": 28.0, "voltage_v": 0.9, "clock_mhz": 500.0},
            "array": {"kind": "adder_tree", "dataflow": "weight_stationary", "po": 2, "pci": 2, "pco": 2},
            "buffers": {"ifmap": buffer, "weight": buffer, "psum_ofmap": buffer},
            "psum_engine": {"bits": (4, 7, 8), "group_sizes": (1, 2, 3, 4)},
            "dram": {"kind": "ddr3", "bandwidth_gb_per_s": 1.0, "burst_bytes": 8},
            "lut_unit": {"lanes": 1},
            "vector_unit": {"lanes": 1},
        }
    )
