"""The tiny machine of `tests/timing/test_hand_timing.py` with a stacked memory, units and further chips."""

from __future__ import annotations

from dataclasses import replace

from accelsim import load_trace
from accelsim.schemes import CodebookScheme
from accelsim.spec.models import ArchSpec
from accelsim.spec.stacked import (
    CodebookDecoder,
    Link,
    PlacementRule,
    ReramStack,
    RotationUnit,
    StackTechnology,
    System,
)
from accelsim.workload import Trace

STACK = ReramStack(
    dies=1, die_capacity_kib=1.0, read_bits_per_cycle=64, clock_mhz=1000.0, crossing_cycles=0, bumps=64,
    bump_pitch_um=1.0,
)  # fmt: skip
IN_STACK = (PlacementRule(weights="*", store="reram"),)
FAST = {"read_latency_ns": 0.0, "bank_cycle_ns": 0.0}


def stacked(arch: ArchSpec, technology: StackTechnology = "reram", **changes: float) -> ArchSpec:
    """All weights in a stack of one die with a 64-bit port a nanosecond."""
    stack = STACK.model_copy(update={"technology": technology, **changes})
    return arch.model_copy(update={"reram_stack": stack, "placement": IN_STACK})


def linked(arch: ArchSpec, chips: int) -> ArchSpec:
    """Chips that receive 8 bytes a nanosecond, 3 ns after they were sent, at 2 pJ a bit."""
    link = Link(bandwidth_gb_per_s=8.0, latency_ns=3.0, energy_pj_per_bit=2.0)
    return arch.model_copy(update={"system": System(chips=chips, link=link)})


def decoding(arch: ArchSpec, **changes: str | float | int) -> ArchSpec:
    """Eight values out of codebooks a cycle."""
    decoder = CodebookDecoder(values_per_cycle=8).model_copy(update=changes)
    return arch.model_copy(update={"codebook_decoder": decoder})


def rotating(arch: ArchSpec, unit: RotationUnit) -> ArchSpec:
    """With a rotation unit."""
    return arch.model_copy(update={"rotation_unit": unit})


def chained(trace: Trace) -> Trace:
    """The op of a trace of one matmul M x K x K, and once more behind itself."""
    (phase,) = trace.phases
    (first,) = phase.ops
    ofmap = trace.tensor_by_id()[first.outputs[0]]
    last = replace(ofmap, id="last")
    second = replace(
        first, id=first.id + 1, name="second", inputs=(ofmap.id, first.inputs[1]), outputs=("last",), after=(first.id,)
    )
    return replace(trace, tensors=(*trace.tensors, last), phases=(replace(phase, ops=(first, second)),))


def widths(trace: Trace, ifmap: int = 8, weight: int = 8) -> Trace:
    """The same trace with other operand widths of its first op."""
    (phase,) = trace.phases
    bits = dict(zip(phase.ops[0].inputs, (ifmap, weight), strict=True))
    tensors = tuple(replace(each, bits=bits.get(each.id, each.bits)) for each in trace.tensors)
    return replace(trace, tensors=tensors)


def in_codebooks(name: str, scheme: CodebookScheme) -> Trace:
    """A matmul M x K x N whose weight (N, K) is out of codebooks."""
    trace = widths(load_trace(name), weight=scheme.value_bits)
    (op,) = trace.phases[0].ops
    weight = op.inputs[1]
    tensors = tuple(
        replace(each, codebook=scheme, shape=(op.dims.n, op.dims.k)) if each.id == weight else each  # type: ignore[union-attr]
        for each in trace.tensors
    )
    return replace(trace, tensors=tensors)
