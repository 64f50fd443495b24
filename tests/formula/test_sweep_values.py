"""A sweep's numbers: those of one simulation per point, and moving the way the hardware says."""

from __future__ import annotations

import itertools
import math

import pandas as pd
import pytest

from accelsim import Report, load_arch, load_trace, simulate, sweep
from accelsim.explore.point import TOTALS
from accelsim.report.terminal import energy_by_block
from accelsim.workload import workload_overrides

BITS = "workload.psum.bits"
FLOW = "arch.array.dataflow"
FLOWS = ["weight_stationary", "input_stationary", "output_stationary"]
WORKLOADS = ["matmul:64x256x96", "matmul:128x768x768"]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return sweep("apsq_edge_ws", WORKLOADS, {BITS: [4, 8, 16, 32], FLOW: FLOWS}, processes=1)


def direct(row: dict[str, object]) -> Report:
    trace = workload_overrides(load_trace(row["workload"]), {BITS: str(row[BITS])})
    return simulate(load_arch("apsq_edge_ws", {FLOW: row[FLOW]}), trace)


def test_every_point_has_the_numbers_of_its_own_simulation(table: pd.DataFrame) -> None:
    for row in table.to_dict("records"):
        report = direct(row)
        assert row["status"] == "ok"
        assert {name: row[name] for name in TOTALS} == {name: getattr(report.totals, name) for name in TOTALS}
        assert (row["arch"], row["infeasible_ops"], row["reason"]) == ("apsq_edge_ws", 0, "")
        assert {name: row[name] for name in ("arch_hash", "workload_hash")}.items() <= dict(report.provenance).items()
        assert row["psum_energy_pj"] == math.fsum(r.energy_pj for r in report.rows if r.operand == "psum")
        for block, parts in energy_by_block(report).items():
            assert row[f"{block}_energy_pj"] == pytest.approx(math.fsum(parts.values()))


def test_parts_add_up(table: pd.DataFrame) -> None:
    def total(end: str, without: str = "\0") -> pd.Series:
        names = [name for name in table.columns if name.endswith(end) and without not in name]
        return table[names].sum(axis=1)

    energy = table["energy_pj"].to_numpy()
    dynamic = table["dynamic_energy_pj"] + table["leakage_energy_pj"]
    on_chip = total("_operand_energy_pj") - total("_operand_dram_energy_pj")
    blocks = ("array", "ifmap_buffer", "weight_buffer", "psum_buffer", "psum_engine", "lut_unit", "vector_unit", "dram")
    assert total("_operand_energy_pj").to_numpy() == pytest.approx(energy)
    assert dynamic.to_numpy() == pytest.approx(energy)
    assert sum(table[f"{name}_energy_pj"] for name in blocks).to_numpy() == pytest.approx(energy)
    assert on_chip.to_numpy() == pytest.approx(table["energy_on_chip_pj"].to_numpy())
    assert table["psum_operand_energy_pj"].to_numpy() == pytest.approx(table["psum_energy_pj"].to_numpy())


def test_rows_are_the_product_in_its_order(table: pd.DataFrame) -> None:
    points = list(table[["workload", BITS, FLOW]].itertuples(index=False, name=None))
    assert points == list(itertools.product(WORKLOADS, [4, 8, 16, 32], FLOWS))


def test_psum_energy_grows_with_bits_and_output_stationary_has_none(table: pd.DataFrame) -> None:
    for (_, flow), group in table.groupby(["workload", FLOW]):
        energy = group.sort_values(BITS)["psum_energy_pj"]
        if flow == "output_stationary":
            assert (energy == 0).all()
            continue
        assert energy.is_monotonic_increasing
        # Below 16 bits the psum engine requantises each store; from 16 on only the width is paid for.
        assert energy.iloc[0] > 0
        assert energy.iloc[-1] > 1.9 * energy.iloc[-2]


def test_a_faster_clock_takes_less_time_for_the_same_dynamic_energy() -> None:
    key = "arch.technology.clock_mhz"
    table = sweep("systolic_32x32", WORKLOADS[0], {key: [200, 400, 800]}, processes=1)
    assert table["latency_s"].is_monotonic_decreasing
    assert table["dynamic_energy_pj"].nunique() == 1
