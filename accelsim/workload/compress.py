"""A trace as its model would leave it compressed: weights in codebooks, inputs rotated at run time.

For what the model itself was never built: `algos` compresses torch modules, and the exporter writes
what it left on them. Both give the same ops.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from accelsim.schemes import CodebookScheme, RotationScheme
from accelsim.workload.trace import MatmulDims, Op, Phase, Tensor, Trace, VectorDims

IN_LAYERS = ".layers."
"""Stands in the names of what belongs to a transformer layer: not the embedding, not the head."""


def with_codebooks(trace: Trace, scheme: CodebookScheme) -> Trace:
    """The same trace with the weights of all transformer layers in codebooks.

    ValueError for a weight that whole blocks do not cover.
    """

    def change(tensor: Tensor) -> Tensor:
        if tensor.kind != "weight" or IN_LAYERS not in tensor.id:
            return tensor
        if len(tensor.shape) != 2 or not scheme.fits(*tensor.shape):
            blocks = f"{scheme.block_rows} x {scheme.block_cols}"
            raise ValueError(f"blocks of {blocks} do not cover {tensor.id}, {list(tensor.shape)}")
        return replace(tensor, bits=scheme.value_bits, codebook=scheme)

    return replace(trace, tensors=tuple(change(tensor) for tensor in trace.tensors))


def with_rotations(trace: Trace, before: tuple[str, ...] = ("down_proj",), local: bool = True) -> Trace:
    """The same trace with its inputs to the matmuls of these names rotated at run time.

    `local`: the two-stage rotation of the ReRAM-on-logic chip; else one Hadamard product over the
    whole width. ValueError for a width that neither covers.
    """
    tensors = list(trace.tensors)
    phases = tuple(_rotated(phase, trace, before, local, tensors) for phase in trace.phases)
    return replace(trace, tensors=tuple(tensors), phases=phases)


@lru_cache(maxsize=64)
def _scheme(width: int, local: bool) -> RotationScheme:
    return RotationScheme.two_stage(width) if local else RotationScheme.full(width)


def _rotated(phase: Phase, trace: Trace, before: tuple[str, ...], local: bool, tensors: list[Tensor]) -> Phase:
    known = trace.tensor_by_id()
    number = max(op.id for each in trace.phases for op in each.ops)
    ops: list[Op] = []
    for op in phase.ops:
        if isinstance(op.dims, MatmulDims) and op.name.endswith(before):
            number += 1
            ifmap = known[op.inputs[0]]
            made = replace(ifmap, id=f"{op.name}.rotate:out", view_of=None)
            width = op.dims.k
            scheme = _scheme(width, local)
            dims = VectorDims(ifmap.elements // width, width)
            ops.append(Op(
                number, f"{op.name}.rotate", "rotate", dims, (ifmap.id,), (made.id,), "hadamard", op.after,
                rotation=scheme,
            ))  # fmt: skip
            tensors.append(made)
            op = replace(op, inputs=(made.id, *op.inputs[1:]), after=(number,))
        ops.append(op)
    return replace(phase, ops=tuple(ops))
