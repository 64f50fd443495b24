"""Systolic compute cycles and SRAM reads against SCALE-Sim 3.0.0, exactly, on square arrays.

Closed forms of its compute cycles (they match its own runs): F (T + R + C - 2) output stationary,
F (T + 2R + C - 2) weight and input stationary; its report prints one less. The `oracles` tests run the
simulator itself. Tolerance: 0 cycles, with serial weight loads and full edge folds.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
from pathlib import Path

import pytest

from accelsim.report import Report
from accelsim.simulation import simulate
from accelsim.spec.models import ArchSpec
from accelsim.workload import load_trace

LAYERS = [(128, 768, 768), (128, 768, 3072), (128, 64, 128), (20, 24, 40), (7, 9, 5), (1, 300, 70), (33, 31, 65)]
SRAM_SIZE = 8
LONG_NAMES = {"os": "output_stationary", "ws": "weight_stationary", "is": "input_stationary"}


def simulated(size: int, dataflow: str, layer: tuple[int, int, int]) -> Report:
    buffer = {"capacity_kib": 32768.0, "read_bits_per_cycle": 1 << 20, "write_bits_per_cycle": 1 << 20}
    spec = ArchSpec.model_validate(
        {
            "spec_version": 1,
            "name": "square",
            "technology": {"node_nm": 28.0, "voltage_v": 0.9, "clock_mhz": 500.0},
            "array": {"kind": "systolic", "dataflow": LONG_NAMES[dataflow], "rows": size, "cols": size},
            "buffers": {"ifmap": buffer, "weight": buffer, "psum_ofmap": buffer},
            "dram": {"kind": "lpddr4", "bandwidth_gb_per_s": 25.6},
            "lut_unit": {"lanes": 1},
            "vector_unit": {"lanes": 1},
        }
    )
    return simulate(spec, load_trace("matmul:{}x{}x{}".format(*layer)))


def closed_form(size: int, dataflow: str, layer: tuple[int, int, int]) -> int:
    m, k, n = layer
    rows, cols, stream = {"os": (m, n, k), "ws": (k, n, m), "is": (k, m, n)}[dataflow]
    folds = math.ceil(rows / size) * math.ceil(cols / size)
    load = 0 if dataflow == "os" else size
    return folds * (stream + load + 2 * size - 2)


@pytest.mark.parametrize("size", [8, 16, 32])
@pytest.mark.parametrize("dataflow", LONG_NAMES)
@pytest.mark.parametrize("layer", LAYERS)
def test_compute_cycles(size: int, dataflow: str, layer: tuple[int, int, int]) -> None:
    assert simulated(size, dataflow, layer).ops[0].compute_cycles == closed_form(size, dataflow, layer)


@pytest.mark.parametrize("dataflow", LONG_NAMES)
@pytest.mark.parametrize("layer", [layer for layer in LAYERS if min(layer) > SRAM_SIZE])
def test_sram_values(dataflow: str, layer: tuple[int, int, int]) -> None:
    """Values read into the array and written out of it, by SCALE-Sim's formulas, psum re-reads left out.

    Where the loop over the third operand has one trip a tile stays in the array, and SCALE-Sim, which
    reloads it for each fold, reads more: those cases are left to `test_stationary_tiles_are_kept`.
    """
    m, k, n = layer
    folds_m, folds_n, folds_k = (math.ceil(extent / SRAM_SIZE) for extent in (m, n, k))
    reads = {
        "os": (m * k * folds_n, n * k * folds_m, m * n),
        "ws": (m * k * folds_n, k * n, m * n * folds_k),
        "is": (m * k, k * n * folds_m, m * n * folds_k),
    }[dataflow]
    rows = {(row.block, row.operand, row.action): row for row in simulated(SRAM_SIZE, dataflow, layer).rows}
    psums = rows.get(("psum_buffer", "psum", "write"))
    writes = rows["psum_buffer", "ofmap", "write"].bits_useful // 8 + (psums.bits_useful // 32 if psums else 0)
    read = [rows[f"{name}_buffer", name, "read"].bits_useful // 8 for name in ("ifmap", "weight")]
    assert (*read, writes) == reads


def test_stationary_tiles_are_kept() -> None:
    # One row chunk: a weight-stationary psum never has to leave the accumulator.
    rows = simulated(8, "ws", (1, 300, 70)).rows
    assert not [row for row in rows if row.operand == "psum"]


CONFIG = """[general]
run_name = run
[architecture_presets]
ArrayHeight: {size}
ArrayWidth: {size}
IfmapSramSzkB: 512
FilterSramSzkB: 512
OfmapSramSzkB: 512
IfmapOffset: 0
FilterOffset: 10000000
OfmapOffset: 20000000
Dataflow : {dataflow}
Bandwidth : 1000
ReadRequestBuffer: 64
WriteRequestBuffer: 64
[layout]
IfmapCustomLayout: False
IfmapSRAMBankBandwidth: 10
IfmapSRAMBankNum: 10
IfmapSRAMBankPort: 2
FilterCustomLayout: False
FilterSRAMBankBandwidth: 10
FilterSRAMBankNum: 10
FilterSRAMBankPort: 2
[sparsity]
SparsitySupport : false
SparseRep : ellpack_block
OptimizedMapping : false
BlockSize : 8
RandomNumberGeneratorSeed : 40
[run_presets]
InterfaceBandwidth: CALC
UseRamulatorTrace: False
"""


def scalesim_cycles(size: int, dataflow: str, layer: tuple[int, int, int], folder: Path) -> int:
    from scalesim.scale_sim import scalesim

    m, k, n = layer
    config, topology, layout = (folder / name for name in ("arch.cfg", "gemm.csv", "layout.csv"))
    config.write_text(CONFIG.format(size=size, dataflow=dataflow))
    topology.write_text(f"Layer, M, N, K,\ngemm, {m}, {n}, {k},\n")
    layout.write_text("Layer name," + ",".join(f"x{i}" for i in range(18)) + ",\ngemm," + ",".join(["1"] * 18) + ",\n")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        run = scalesim(
            save_disk_space=True, verbose=False, config=str(config), topology=str(topology), layout=str(layout),
            input_type_gemm=True,
        )  # fmt: skip
        run.run_scale(top_path=str(folder / "out"))
    with (folder / "out/run/COMPUTE_REPORT.csv").open() as file:
        (row,) = csv.DictReader(file, skipinitialspace=True)
    return int(row["Total Cycles"])


@pytest.mark.oracles
@pytest.mark.parametrize("dataflow", LONG_NAMES)
@pytest.mark.parametrize("layer", [(20, 24, 40), (7, 9, 5), (33, 31, 65), (64, 64, 64)])
def test_scalesim_itself(dataflow: str, layer: tuple[int, int, int], tmp_path: Path) -> None:
    pytest.importorskip("scalesim")
    assert simulated(8, dataflow, layer).ops[0].compute_cycles == scalesim_cycles(8, dataflow, layer, tmp_path) + 1
