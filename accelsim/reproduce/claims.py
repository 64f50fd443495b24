"""What the APSQ paper claims beside what comes out here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import yaml

from accelsim.hardware.machine import build_machine
from accelsim.reproduce.apsq import ARCH, EnergyRow
from accelsim.spec import load_arch

LLAMA = ("LLaMA2-7B prefill", "LLaMA2-7B decode")
VISION = ("Segformer-B0", "EfficientViT-B1")
BEST_PSUM = "INT8 gs1"
ENERGY_ASSUMPTIONS = (
    "INT8 gs 1 against INT32; Horowitz 45 nm energies (DRAM/SRAM 26), buffers 256/128/256 KiB, 16x8x8 (LLaMA 1x32x32), "
    "operands fetched again when they do not fit, depthwise layers counted: none of these was published"
)
AREA_ASSUMPTIONS = "component count x cell areas, 28 nm; lane count and engine structure were not published"


@dataclass(frozen=True)
class ClaimRow:
    """One claim: `deviation` is simulated - published, in `unit`; `counting` says how the energy was counted."""

    claim: str
    counting: str
    published: float
    simulated: float
    unit: str
    deviation: float
    confidence: str
    assumptions: str


def claim_rows(energies: Sequence[EnergyRow]) -> list[ClaimRow]:
    """Every published claim, once for each counting in `energies` (area claims once)."""
    rows = []
    for counting in dict.fromkeys(row.counting for row in energies):
        simulated = _energy_claims([row for row in energies if row.counting == counting])
        rows += [_row(claim, counting, value, ENERGY_ASSUMPTIONS) for claim, value in simulated.items()]
    return rows + [_row(claim, "area model", value, AREA_ASSUMPTIONS) for claim, value in _area_claims().items()]


def _row(claim: str, counting: str, simulated: float, assumptions: str) -> ClaimRow:
    entry = _published()[claim]
    published = float(str(entry["published"]))
    return ClaimRow(
        claim, counting, published, simulated, str(entry["unit"]), simulated - published, str(entry["confidence"]),
        assumptions,
    )  # fmt: skip


def _energy_claims(rows: Sequence[EnergyRow]) -> dict[str, float]:
    saved = {(row.model, row.dataflow): 100 * row.saving for row in rows if row.psum == BEST_PSUM}
    small = {key: value for key, value in saved.items() if key[0] not in LLAMA}
    under_is = [value for (_, dataflow), value in small.items() if dataflow == "IS"]
    vision_ws = [value for (model, dataflow), value in small.items() if dataflow == "WS" and model in VISION]
    claims = {
        "psum share of energy at most": 100 * max(row.psum_share for row in rows if row.psum == "INT32"),
        "energy saved at least": min(small.values()),
        "energy saved at most": max(small.values()),
        "energy saved at least (IS)": min(under_is),
        "energy saved at most (IS)": max(under_is),
        "energy saved at most (WS vision)": max(vision_ws),
    }
    for model in LLAMA:
        claims[f"{model} energy ratio (WS)"] = 1 / (1 - saved[model, "WS"] / 100)
    return claims


def _area_claims() -> dict[str, float]:
    machine = build_machine(load_arch(ARCH))
    engine = machine.area_mm2["psum_engine"]
    return {
        "APSQ engine area": engine * 1e6,
        "APSQ engine share of area": 100 * engine / (machine.total_area_mm2 - engine),
    }


@lru_cache(maxsize=1)
def _published() -> dict[str, dict[str, object]]:
    text = (files("accelsim.reproduce") / "data" / "apsq_published.yaml").read_text()
    return {entry["claim"]: entry for entry in yaml.safe_load(text)}
