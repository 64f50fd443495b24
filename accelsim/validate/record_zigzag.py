"""Runs ZigZag 3.9.1 on `equal_tree` and keeps its best mapping of each layer, with what it counts for it."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import yaml

from accelsim.validate.equal_tree import COLUMN, INPUT_BITS, LANES, OUTPUT_BITS, REDUCTION, zigzag_accelerator
from accelsim.validate.recording import Record, Recording, require_peer
from accelsim.workload import ConvDims, MatmulDims

if TYPE_CHECKING:
    from zigzag.cost_model.cost_model import CostModelEvaluation

VERSION = "3.9.1"
COMMAND = "python -m accelsim.validate.record zigzag"
Objective = Literal["energy", "latency"]
OBJECTIVES: tuple[Objective, ...] = ("energy", "latency")
SRAM, DRAM = 1, 2
"""Its memory levels of every operand; 0 is the registers."""


GEMM_DIMS = {"B": "m", "K": "n", "C": "k"}
CONV_DIMS = {"B": "n", "K": "k", "C": "c", "OY": "p", "OX": "q", "FY": "r", "FX": "s"}
"""Its loop dims and ours."""

LAYERS: dict[str, MatmulDims | ConvDims] = {
    "gemm 128x768x768": MatmulDims(1, 1, 128, 768, 768),
    "gemm 128x64x128": MatmulDims(1, 1, 128, 64, 128),
    "gemm 512x512x512": MatmulDims(1, 1, 512, 512, 512),
    "gemm 1x768x3072": MatmulDims(1, 1, 1, 768, 3072),
    "gemm 64x1024x256": MatmulDims(1, 1, 64, 1024, 256),
    "gemm 256x64x1024": MatmulDims(1, 1, 256, 64, 1024),
    "gemm 48x2048x16": MatmulDims(1, 1, 48, 2048, 16),
    "gemm ragged 100x200x72": MatmulDims(1, 1, 100, 200, 72),
    "gemm ragged 197x100x100": MatmulDims(1, 1, 197, 100, 100),
    "conv 1x1 28x28 64-128": ConvDims(1, 1, 64, 128, 28, 28, 1, 1),
    "conv 3x3 14x14 64-64": ConvDims(1, 1, 64, 64, 16, 16, 3, 3),
    "conv 3x3 28x28 32-32": ConvDims(1, 1, 32, 32, 30, 30, 3, 3),
    "conv 5x5 8x8 16-32": ConvDims(1, 1, 16, 32, 12, 12, 5, 5),
    "conv 3x3/2 14x14 32-64": ConvDims(1, 1, 32, 64, 29, 29, 3, 3, (2, 2)),
}


def record(
    layers: Sequence[str],
    progress: Callable[[int, int], None] = lambda done, total: None,
    objectives: Sequence[Objective] = OBJECTIVES,
) -> Recording:
    """ZigZag's best mapping of every layer for each objective. Raises UserError if it is not installed."""
    require_peer("zigzag-dse", VERSION)
    rows: list[Record] = []
    with tempfile.TemporaryDirectory() as folder:
        for done, layer in enumerate(layers):
            progress(done, len(layers))
            rows += [_answer(layer, objective, Path(folder)) for objective in objectives]
    progress(len(layers), len(layers))
    return Recording("ZigZag", VERSION, COMMAND, tuple(rows))


def _answer(layer: str, objective: Objective, folder: Path) -> Record:
    from zigzag.api import get_hardware_performance_zigzag

    accelerator, mapping = folder / "accelerator.yaml", folder / "mapping.yaml"
    accelerator.write_text(yaml.safe_dump(zigzag_accelerator(), sort_keys=False))
    mapping.write_text(yaml.safe_dump([_spatial()], sort_keys=False))
    with _quiet():
        energy, latency, found = get_hardware_performance_zigzag(
            [_workload(layer)], str(accelerator), str(mapping), opt=objective, dump_folder=str(folder / "out"),
            loma_show_progress_bar=False,
        )  # fmt: skip
    best = found[0][1][0][0]
    row: Record = {"layer": layer, "objective": objective}
    row |= {"energy_pj": float(energy), "cycles": int(latency), "mac_pj": float(best.mac_energy)}
    row |= {"array_cycles": int(best.ideal_temporal_cycle), "stall_cycles": int(best.stall_slack_comb)}
    return row | _loops(best) | _moves(best)


def _workload(layer: str) -> dict[str, object]:
    dims = LAYERS[layer]
    names = GEMM_DIMS if isinstance(dims, MatmulDims) else CONV_DIMS
    entry: dict[str, object] = {
        "id": 0, "name": "layer", "operator_type": "Gemm", "equation": "O[b][k]+=W[k][c]*I[b][c]",
        "dimension_relations": [], "loop_dims": list(names),
        "loop_sizes": [getattr(dims, dim) for dim in names.values()],
        "operand_precision": {"O": OUTPUT_BITS, "O_final": OUTPUT_BITS, "W": INPUT_BITS, "I": INPUT_BITS},
        "operand_source": {"W": 0},
    }  # fmt: skip
    if isinstance(dims, ConvDims):
        entry["operator_type"] = "Conv"
        entry["equation"] = "O[b][k][oy][ox]+=W[k][c][fy][fx]*I[b][c][iy][ix]"
        entry["dimension_relations"] = [f"ix={dims.stride[1]}*ox+1*fx", f"iy={dims.stride[0]}*oy+1*fy"]
    return entry


def _spatial() -> dict[str, object]:
    return {
        "name": "default",
        "spatial_mapping": {REDUCTION: [f"C, {LANES}"], COLUMN: [f"K, {LANES}"]},
        "memory_operand_links": {"O": "O", "W": "I2", "I": "I1"},
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """It logs every layer at level info, and sets logging up for the whole process."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _loops(best: CostModelEvaluation) -> Record:
    """All loops, innermost first, and how many of them each operand has below its buffer and below DRAM."""
    levels = {operand.name: loops for operand, loops in best.temporal_mapping.mapping_dic_origin.items()}
    row: Record = {"loops": " ".join(f"{dim.name}:{size:g}" for level in levels["O"] for dim, size in level)}
    for operand, mine in levels.items():
        row[f"{operand}_below_sram"] = len(mine[0])
        row[f"{operand}_below_dram"] = len(mine[0]) + len(mine[SRAM])
    return row


def _moves(best: CostModelEvaluation) -> Record:
    """Values moved and accesses made, by operand, memory and direction; what never happens left out."""
    row: Record = {}
    for operand, levels in best.mapping.unit_mem_data_movement.items():
        for name, level in (("sram", SRAM), ("dram", DRAM)):
            values = levels[level].get_attribute("data_elem_move_count").data
            accesses = best.memory_word_access[operand][level].data
            for way in values:
                if values[way]:
                    row[f"{operand.name}_{name}_{way.value}"] = int(values[way])
                    row[f"{operand.name}_{name}_{way.value}_accesses"] = int(accesses[way])
    return row
