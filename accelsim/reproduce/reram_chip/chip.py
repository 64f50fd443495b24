"""The measured system: four chips at a working point, and the four steps of its ablation.

The chips are those of the spec; its comments say what is not published and assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from accelsim.decoding.model import TWO_BITS, LanguageModel
from accelsim.decoding.passes.program import Issue
from accelsim.decoding.passes.tabulate import Passes
from accelsim.spec import ArchSpec, load_arch
from accelsim.workload.template import load_template

Stage = Literal["bf16", "w4a8", "reram", "parallel"]
Head = Literal["dram", "uncharged"]
STAGES: tuple[Stage, ...] = ("bf16", "w4a8", "reram", "parallel")

ARCH = "reram_logic_55nm_x4"
CLOCKS_MHZ = (63.5, 100.0, 150.0, 200.0, 285.0)
HEAD = "draft/lm_head*"


@dataclass(frozen=True)
class WorkingPoint:
    """Clock (and with it the voltage), the DRAM's share of its peak, and its energy a bit."""

    clock_mhz: float
    dram_efficiency: float
    dram_pj_per_bit: float | None = None

    def arch(self) -> ArchSpec:
        """The spec of the system at this point."""
        sets = {
            "arch.technology.clock_mhz": f"{self.clock_mhz}",
            "arch.dram.row_hit_efficiency": f"{self.dram_efficiency:.6f}",
        }
        if self.dram_pj_per_bit is not None:
            sets["arch.dram.energy_pj_per_bit"] = f"{self.dram_pj_per_bit:.6f}"
        return load_arch(ARCH, sets)


def stage_passes(
    stage: Stage, target: str, draft: str, point: WorkingPoint, head: Head, issue: Issue | None = None
) -> Passes:
    """Passes of a pair as a step of the ablation has them; `issue` other than the step's own if given.

    From `reram` on the draft's layers are codebook weights, which the spec places in the ReRAM.
    """
    stacked, wide = stage in ("reram", "parallel"), stage == "bf16"
    bits = (16, 16, 16) if wide else (4, 8, 8)
    own: Issue = "out-of-order" if stage == "parallel" else "in-order"
    return Passes(
        point.arch(),
        LanguageModel(load_template(target), *bits, rotation=not wide),
        LanguageModel(load_template(draft), *bits, codebook=TWO_BITS if stacked else None),
        issue or own,
        uncharged=(HEAD,) if stacked and head == "uncharged" else (),
    )
