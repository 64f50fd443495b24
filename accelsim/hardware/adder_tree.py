"""Po x Pci x Pco multipliers whose Pci products per output meet in an adder tree (NVDLA-like)."""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.hardware.arithmetic import UM2_PER_MM2, add_energy_pj, multiply_area_um2, multiply_energy_pj
from accelsim.hardware.block import Action, Cost, or_user, total
from accelsim.hardware.pe_array import PeArray, pe_area_mm2, pe_leakage_mw
from accelsim.hardware.technology import Process
from accelsim.spec import models


@dataclass(frozen=True, kw_only=True)
class AdderTree(PeArray):
    """A fully pipelined dot-product array: one Po x Pci x Pco piece of work a cycle."""

    po: int
    pci: int
    pco: int
    pipeline_stages: int
    sequencer_loops: int = 0
    """Loops of an instruction, outermost first, whose every trip fills the pipeline anew."""
    output_cycles: int = 0
    """Cycles for every Po x Pco block of finished outputs."""
    wide_passes: bool = False
    """Operands wider than the multipliers take several passes."""

    def cycles(self, steps: int, fills: int = 1) -> int:
        """Cycles of one instruction of `steps` Po x Pci x Pco pieces: one each, and the pipeline for every fill."""
        if steps < 1:
            raise ValueError(f"{self.name}: an instruction has at least one step, not {steps}")
        return steps + fills * self.pipeline_stages


def build_adder_tree(spec: models.AdderTreeArray, process: Process, fuses: bool = False) -> AdderTree:
    """The array of a spec, named `array`; `fuses`: its multipliers also take the sum of two inputs."""
    macs = spec.po * spec.pci * spec.pco
    energy = or_user(spec.mac_energy_pj, mac_energy_pj(spec.operand_bits, spec.accumulator_bits, spec.pci, process))
    actions = {"mac": Action(energy, "mac")}
    area = pe_area_mm2(spec.operand_bits, macs, process)
    if spec.wide_operands == "passes":
        actions["extra_pass"] = Action(energy, "mac")
    if fuses:
        wider = sum_multiply_ratio(spec.operand_bits, process)
        actions["fused_mac"] = Action(energy.scaled(wider, "an input one bit wider", "derived"), "mac")
        area = total([area, _wider_area_mm2(spec.operand_bits, macs, process)], "with inputs one bit wider")
    return AdderTree(
        name="array",
        actions=actions,
        area_mm2=or_user(spec.area_mm2, area),
        leakage_mw=or_user(spec.leakage_mw, pe_leakage_mw(spec.operand_bits, macs, process)),
        dataflow=spec.dataflow,
        operand_bits=spec.operand_bits,
        accumulator_bits=spec.accumulator_bits,
        spatial_reduction=spec.spatial_reduction,
        macs_per_cycle=macs,
        outputs_per_cycle=spec.po * spec.pco,
        po=spec.po,
        pci=spec.pci,
        pco=spec.pco,
        pipeline_stages=spec.pipeline_stages,
        sequencer_loops=spec.sequencer_loops,
        output_cycles=spec.output_cycles,
        wide_passes=spec.wide_operands == "passes",
    )


def sum_multiply_ratio(operand_bits: int, process: Process) -> float:
    """Energy of multiplying the sum of two operands, over multiplying one."""
    energies = [multiply_energy_pj(operand_bits + more, operand_bits, process).value for more in (1, 0)]
    return energies[0] / energies[1]


def _wider_area_mm2(operand_bits: int, macs: int, process: Process) -> Cost:
    """What one bit more of one input adds to the multipliers."""
    wide, narrow = (multiply_area_um2(operand_bits + more, operand_bits, process) for more in (1, 0))
    why = f"one bit more in {macs} multipliers"
    return Cost(wide.value - narrow.value, wide.source, wide.confidence).scaled(macs / UM2_PER_MM2, why)


def mac_energy_pj(operand_bits: int, accumulator_bits: int, pci: int, process: Process) -> Cost:
    """Energy of one MAC, pJ: a multiplier, its share of the adder tree and of the accumulator's addition.

    Datapath only (Horowitz's adders and multipliers): pipeline registers and clock are not in it.
    """
    multiply = multiply_energy_pj(operand_bits, operand_bits, process)
    parts = [add_energy_pj(bits, process).scaled(count, f"x {count}") for bits, count in tree_adders(operand_bits, pci)]
    parts.append(add_energy_pj(accumulator_bits, process))
    shared = total(parts, "adder tree and accumulator").scaled(1 / pci, f"shared by {pci} MACs", "derived")
    return total([multiply, shared], "multiply and add")


def tree_adders(operand_bits: int, pci: int) -> list[tuple[int, int]]:
    """(width, count) of the adders of each level that sums `pci` products; a level adds one bit."""
    levels = []
    operands, bits = pci, 2 * operand_bits
    while operands > 1:
        bits += 1
        levels.append((bits, operands // 2))
        operands -= operands // 2
    return levels
