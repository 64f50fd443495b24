"""APSQ requantise-and-shift lanes between the accumulators and the psum buffer.

What a lane holds follows the structure published for such an engine (arXiv 2505.03748: psum banks,
shift-scale units, multiplexers); its size is counted here from components, per lane, with
A = accumulator bits, b = widest stored psum, G = largest group size:

- G dequantisers, so that a group's boundary step reads its whole group in one cycle: each a left
  barrel shifter (ceil(log2 A) stages of A mux2) and an A-bit adder;
- one requantiser: an A-bit rounding adder, a right barrel shifter, and a saturator of A mux2
  (A - b to compare the dropped bits with the sign, b to select the limit);
- a read and a write multiplexer of b mux2 for each of the G banks.
No register and no controller is counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.hardware.arithmetic import (
    UM2_PER_MM2,
    add_area_um2,
    add_energy_pj,
    cell_area_um2,
    logic_leakage_mw,
    mux2_energy_pj,
)
from accelsim.hardware.block import Action, Block, Cost, or_user, total
from accelsim.hardware.technology import Process
from accelsim.spec import models


@dataclass(frozen=True, kw_only=True)
class PsumEngine(Block):
    """Actions `requantise` (a new psum, before its write) and `dequantise` (a stored psum, after its read)."""

    bits: tuple[int, ...]
    group_sizes: tuple[int, ...]
    psums_per_cycle: int

    def supports(self, bits: int, group_size: int) -> bool:
        """Whether the engine can store psums of this width in groups of this size."""
        return bits in self.bits and group_size in self.group_sizes

    def cycles(self, psums: int) -> int:
        """Cycles to requantise `psums`, with the reads of a group folded into its boundary step."""
        return -(-psums // self.psums_per_cycle)


def build_psum_engine(
    spec: models.PsumEngine, accumulator_bits: int, outputs_per_cycle: int, process: Process
) -> PsumEngine:
    """The engine of a spec; left out, its lanes are the outputs the array delivers in a cycle."""
    lanes = spec.psums_per_cycle or outputs_per_cycle
    stored_bits = max(spec.bits)
    shifter = barrel_shifter_mux2(accumulator_bits)
    energies = {
        "requantise": (spec.requantise_energy_pj, shifter + accumulator_bits + stored_bits),
        "dequantise": (spec.dequantise_energy_pj, shifter + stored_bits),
    }
    actions = {
        name: Action(or_user(given, _energy_pj(mux2, accumulator_bits, process)), "psum")
        for name, (given, mux2) in energies.items()
    }
    computed_area = _lane_area_um2(stored_bits, accumulator_bits, max(spec.group_sizes), process)
    area = or_user(spec.area_mm2, computed_area.scaled(lanes / UM2_PER_MM2, f"x {lanes} lanes"))
    return PsumEngine(
        name="psum_engine",
        actions=actions,
        area_mm2=area,
        leakage_mw=or_user(spec.leakage_mw, logic_leakage_mw(area)),
        bits=spec.bits,
        group_sizes=spec.group_sizes,
        psums_per_cycle=lanes,
    )


def barrel_shifter_mux2(bits: int) -> int:
    """2:1 multiplexers of a shifter that moves `bits` by 0 to `bits` - 1."""
    return bits * (bits - 1).bit_length()


def _energy_pj(mux2: int, accumulator_bits: int, process: Process) -> Cost:
    """One addition and `mux2` multiplexer bits, pJ."""
    parts = [add_energy_pj(accumulator_bits, process), mux2_energy_pj(process).scaled(mux2, f"x {mux2} mux2")]
    return total(parts, "component count")


def _lane_area_um2(stored_bits: int, accumulator_bits: int, group_size: int, process: Process) -> Cost:
    adders = group_size + 1
    shifters = (group_size + 1) * barrel_shifter_mux2(accumulator_bits)
    mux2 = shifters + accumulator_bits + 2 * group_size * stored_bits
    parts = [
        add_area_um2(accumulator_bits, process).scaled(adders, f"x {adders} adders"),
        cell_area_um2("mux2", process).scaled(mux2, f"x {mux2} mux2 counted for the lane", "assumed"),
    ]
    return total(parts, "component count")
