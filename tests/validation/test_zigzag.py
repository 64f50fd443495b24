"""ZigZag's mappings through our counts, value for value; its energies up to what is known to differ."""

from __future__ import annotations

import pytest

from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping.count import tiling
from accelsim.mapping.fit import demands
from accelsim.validate import record_zigzag, zigzag
from accelsim.validate.equal_tree import CAPACITY_KIB, OUTPUT_BITS, READ_PJ_PER_BIT, arch_spec, zigzag_accelerator
from accelsim.validate.recording import Record, recorded
from accelsim.validate.row import Row
from accelsim.validate.zigzag_nest import nest_of, problem_of

RECORDS = recorded("zigzag").rows


@pytest.fixture(scope="module")
def machine() -> Machine:
    return build_machine(arch_spec())


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return list(zigzag.rows(recorded("zigzag")))


def test_values_are_equal(rows: list[Row]) -> None:
    """Every operand, memory and direction of 14 layers, mapped for energy and for latency."""
    values = [row for row in rows if row.unit == "values"]
    assert len({row.case for row in values}) == 2 * len(record_zigzag.LAYERS) >= 28
    assert len({row.what for row in values}) == 10
    assert all(row.tolerance_pct == 0 for row in values)
    assert [row for row in values if row.deviation_pct] == []
    assert any(row.what == "output dram reads" for row in values)  # a spilled psum is among them


def test_energy_of_the_values(rows: list[Row]) -> None:
    energies = [row for row in rows if row.what == "energy of its values"]
    assert all(row.ok for row in energies)
    ragged = [row for row in energies if row.tolerance_pct is None]
    assert all("ragged" in row.case for row in ragged)
    assert all(0 <= row.deviation_pct < 0.7 for row in ragged)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: f"{record['layer']} {record['objective']}")
def test_printed_energy_is_ours_and_the_first_visits(record: Record, rows: list[Row]) -> None:
    """Where no psum spills: T reads of every output instead of T - 1 is all that lies between."""
    (row,) = (row for row in rows if row.what == "energy" and row.case == f"{record['layer']}, {record['objective']}")
    if "ragged" in str(record["layer"]) or "O_dram_rd_out_to_low" in record:
        assert -11 < row.deviation_pct <= 0
        return
    outputs = int(record["O_dram_wr_in_by_low"])
    firsts = outputs if "O_sram_rd_out_to_low" in record else 0
    first_pj = firsts * OUTPUT_BITS * READ_PJ_PER_BIT["output"]
    assert row.reference == pytest.approx(row.ours + first_pj, rel=1e-9)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: f"{record['layer']} {record['objective']}")
def test_its_mappings_fit_our_buffers(record: Record, machine: Machine) -> None:
    problem = problem_of(str(record["layer"]))
    mapping = nest_of(record, problem, machine)
    needed = demands(problem, mapping, machine)
    assert set(needed) == {"ifmap_buffer", "weight_buffer", "psum_buffer"}
    for name, bits in needed.items():
        operand = {"ifmap_buffer": "ifmap", "weight_buffer": "weight", "psum_buffer": "output"}[name]
        assert bits <= CAPACITY_KIB[operand] * 8192  # type: ignore[index]
    trips = 1
    for loop in str(record["loops"]).split():
        trips *= int(loop.split(":")[1])
    assert trips == record["array_cycles"]
    assert tiling(problem, "weight", mapping.loops).largest <= 256


def test_both_descriptions_of_the_accelerator_agree(machine: Machine) -> None:
    """Energy per bit, width, capacity of every memory, read back out of the two descriptions."""
    memories = zigzag_accelerator()["memories"]
    assert isinstance(memories, dict)
    for name, buffer in (("I1", machine.ifmap_buffer), ("I2", machine.weight_buffer), ("O", machine.psum_buffer)):
        memory = memories[f"sram_{name}"]
        read, write = memory["ports"]
        assert memory["size"] == buffer.capacity_bits
        assert (read["bandwidth_max"], write["bandwidth_max"]) == (
            buffer.read_bits_per_cycle, buffer.write_bits_per_cycle,
        )  # fmt: skip
        for port, cost, action in ((read, "r_cost", "read"), (write, "w_cost", "write")):
            per_bit = buffer.actions[action].energy_pj.value / buffer.word_bits
            assert memory[cost] / port["bandwidth_max"] == pytest.approx(per_bit)
    dram = memories["dram"]
    assert dram["r_cost"] / dram["ports"][0]["bandwidth_max"] == machine.dram.pj_per_bit.value
    bits_per_cycle = machine.period_fs / machine.dram.fs_per_byte * 8
    assert dram["ports"][0]["bandwidth_max"] == bits_per_cycle
    assert machine.peak_macs_per_cycle == 256


def test_our_best_energy_is_no_worse(rows: list[Row]) -> None:
    best = [row for row in rows if row.what == "best energy"]
    assert len(best) == len(record_zigzag.LAYERS)
    assert all(row.ok and row.tolerance_pct == 0 for row in best)
    convs = [row.deviation_pct for row in best if row.case.startswith("conv")]
    assert len(convs) == 5
    assert min(convs) < -30


@pytest.mark.oracles
def test_zigzag_itself() -> None:
    pytest.importorskip("zigzag")
    layers = ("gemm 128x64x128", "conv 5x5 8x8 16-32")
    live = record_zigzag.record(layers)
    assert live.rows == tuple(row for row in RECORDS if row["layer"] in layers)
