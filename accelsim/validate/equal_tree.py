"""One accelerator, written for us and for ZigZag from the same numbers.

16 x 16 multipliers in 16 adder trees (reduction x columns), a buffer for each operand, DRAM. Registers
hold one tile of each operand in the array and cost nothing. Partial and finished outputs are 16 bits
wide, so that both tools move the same bits whichever they take a value for. Energies are made up: only
their being equal matters.
"""

from __future__ import annotations

from typing import Literal

from accelsim.spec import ArchSpec

LANES = 16
INPUT_BITS, OUTPUT_BITS = 8, 16
CLOCK_MHZ = 1000.0
MAC_PJ = 0.2
DRAM_BITS_PER_CYCLE, DRAM_PJ_PER_BIT = 64, 4.0
WORD_BITS = 64
CAPACITY_KIB = {"ifmap": 4, "weight": 16, "output": 4}
READ_BITS = {"ifmap": LANES * INPUT_BITS, "weight": LANES * LANES * INPUT_BITS, "output": LANES * OUTPUT_BITS}
WRITE_BITS = {"ifmap": DRAM_BITS_PER_CYCLE, "weight": DRAM_BITS_PER_CYCLE, "output": LANES * OUTPUT_BITS}
READ_PJ_PER_BIT = {"ifmap": 0.1, "weight": 0.14, "output": 0.1}
WRITE_PJ_PER_BIT = {"ifmap": 0.12, "weight": 0.16, "output": 0.12}

Operand = Literal["ifmap", "weight", "output"]
ZIGZAG_OPERANDS: dict[Operand, str] = {"ifmap": "I1", "weight": "I2", "output": "O"}
REDUCTION, COLUMN = "D1", "D2"
ALONG: dict[Operand, tuple[str, ...]] = {"ifmap": (COLUMN,), "weight": (), "output": (REDUCTION,)}
"""The array dimensions along which one register serves every lane."""


def arch_spec() -> ArchSpec:
    """The accelerator in our words; DRAM without bursts, rows or latency, no leakage."""
    buffers = {
        {"output": "psum_ofmap"}.get(operand, operand): {
            "capacity_kib": float(CAPACITY_KIB[operand]),
            "word_bits": WORD_BITS,
            "read_bits_per_cycle": READ_BITS[operand],
            "write_bits_per_cycle": WRITE_BITS[operand],
            "read_energy_pj_per_bit": READ_PJ_PER_BIT[operand],
            "write_energy_pj_per_bit": WRITE_PJ_PER_BIT[operand],
            "leakage_mw": 0.0,
        }
        for operand in ZIGZAG_OPERANDS
    }
    return ArchSpec.model_validate(
        {
            "spec_version": 1,
            "name": "equal_tree",
            "technology": {"node_nm": 28.0, "voltage_v": 0.9, "clock_mhz": CLOCK_MHZ},
            "array": {
                "kind": "adder_tree", "dataflow": "weight_stationary", "po": 1, "pci": LANES, "pco": LANES,
                "accumulator_bits": OUTPUT_BITS, "pipeline_stages": 0, "mac_energy_pj": MAC_PJ, "leakage_mw": 0.0,
            },
            "buffers": buffers,
            "dram": {
                "kind": "lpddr4", "bandwidth_gb_per_s": DRAM_BITS_PER_CYCLE / 8 * CLOCK_MHZ / 1e3, "burst_bytes": 8,
                "row_hit_efficiency": 1.0, "latency_ns": 0.0, "energy_pj_per_bit": DRAM_PJ_PER_BIT,
                "background_power_mw": 0.0,
            },
            "lut_unit": {"lanes": 1, "leakage_mw": 0.0},
            "vector_unit": {"lanes": 1, "leakage_mw": 0.0},
        }
    )  # fmt: skip


def zigzag_accelerator() -> dict[str, object]:
    """The same accelerator as ZigZag's YAML, innermost memories first (their order changes its results)."""
    memories: dict[str, object] = {}
    for operand, name in ZIGZAG_OPERANDS.items():
        memories[f"reg_{name}"] = _register(operand, name)
    for operand, name in ZIGZAG_OPERANDS.items():
        memories[f"sram_{name}"] = _buffer(operand, name)
    every = [f"{name}, {way}" for name in ("I1", "I2") for way in ("fh", "tl")]
    every += [f"O, {way}" for way in ("fh", "tl", "fl", "th")]
    port = _port("rw_port_1", "read_write", DRAM_BITS_PER_CYCLE, *every)
    cost = DRAM_PJ_PER_BIT * DRAM_BITS_PER_CYCLE
    memories["dram"] = _memory(10**10, cost, cost, ["I1", "I2", "O"], [port], [REDUCTION, COLUMN])
    return {
        "name": "equal_tree",
        "memories": memories,
        "operational_array": {
            "unit_energy": MAC_PJ, "unit_area": 1.0, "dimensions": [REDUCTION, COLUMN], "sizes": [LANES, LANES],
        },
    }  # fmt: skip


def _register(operand: Operand, name: str) -> dict[str, object]:
    """One value a lane, free of charge."""
    bits = OUTPUT_BITS if operand == "output" else INPUT_BITS
    ports = [_port("r_port_1", "read", bits, f"{name}, tl"), _port("w_port_1", "write", bits, f"{name}, fh")]
    if operand == "output":
        ports += [_port("r_port_2", "read", bits, "O, th"), _port("w_port_2", "write", bits, "O, fl")]
    return _memory(bits, 0.0, 0.0, [name], ports, list(ALONG[operand]))


def _buffer(operand: Operand, name: str) -> dict[str, object]:
    up, down = READ_BITS[operand], WRITE_BITS[operand]
    both = operand == "output"
    ports = [
        _port("r_port_1", "read", up, f"{name}, tl", *(["O, th"] if both else [])),
        _port("w_port_1", "write", down, f"{name}, fh", *(["O, fl"] if both else [])),
    ]
    costs = READ_PJ_PER_BIT[operand] * up, WRITE_PJ_PER_BIT[operand] * down
    memory = _memory(CAPACITY_KIB[operand] * 8192, *costs, [name], ports, [REDUCTION, COLUMN])
    return memory | {"force_double_buffering": not both}


def _port(name: str, kind: str, bits: int, *allocation: str) -> dict[str, object]:
    return {
        "name": name, "type": kind, "bandwidth_min": bits, "bandwidth_max": bits, "allocation": list(allocation),
    }  # fmt: skip


def _memory(
    bits: int, read_pj: float, write_pj: float, operands: list[str], ports: list[dict[str, object]], along: list[str]
) -> dict[str, object]:
    return {
        "size": bits, "r_cost": read_pj, "w_cost": write_pj, "area": 0.0, "latency": 1, "operands": operands,
        "ports": ports, "served_dimensions": along,
    }  # fmt: skip
