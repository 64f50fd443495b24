"""What no mapping of an op can go below on a machine: energy and time.

    DRAM bits   the larger of
                  compulsory: each operand once
                  pebble (matmul): M K N sqrt(wi ww wo) / sqrt(S) - S, per batch entry
    time        the larger of MACs / peak and DRAM bits / bandwidth
    energy      MACs + DRAM bits x pJ per bit + each operand once in and out of its cheapest memory
                + leakage power x time

S is the bits the chip can hold, w the bits per value that cross the pins. The pebble bound is Hong and
Kung's (STOC 1981) with the counting of Irony, Toledo and Tiskin (JPDC 2004), by bits: cut the run into
phases that move S bits each. Inputs of a phase were there or came in, outputs stay or left, so values
a, b, c of the three operands obey a wi + b ww + c wo <= 3 S, and by Loomis and Whitney a phase has at
most sqrt(a b c) <= S^1.5 / sqrt(wi ww wo) MACs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from accelsim.hardware.machine import Machine
from accelsim.hardware.sram import Width, packed_bits
from accelsim.mapping.array_actions import array_actions, issued_share
from accelsim.mapping.count import tiling
from accelsim.mapping.placement import Spill
from accelsim.mapping.problem import OPERANDS, OperandName, Problem


@dataclass(frozen=True)
class OpBound:
    """Least energy (pJ, leakage included), time (core cycles) and DRAM traffic (bits) of any mapping."""

    energy_pj: float
    cycles: int
    dram_bits: int


def op_bound(problem: Problem, machine: Machine, spill: Spill = "through") -> OpBound:
    """The bounds above for a matmul or conv that comes from DRAM and goes to DRAM."""
    bits: dict[str, Width] = {
        "ifmap": problem.ifmap_bits,
        "weight": problem.stored_weight_bits,
        "output": problem.ofmap_bits,
    }
    values = {operand: tiling(problem, operand, ()).once() for operand in OPERANDS}
    once = {operand: packed_bits(values[operand], problem.dram_bits[operand]) for operand in OPERANDS}
    bias_bits = problem.bias_values * problem.bias_bits
    if problem.weight_home == "dram":
        dram_bits, stack_fs, stack_pj = max(sum(once.values()), _pebble_bits(problem, machine)) + bias_bits, 0.0, 0.0
    else:
        dram_bits = once["ifmap"] + once["output"]
        stack_fs, stack_pj = _from_stack(once["weight"] + bias_bits, machine)
    dram_fs = float(dram_bits * machine.dram.fs_per_byte / 8)
    slots = float(problem.macs * issued_share(problem, machine.array))
    latency_fs = max(slots / machine.peak_macs_per_cycle * machine.period_fs, dram_fs, stack_fs)
    compute_pj = sum(
        count * machine.array.actions[name].energy_pj.value
        for name, count in array_actions(problem, machine.array) if count
    )  # fmt: skip
    energy = compute_pj + dram_bits * machine.dram.pj_per_bit.value + stack_pj
    for operand in OPERANDS:
        if operand != "output" or spill == "through":
            left = 1 - float(problem.fused_pairs) if operand == "weight" else 1.0
            energy += _once_pj(operand, values[operand], bits[operand], machine, left)
    energy += math.fsum(block.leakage_mw.value for block in machine.blocks()) * 1e-6 * latency_fs
    return OpBound(energy, math.floor(latency_fs / machine.period_fs), dram_bits)


def _from_stack(bits: int, machine: Machine) -> tuple[float, float]:
    """Time (fs) and energy (pJ) of reading so many bits out of the stacked memory."""
    stack = machine.reram_stack
    if stack is None:
        raise ValueError(f"{machine.name} has no stacked memory")
    return bits / (stack.word_bits * stack.dies) * stack.word_fs, bits * stack.energy_pj_per_bit


def _once_pj(operand: OperandName, values: int, bits: Width, machine: Machine, left: float) -> float:
    """Every value into the cheapest memory and, but for what tile fusion saves, out of it, its words full."""
    costs = []
    for memory in machine.chain(operand):
        words = values / memory.values_per_word(bits) if bits <= memory.word_bits else memory.accesses(values, bits)
        read, write = (memory.actions[action].energy_pj.value for action in ("read", "write"))
        costs.append(words * (read + write) if left == 1 else words * (left * read + write))
    return min(costs)


def _pebble_bits(problem: Problem, machine: Machine) -> int:
    if problem.conv is not None:
        return 0
    array = machine.array
    held = sum(memory.capacity_bits for memory in machine.memories)
    held += array.macs_per_cycle * (2 * array.operand_bits + array.accumulator_bits)
    held += sum(file.capacity_bits * file.pes for file in machine.registers)
    weight = min(problem.weight_bits, problem.stored_weight_bits)  # PEs and registers hold it decoded
    outside = problem.dram_bits
    width = outside["ifmap"] * weight * min(outside["output"], problem.psum.bits)
    batch = math.prod(problem.extent(dim) for dim in problem.batch)
    moved = problem.macs / batch * math.sqrt(width) / math.sqrt(held) - held
    return batch * max(0, math.floor(moved))
