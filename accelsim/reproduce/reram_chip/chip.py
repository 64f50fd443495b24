"""The measured system: four chips at a working point, and the four steps of its ablation.

What is not published is assumed here, and printed with the comparison: see ASSUMED.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from accelsim.decoding.model import TWO_BITS, LanguageModel
from accelsim.decoding.passes.program import Issue
from accelsim.decoding.passes.system import Link, StackedMemory, System
from accelsim.decoding.passes.tabulate import Passes
from accelsim.spec import ArchSpec, load_arch
from accelsim.workload.template import load_template

Stage = Literal["bf16", "w4a8", "reram", "parallel"]
Head = Literal["dram", "uncharged"]
STAGES: tuple[Stage, ...] = ("bf16", "w4a8", "reram", "parallel")

ARCH = "reram_logic_55nm"
CHIPS = 4
VOLTAGES = ((63.5, 0.89), (285.0, 1.40))
"""MHz and V of the two published working points; between them on a line (assumed)."""
CLOCKS_MHZ = (63.5, 100.0, 150.0, 200.0, 285.0)
STACK = StackedMemory(
    capacity_bits=4 * 2 * 2**23, bits_per_cycle=4 * 512, clock_mhz=100, latency_ns=50, energy_pj_per_bit=0.968
)
"""Four dies of 2 MB and 512 b a cycle at 100 MHz; 198.16 mW over 204.8 Gb/s (digest). Latency assumed."""
LINK = Link(bandwidth_gb_per_s=1.0, latency_ns=100, energy_pj_per_bit=2.0)
"""Assumed: nothing of the chip-to-chip link is published."""
LAYERS, HEAD = "draft/*.layers.*", "draft/lm_head*"
WIDE = {"arch.array.pci": "32", "arch.array.pco": "32", "arch.array.operand_bits": "16"}
"""16-bit operands on 8-bit multipliers: four of them make one."""


@dataclass(frozen=True)
class WorkingPoint:
    """Clock (and with it the voltage), the DRAM's share of its peak, and its energy a bit."""

    clock_mhz: float
    dram_efficiency: float
    dram_pj_per_bit: float | None = None

    @property
    def voltage_v(self) -> float:
        (low_mhz, low_v), (high_mhz, high_v) = VOLTAGES
        return low_v + (self.clock_mhz - low_mhz) / (high_mhz - low_mhz) * (high_v - low_v)

    def arch(self, wide: bool = False) -> ArchSpec:
        """The spec of one chip at this point, for 16-bit operands if `wide`."""
        sets = {
            "arch.technology.clock_mhz": f"{self.clock_mhz}",
            "arch.technology.voltage_v": f"{self.voltage_v:.4f}",
            "arch.dram.row_hit_efficiency": f"{self.dram_efficiency:.6f}",
        }
        if self.dram_pj_per_bit is not None:
            sets["arch.dram.energy_pj_per_bit"] = f"{self.dram_pj_per_bit:.6f}"
        return load_arch(ARCH, sets | (WIDE if wide else {}))


def stage_passes(
    stage: Stage, target: str, draft: str, point: WorkingPoint, head: Head, issue: Issue | None = None
) -> Passes:
    """Passes of a pair as a step of the ablation has them; `issue` other than the step's own if given."""
    stacked = stage in ("reram", "parallel")
    wide = stage == "bf16"
    bits = (16, 16, 16) if wide else (4, 8, 8)
    system = System(
        CHIPS, LINK, STACK, (LAYERS,) if stacked else (), (HEAD,) if stacked and head == "uncharged" else ()
    )
    own: Issue = "out-of-order" if stage == "parallel" else "in-order"
    return Passes(
        point.arch(wide),
        LanguageModel(load_template(target), *bits, rotation=not wide),
        LanguageModel(load_template(draft), *bits, codebook=TWO_BITS if stacked else None),
        issue or own,
        system=system,
    )
