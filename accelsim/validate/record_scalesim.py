"""Runs SCALE-Sim 3.0.0 on the shipped topologies and keeps its cycles and SRAM accesses.

Its buffers are 512 KiB each, so that nothing stalls; a layout file is needed though no layout is used.
"""

from __future__ import annotations

import contextlib
import csv
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from accelsim.validate.recording import Record, Recording, data_path, require_peer

VERSION = "3.0.0"
COMMAND = "python -m accelsim.validate.record scalesim"
SIZES = (4, 8, 12, 16, 32)
DATAFLOWS = ("os", "ws", "is")
TOPOLOGIES = ("gemm", "conv")

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
LAYOUT_COLUMNS = 18


@dataclass(frozen=True)
class Run:
    """One start of the peer: a topology's layers on one square array with one dataflow."""

    topology: str
    size: int
    dataflow: str
    layers: tuple[str, ...] = ()
    """The layers to run; none means all of the topology."""


def all_runs() -> tuple[Run, ...]:
    return tuple(Run(*key) for key in _keys())


def _keys() -> Iterator[tuple[str, int, str]]:
    for topology in TOPOLOGIES:
        for size in SIZES:
            for dataflow in DATAFLOWS:
                yield topology, size, dataflow


def topology_path(topology: str) -> Path:
    """The topology file of this name that ships with the package."""
    return data_path(f"scalesim_{topology}.csv")


def record(runs: Sequence[Run], progress: Callable[[int, int], None] = lambda done, total: None) -> Recording:
    """SCALE-Sim's answers to `runs`. Raises UserError if it is not installed."""
    require_peer("scalesim", VERSION)
    rows: list[Record] = []
    for done, run in enumerate(runs):
        progress(done, len(runs))
        with tempfile.TemporaryDirectory() as folder:
            rows += _answers(run, Path(folder))
    progress(len(runs), len(runs))
    return Recording("SCALE-Sim", VERSION, COMMAND, tuple(rows))


def _answers(run: Run, folder: Path) -> Iterator[Record]:
    head, *lines = topology_path(run.topology).read_text().splitlines()
    lines = [line for line in lines if not run.layers or line.split(",")[0] in run.layers]
    topology = folder / f"{run.topology}.csv"
    topology.write_text("\n".join([head, *lines]) + "\n")
    start(topology, run.size, run.dataflow, folder)
    compute, access = (
        _report(folder / "out/run" / name) for name in ("COMPUTE_REPORT.csv", "DETAILED_ACCESS_REPORT.csv")
    )
    for line, cycles, sram in zip(lines, compute, access, strict=True):
        yield {
            "topology": run.topology,
            "layer": line.split(",")[0],
            "size": run.size,
            "dataflow": run.dataflow,
            "total_cycles": int(float(cycles["Total Cycles"])),
            "stall_cycles": int(float(cycles["Stall Cycles"])),
            "ifmap_reads": int(float(sram["SRAM IFMAP Reads"])),
            "filter_reads": int(float(sram["SRAM Filter Reads"])),
            "ofmap_writes": int(float(sram["SRAM OFMAP Writes"])),
        }


def start(topology: Path, size: int, dataflow: str, folder: Path) -> None:
    """Run SCALE-Sim on a topology file of GEMMs or convs; its reports come to lie in `folder`/out/run."""
    from scalesim.scale_sim import scalesim

    config, layout = folder / "arch.cfg", folder / "layout.csv"
    head, *lines = topology.read_text().splitlines()
    config.write_text(CONFIG.format(size=size, dataflow=dataflow))
    columns = ["Layer name", *(f"x{i}" for i in range(LAYOUT_COLUMNS)), ""]
    ones = ["1"] * LAYOUT_COLUMNS
    layout.write_text(
        "\n".join([",".join(columns), *(",".join([line.split(",")[0], *ones, ""]) for line in lines)]) + "\n"
    )
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        peer = scalesim(
            save_disk_space=True, verbose=False, config=str(config), topology=str(topology), layout=str(layout),
            input_type_gemm=head.replace(" ", "").startswith("Layer,M,N,K"),
        )  # fmt: skip
        peer.run_scale(top_path=str(folder / "out"))


def _report(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file, skipinitialspace=True))
