"""What widths a trace is charged for, in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from accelsim.schemes import PsumScheme
from accelsim.workload import ConvDims, MatmulDims, Trace


def charged_as(trace: Trace, accumulator_bits: int) -> str:
    """Widths of weights, activations and stored psums, such as `W8 A8, psums INT8 gs 2`.

    Of matmuls and convs; several psum schemes stand by their MACs, the most first. Psums without a
    scheme have the array's `accumulator_bits`; products of one term have no psums.
    """
    tensors = trace.tensor_by_id()
    weights: set[int] = set()
    activations: set[int] = set()
    macs: dict[str, int] = defaultdict(int)
    for phase in trace.phases:
        for op in phase.ops:
            if not isinstance(op.dims, MatmulDims | ConvDims):
                continue
            for tensor in (tensors[name] for name in op.inputs[:2]):
                (weights if tensor.kind == "weight" else activations).add(tensor.bits)
            if _terms(op.dims) > 1:
                macs[_psum(op.psum or PsumScheme(accumulator_bits))] += op.dims.macs
    psums = sorted(macs, key=lambda text: (-macs[text], text))
    return f"W{_listed(weights)} A{_listed(activations)}, psums {' + '.join(psums) or 'none'}"


def _terms(dims: MatmulDims | ConvDims) -> int:
    """How many products one output sums."""
    return dims.k if isinstance(dims, MatmulDims) else dims.c * dims.r * dims.s


def _psum(scheme: PsumScheme) -> str:
    return f"INT{scheme.bits} gs {scheme.group_size}" if scheme.is_apsq else f"INT{scheme.bits}"


def _listed(bits: Iterable[int]) -> str:
    return "/".join(str(number) for number in sorted(bits)) or "-"
