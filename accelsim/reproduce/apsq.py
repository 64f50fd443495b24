"""APSQ (DAC 2025): energy of INT32 against APSQ INT8 partial sums, by model, dataflow and group size.

Energies are dynamic, DRAM included, of the matmuls and convs. Two ways of counting: `exact`, the
simulator's own, and `gemm`, the closed model of `gemm_model`. A third, `free order`, counts exactly
and takes for each op the loop order of least energy. The comparison with what was published is
`claims`; nothing here is chosen by it.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from accelsim.charge import flow_pj
from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping.dataflow import loop_order, map_in_order
from accelsim.mapping.lower import MacWork, lower
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.problem import Problem
from accelsim.mapping.traffic import mac_flows
from accelsim.reproduce.gemm_model import OpEnergy, gemm_energy
from accelsim.schemes import PsumScheme
from accelsim.spec import load_arch
from accelsim.workload import Trace, load_trace

ARCH = "apsq_variant_h"
LLM_ARRAY = {"arch.array.po": 1, "arch.array.pci": 32, "arch.array.pco": 32}
MODELS = {  # 128 tokens; 512 x 512 pixels; 4096 tokens
    "BERT-base": "bert_base",
    "Segformer-B0": "segformer_b0",
    "EfficientViT-B1": "efficientvit_b1",
    "LLaMA2-7B prefill": "llama2_7b_prefill_4096",
    "LLaMA2-7B decode": "llama2_7b_decode_4096",
}
ENDLESS_BITS = 2**50
DATAFLOWS = {"IS": "input_stationary", "WS": "weight_stationary"}
SCHEMES = {"INT32": PsumScheme(32), **{f"INT8 gs{size}": PsumScheme(8, size) for size in (1, 2, 3, 4)}}


@dataclass(frozen=True)
class EnergyRow:
    """One model under one dataflow, counting and psum scheme. Energy in microjoules."""

    model: str
    dataflow: str
    counting: str
    psum: str
    energy_uj: float
    psum_share: float
    saving: float
    """1 - energy / energy with INT32 psums."""


@dataclass(frozen=True)
class Setting:
    """One choice of the numbers the paper left out; None keeps the arch's own."""

    name: str
    overrides: tuple[tuple[str, float], ...] = ()
    refetch: bool = True
    depthwise: bool = True
    """Whether layers of one channel per group count; whether the paper's do is not known."""


DEFAULT = Setting("default")


def energy_rows(
    setting: Setting = DEFAULT,
    countings: Sequence[str] = ("exact", "gemm"),
    schemes: Mapping[str, PsumScheme] = SCHEMES,
    dataflows: Mapping[str, str] = DATAFLOWS,
) -> list[EnergyRow]:
    """Every model, dataflow, counting and scheme under one setting."""
    rows = []
    for (model, workload), (label, dataflow) in itertools.product(MODELS.items(), dataflows.items()):
        machine = _machine(setting, workload, dataflow)
        problems = _problems(load_trace(workload), machine, setting.depthwise)
        for counting in countings:
            energies = {name: _total(problems, scheme, machine, counting, setting) for name, scheme in schemes.items()}
            reference = energies["INT32"].total_pj
            for name, energy in energies.items():
                share, saving = energy.psum_pj / energy.total_pj, 1 - energy.total_pj / reference
                rows.append(EnergyRow(model, label, counting, name, energy.total_pj / 1e6, share, saving))
    return rows


def free_order_rows() -> list[EnergyRow]:
    """The default setting with each op's loop order free: the dataflow is no longer fixed."""
    return energy_rows(countings=("free order",), dataflows={"any": DATAFLOWS["WS"]})


def _machine(setting: Setting, workload: str, dataflow: str) -> Machine:
    overrides: dict[str, object] = {"arch.array.dataflow": dataflow, **dict(setting.overrides)}
    if workload.startswith("llama"):
        overrides |= LLM_ARRAY
    machine = build_machine(load_arch(ARCH, overrides))
    if setting.refetch:
        return machine
    # Buffers that hold any operand, at the energy per access of the spec's own.
    for sram in (machine.ifmap_buffer, machine.weight_buffer):
        machine = machine.with_memory(replace(sram, capacity_bits=ENDLESS_BITS))
    return machine


def _problems(trace: Trace, machine: Machine, depthwise: bool) -> Counter[Problem]:
    """The trace's matmuls and convs, equal ones counted."""
    tensors = trace.tensor_by_id()
    works = (lower(op, tensors, machine) for phase in trace.phases for op in phase.ops)
    problems = (replace(work.problem, bias_values=0) for work in works if isinstance(work, MacWork))
    return Counter(problem for problem in problems if depthwise or not _is_depthwise(problem))


def _is_depthwise(problem: Problem) -> bool:
    return problem.conv is not None and problem.conv.groups > 1 and problem.conv.c == 1


def _total(
    problems: Counter[Problem], scheme: PsumScheme, machine: Machine, counting: str, setting: Setting
) -> OpEnergy:
    parts = []
    for problem, count in problems.items():
        energy = _energy(replace(problem, psum=scheme), machine, counting, setting)
        parts.append(OpEnergy(count * energy.total_pj, count * energy.psum_pj))
    return OpEnergy(math.fsum(part.total_pj for part in parts), math.fsum(part.psum_pj for part in parts))


def _energy(problem: Problem, machine: Machine, counting: str, setting: Setting) -> OpEnergy:
    if counting == "gemm":
        return gemm_energy(problem, machine, setting.refetch)
    if counting == "exact":
        return exact_energy(problem, loop_order(problem, machine.array.dataflow), machine)
    return min(
        (exact_energy(problem, order, machine) for order in _orders(problem)), key=lambda energy: energy.total_pj
    )


def exact_energy(problem: Problem, order: tuple[str, ...], machine: Machine) -> OpEnergy:
    """Dynamic energy of a problem walked in a loop order; infinite when no nest of that order fits."""
    mapping = map_in_order(problem, order, machine, "through")
    if isinstance(mapping, Infeasible):
        return OpEnergy(math.inf, 0.0)
    blocks = {block.name: block for block in machine.blocks()}
    priced = [(flow.operand, flow_pj(flow, blocks[flow.block])) for flow in mac_flows(problem, mapping, machine)]
    psum = math.fsum(energy for operand, energy in priced if operand == "psum")
    return OpEnergy(math.fsum(energy for _, energy in priced), psum)


def _orders(problem: Problem) -> Iterator[tuple[str, ...]]:
    """Every order of the dims that have more than one index, batch outermost."""
    dims = [dim for dim in problem.dims if dim not in problem.batch and problem.extent(dim) > 1]
    for order in itertools.permutations(dims):
        yield (*problem.batch, *order)
