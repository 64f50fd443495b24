"""Where each weight of a workload lives, and whether the stacked memory has room for those placed in it."""

from __future__ import annotations

from accelsim.hardware.machine import Machine
from accelsim.hardware.sram import packed_bits
from accelsim.mapping.lower import codebook_bits
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.weight_store import placed
from accelsim.report.report import StackUse, WeightRow
from accelsim.workload.trace import Op, Tensor, Trace, VectorDims

FS_PER_S = 10**15


def weights_of(trace: Trace, machine: Machine) -> tuple[WeightRow, ...]:
    """The stored weights of matmuls and convs, each with the bias that comes with it, in order of first use.

    A weight that two ops read from different stores is in both.
    """
    tensors = trace.tensor_by_id()
    rows: dict[tuple[str, str], WeightRow] = {}
    for phase in trace.phases:
        for op in phase.ops:
            if isinstance(op.dims, VectorDims) or tensors[op.inputs[1]].kind != "weight":
                continue
            weight = tensors[op.inputs[1]]
            whole = weight if weight.view_of is None else tensors[weight.view_of]
            store = placed(op, weight, machine)
            row = WeightRow(whole.id, store, stored_bits(whole) + _bias_bits(op, tensors))
            rows.setdefault((whole.id, store), row)
    return tuple(rows.values())


def stored_bits(weight: Tensor) -> int:
    """Bits of a weight as it is stored: values, or indices and entries of its codebooks."""
    if weight.codebook is None:
        return weight.elements * weight.bits
    return packed_bits(weight.elements, codebook_bits(weight.codebook, weight.shape))


def _bias_bits(op: Op, tensors: dict[str, Tensor]) -> int:
    return sum(tensors[name].elements * tensors[name].bits for name in op.inputs[2:])


def stacked_bits(trace: Trace, machine: Machine) -> int:
    """Bits of the weights in one chip's stacked memory, `trace` being that chip's part."""
    if machine.reram_stack is None:
        return 0
    return sum(row.bits for row in weights_of(trace, machine) if row.store == "reram")


def overfull(trace: Trace, machine: Machine) -> Infeasible | None:
    """What the weights in one chip's stacked memory lack, `trace` being that chip's part; None if they fit."""
    return overfull_by(stacked_bits(trace, machine), machine)


def overfull_by(demand_bits: int, machine: Machine) -> Infeasible | None:
    """What so many bits lack in one chip's stacked memory; None if they fit."""
    stack = machine.reram_stack
    if stack is None or demand_bits <= stack.capacity_bits:
        return None
    lever = "place fewer weights there (placement), or raise reram_stack.dies or .die_capacity_kib"
    return Infeasible(stack.name, demand_bits, stack.capacity_bits, "bits for all weights placed in it", lever)


def stack_use(weights: tuple[WeightRow, ...], machine: Machine) -> StackUse | None:
    """What the weights take of the stacked memory of all chips, and what writing them once takes."""
    stack, chips = machine.reram_stack, machine.system.chips
    if stack is None:
        return None
    bits = sum(row.bits for row in weights if row.store == "reram")
    write_s = stack.write_fs(-(-bits // chips)) / FS_PER_S
    return StackUse(bits, chips * stack.capacity_bits, stack.write_pj(bits), write_s, stack.endurance_writes)
