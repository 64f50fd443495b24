"""The closed access-count model that stands in for the APSQ paper's own (its formulas were not published).

One GEMM: M rows, K reduction, N columns, INT8 operands, sizes in bytes; beta = psum bits / 8.

    Si = M K   Sw = K N   So = M N   T = ceil(K / Pci)   Np = 2 (T - 1) So beta
    WS: SRAM_i = Si ceil(N / Pco)  DRAM_i = Si, or SRAM_i if Si > B_i   SRAM_w = DRAM_w = Sw   W = M Pco beta gs
    IS: SRAM_w = Sw ceil(M / Po)   DRAM_w = Sw, or SRAM_w if Sw > B_w   SRAM_i = DRAM_i = Si   W = Po N beta gs
    spill: if W > B_o the Np bytes go to DRAM as well     ofmap: SRAM = DRAM = So
    E = e_sram (SRAM_i + SRAM_w + Np + So) + e_dram (DRAM_i + DRAM_w + [W > B_o] Np + So) + e_mac M K N

A conv is its im2col GEMM (input elements counted once per tap), and T does not know that a psum may
stay in its accumulator; the exact counts of `accelsim.mapping` do both properly.
"""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.hardware.adder_tree import AdderTree
from accelsim.hardware.machine import Machine
from accelsim.mapping.problem import Problem


@dataclass(frozen=True)
class OpEnergy:
    """Dynamic energy of one op, pJ, and the part that partial sums take."""

    total_pj: float
    psum_pj: float


def gemm_energy(problem: Problem, machine: Machine, refetch: bool) -> OpEnergy:
    """The model above for every batch entry of a problem. `refetch` False: operands come from DRAM once.

    Only for adder-tree arrays in weight or input stationary; ValueError otherwise.
    """
    array = machine.array
    if not isinstance(array, AdderTree) or array.dataflow == "output_stationary":
        raise ValueError("the model covers weight and input stationary adder trees")
    batch, m, k, n = _gemm(problem)
    ifmap, weight, ofmap = m * k, k * n, m * n
    beta = problem.psum.bits / 8
    psum = 2 * (-(-k // array.pci) - 1) * ofmap * beta
    group = problem.psum.group_size if problem.psum.is_apsq else 1
    if array.dataflow == "weight_stationary":
        moving, folds, resident = ifmap, -(-n // array.pco), machine.ifmap_buffer.capacity_bits / 8
        working_set, still = m * array.pco * beta * group, weight
    else:
        moving, folds, resident = weight, -(-m // array.po), machine.weight_buffer.capacity_bits / 8
        working_set, still = array.po * n * beta * group, ifmap
    dram_moving = moving * folds if refetch and moving > resident else moving
    spilled = psum if working_set > machine.psum_buffer.capacity_bits / 8 else 0.0
    sram_pj, dram_pj, mac_pj = _prices(machine)
    psum_pj = sram_pj * psum + dram_pj * spilled
    operands = sram_pj * (moving * folds + still + ofmap) + dram_pj * (dram_moving + still + ofmap)
    return OpEnergy(batch * (psum_pj + operands + mac_pj * m * k * n), batch * psum_pj)


def _gemm(problem: Problem) -> tuple[int, int, int, int]:
    """Batch entries, M, K, N; grouped-query heads share their rows."""
    batch, m, k = 1, problem.extent(problem.row), 1
    for dim in problem.batch:
        batch *= problem.extent(dim)
    for dim in problem.shared:
        m *= problem.extent(dim)
    for dim in problem.reduction:
        k *= problem.extent(dim)
    return batch, m, k, problem.extent(problem.column)


def _prices(machine: Machine) -> tuple[float, float, float]:
    """pJ per byte of SRAM (mean of read and write of the psum buffer) and of DRAM, pJ per MAC."""
    buffer = machine.psum_buffer
    access = (buffer.actions["read"].energy_pj.value + buffer.actions["write"].energy_pj.value) / 2
    dram = machine.dram.pj_per_bit.value * 8
    return access / buffer.word_bits * 8, dram, machine.array.actions["mac"].energy_pj.value
