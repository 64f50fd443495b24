"""Every row of a report on a tiny machine, counted and priced by hand, block by block.

The machine: 2 x 4 x 4 adder tree, weight stationary, 1 KiB buffers with 64 b words, 8-byte DRAM bursts
without latency, INT8 psums in groups of 2. Prices are round numbers given in the spec.

    wide    matmul 6 x 8 x 12: chunks m 3, k 2, n 3; nest n, k, m; an output is visited T = 2 times
    narrow  matmul 2 x 8 x 12: no m loop, so a psum stays in its accumulator: T = 1
    deep    matmul 6 x 512 x 12: the ifmap (3 KiB) does not fit and is fetched for each of 3 n chunks
    rows    softmax of 3 rows x 10
"""

from __future__ import annotations

import pytest

from accelsim.report import Report
from accelsim.schemes import PsumScheme
from accelsim.simulation import simulate
from accelsim.spec.models import ArchSpec
from accelsim.workload import MatmulDims, Op, Oracle, Phase, Tensor, Trace, VectorDims

BUFFER = {"capacity_kib": 1.0, "read_bits_per_cycle": 4096, "write_bits_per_cycle": 4096, "leakage_mw": 0.5}
ADDER_TREE = {"kind": "adder_tree", "po": 2, "pci": 4, "pco": 4, "pipeline_stages": 1}
SYSTOLIC = {"kind": "systolic", "rows": 4, "cols": 4}


def arch(array: dict[str, object]) -> ArchSpec:
    return ArchSpec.model_validate(
        {
            "spec_version": 1,
            "name": "hand",
            "technology": {"node_nm": 28.0, "voltage_v": 0.9, "clock_mhz": 1000.0},
            "array": {"dataflow": "weight_stationary", "mac_energy_pj": 3.0, "leakage_mw": 2.0, **array},
            "buffers": {
                "ifmap": {**BUFFER, "read_energy_pj_per_bit": 0.5, "write_energy_pj_per_bit": 0.25},
                "weight": {**BUFFER, "read_energy_pj_per_bit": 1.0, "write_energy_pj_per_bit": 2.0},
                "psum_ofmap": {**BUFFER, "read_energy_pj_per_bit": 4.0, "write_energy_pj_per_bit": 8.0},
            },
            "psum_engine": {
                "bits": (8,), "group_sizes": (1, 2), "requantise_energy_pj": 5.0, "dequantise_energy_pj": 7.0,
                "leakage_mw": 1.0,
            },
            "dram": {
                "kind": "lpddr4", "bandwidth_gb_per_s": 8.0, "burst_bytes": 8, "row_hit_efficiency": 1.0,
                "latency_ns": 0.0, "energy_pj_per_bit": 10.0, "background_power_mw": 4.0,
            },
            "lut_unit": {"lanes": 2, "energy_pj_per_element": 11.0, "leakage_mw": 0.25},
            "vector_unit": {"lanes": 4, "energy_pj_per_operation": 13.0, "leakage_mw": 0.75},
        }
    )  # fmt: skip


def matmul_op(index: int, name: str, m: int, k: int, n: int) -> tuple[Op, list[Tensor]]:
    tensors = [
        Tensor(f"{name}.x", "activation", (m, k), 8),
        Tensor(f"{name}.w", "weight", (k, n), 8),
        Tensor(f"{name}.y", "activation", (m, n), 8),
    ]
    ids = [tensor.id for tensor in tensors]
    op = Op(index, name, "matmul", MatmulDims(1, 1, m, k, n), (ids[0], ids[1]), (ids[2],), psum=PsumScheme(8, 2))
    return op, tensors


def trace() -> Trace:
    ops: list[Op] = []
    tensors: list[Tensor] = []
    for index, (name, m, k, n) in enumerate([("wide", 6, 8, 12), ("narrow", 2, 8, 12), ("deep", 6, 512, 12)]):
        op, operands = matmul_op(index, name, m, k, n)
        ops.append(op)
        tensors += operands
    tensors += [Tensor("rows.x", "activation", (3, 10), 8), Tensor("rows.y", "activation", (3, 10), 8)]
    ops.append(Op(3, "rows", "softmax", VectorDims(3, 10), ("rows.x",), ("rows.y",), "softmax"))
    macs = 576 + 192 + 36864
    return Trace("hand", (), Oracle(macs, "by hand"), tuple(tensors), (Phase("encode", "encode", 6, 0, 1, tuple(ops)),))


# (op, operand, action): count. A word is 8 bytes of 8-bit values; DRAM counts bits.
COUNTS: dict[str, dict[tuple[str, str, str], int]] = {
    "array": {("wide", "", "mac"): 576, ("narrow", "", "mac"): 192, ("deep", "", "mac"): 36864},
    "ifmap_buffer": {
        ("wide", "ifmap", "write"): 6,  # 48 B once
        ("wide", "ifmap", "read"): 18,  # a 2 x 4 tile is a word; 3 m x 2 k tiles, again for each of 3 n
        ("narrow", "ifmap", "write"): 2,
        ("narrow", "ifmap", "read"): 6,  # 2 k tiles for each of 3 n
        ("deep", "ifmap", "write"): 1152,  # 3072 B for each of 3 n
        ("deep", "ifmap", "read"): 1152,  # 3 m x 128 k x 3 n
        ("rows", "ifmap", "write"): 4,  # 30 B
        ("rows", "ifmap", "read"): 4,
    },
    "weight_buffer": {
        ("wide", "weight", "write"): 12,  # 96 B once
        ("wide", "weight", "read"): 12,  # 6 tiles of 4 x 4, once each
        ("narrow", "weight", "write"): 12,
        ("narrow", "weight", "read"): 12,
        ("deep", "weight", "write"): 768,  # 6144 B once
        ("deep", "weight", "read"): 768,
    },
    "psum_buffer": {
        ("wide", "psum", "write"): 9,  # 72 outputs, T - 1 = 1
        ("wide", "psum", "read"): 9,
        ("wide", "ofmap", "write"): 9,
        ("wide", "ofmap", "read"): 9,
        ("narrow", "ofmap", "write"): 3,  # 2 x 4 outputs a word, 3 n
        ("narrow", "ofmap", "read"): 3,
        ("deep", "psum", "write"): 1143,  # T - 1 = 127 visits of 9 words
        ("deep", "psum", "read"): 1143,
        ("deep", "ofmap", "write"): 9,
        ("deep", "ofmap", "read"): 9,
        ("rows", "ofmap", "write"): 4,
        ("rows", "ofmap", "read"): 4,
    },
    "psum_engine": {
        ("wide", "psum", "requantise"): 144,  # 72 outputs, T = 2
        ("wide", "psum", "dequantise"): 72,
        ("deep", "psum", "requantise"): 9216,  # T = 128
        ("deep", "psum", "dequantise"): 9144,
    },
    "lut_unit": {("rows", "lut", "lookup"): 33},  # 30 exponentials, 3 reciprocals
    "vector_unit": {("rows", "", "operation"): 120},  # max, subtract, sum, scale
    "dram": {  # each of these bits is charged for its column access, its share of a row, and the link
        ("wide", "ifmap", "read"): 384,
        ("wide", "weight", "read"): 768,
        ("wide", "ofmap", "write"): 576,
        ("narrow", "ifmap", "read"): 128,
        ("narrow", "weight", "read"): 768,
        ("narrow", "ofmap", "write"): 192,
        ("deep", "ifmap", "read"): 73728,
        ("deep", "weight", "read"): 49152,
        ("deep", "ofmap", "write"): 576,
        ("rows", "ifmap", "read"): 256,  # 240 bits in 4 bursts
        ("rows", "ofmap", "write"): 256,
    },
}

for (_op, _operand, _), _bits in tuple(COUNTS["dram"].items()):
    COUNTS["dram"] |= {(_op, _operand, "activate"): _bits, (_op, _operand, "io"): _bits}

PRICE_PJ = {
    ("array", "mac"): 3.0,
    ("ifmap_buffer", "read"): 32.0, ("ifmap_buffer", "write"): 16.0,
    ("weight_buffer", "read"): 64.0, ("weight_buffer", "write"): 128.0,
    ("psum_buffer", "read"): 256.0, ("psum_buffer", "write"): 512.0,
    ("psum_engine", "requantise"): 5.0, ("psum_engine", "dequantise"): 7.0,
    ("lut_unit", "lookup"): 11.0, ("vector_unit", "operation"): 13.0,
    # 10 pJ in LPDDR4's shares: of 8 pJ, .069 for activation, 3.0 for I/O, the rest for columns
    ("dram", "read"): 6.16375, ("dram", "write"): 6.16375, ("dram", "activate"): 0.08625, ("dram", "io"): 3.75,
}  # fmt: skip
LEAKAGE_MW = {
    "array": 2.0, "ifmap_buffer": 0.5, "weight_buffer": 0.5, "psum_buffer": 0.5, "psum_engine": 1.0,
    "lut_unit": 0.25, "vector_unit": 0.75, "dram": 4.0,
}  # fmt: skip
# Adder tree: wide is 3 n steps of 2 k x 3 m pieces and the pipeline once each: 3 x (6 + 1), and so on.
# Systolic 4 x 4: folds k/4 x n/4 of M + 2 x 4 + 4 - 2 cycles.
COMPUTE_CYCLES = {
    "adder_tree": {"wide": 21, "narrow": 9},
    "systolic": {"wide": 2 * 3 * (6 + 10), "narrow": 2 * 3 * (2 + 10)},
}


def report_of(array: dict[str, object]) -> Report:
    return simulate(arch(array), trace())


def check_rows(block: str) -> None:
    """Counts and energies of one block, against the tables above; leakage is 1 pJ per mW and ns."""
    report = report_of(ADDER_TREE)
    dynamic = {(row.op, row.operand, row.action): row for row in report.rows if row.block == block}
    leaks = {key[0]: dynamic.pop(key) for key in list(dynamic) if key[2] == "leakage"}
    assert {key: row.count for key, row in dynamic.items()} == COUNTS[block]
    for (_, _, action), row in dynamic.items():
        assert row.energy_pj == pytest.approx(row.count * PRICE_PJ[block, action])
    cycles = {op.name: op.cycles for op in report.ops}
    for op, row in leaks.items():
        assert row.energy_pj == pytest.approx(LEAKAGE_MW[block] * cycles[op])


def check_cycles(kind: str, array: dict[str, object]) -> None:
    """Array cycles of the two small matmuls."""
    cycles = {op.name: op.compute_cycles for op in report_of(array).ops}
    assert {name: cycles[name] for name in COMPUTE_CYCLES[kind]} == COMPUTE_CYCLES[kind]


@pytest.mark.parametrize("block", COUNTS)
def test_rows_by_hand(block: str) -> None:
    check_rows(block)


@pytest.mark.parametrize(("kind", "array"), [("adder_tree", ADDER_TREE), ("systolic", SYSTOLIC)])
def test_array_cycles_by_hand(kind: str, array: dict[str, object]) -> None:
    check_cycles(kind, array)


def test_parts_sum_to_totals() -> None:
    report = report_of(ADDER_TREE)
    totals = report.totals
    assert totals.energy_pj == pytest.approx(sum(row.energy_pj for row in report.rows))
    assert totals.energy_pj == pytest.approx(sum(op.energy_pj for op in report.ops))
    assert totals.energy_on_chip_pj == pytest.approx(sum(row.energy_pj for row in report.rows if row.block != "dram"))
    assert totals.cycles == sum(op.cycles for op in report.ops) == sum(phase.cycles for phase in report.phases)
    assert totals.macs == report.trace_macs == 37632
    assert totals.latency_s == pytest.approx(totals.cycles * 1e-9)
    assert totals.power_mw == pytest.approx(totals.energy_pj / totals.cycles)  # 1 pJ / ns = 1 mW
    assert totals.tops_per_w == pytest.approx(2 * totals.macs / totals.energy_pj)
    assert report.mac_check == "equal"
