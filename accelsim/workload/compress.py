"""A trace as its model would leave it compressed: weights in codebooks, inputs rotated at run time.

For what the model itself was never built: `algos` compresses torch modules, and the exporter writes
what it left on them. Both give the same ops.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

from accelsim.errors import user_error
from accelsim.schemes import CodebookScheme, RotationScheme
from accelsim.workload.trace import MatmulDims, Op, Phase, Tensor, Trace, VectorDims

DOWN_PROJECTIONS = ("down_proj", "fc2", "fc_out", "dense_4h_to_h", "mlp.c_proj")
"""How transformers of HuggingFace name the second matmul of a feed-forward block."""


def in_a_layer(name: str) -> bool:
    """Whether a tensor or op is part of a numbered layer: not the embedding, not the head."""
    return re.search(r"\.\d+\.", name) is not None


def with_codebooks(trace: Trace, scheme: CodebookScheme) -> Trace:
    """The same trace with the weights of all transformer layers in codebooks.

    UserError for a weight that whole blocks do not cover, and where there is none to change.
    """

    def change(tensor: Tensor) -> Tensor:
        if tensor.kind != "weight" or not in_a_layer(tensor.id):
            return tensor
        if len(tensor.shape) != 2 or not scheme.fits(*tensor.shape):
            found = f"{' x '.join(map(str, tensor.shape))}, which blocks of {scheme.block_rows} x {scheme.block_cols}"
            fix = "leave its codebooks out, or take a model whose weights are multiples of a block"
            raise user_error(trace.name, tensor.id, f"{found} do not cover", fix)
        return replace(tensor, bits=scheme.value_bits, codebook=scheme)

    changed = tuple(change(tensor) for tensor in trace.tensors)
    if changed == trace.tensors:
        raise user_error(trace.name, "codebooks", "no weight is in a numbered layer", "leave its codebooks out")
    return replace(trace, tensors=changed)


def with_rotations(trace: Trace, before: tuple[str, ...] = DOWN_PROJECTIONS, local: bool = True) -> Trace:
    """The same trace with its inputs to the matmuls of these names rotated at run time.

    `local`: the two-stage rotation of the ReRAM-on-logic chip; else one Hadamard product over the
    whole width. UserError for a width that neither covers, and where no matmul has such a name.
    """
    tensors = list(trace.tensors)
    phases = tuple(_rotated(phase, trace, before, local, tensors) for phase in trace.phases)
    if phases == trace.phases:
        raise user_error(trace.name, "rotation", f"no matmul is called {' or '.join(before)}", "leave rotation out")
    return replace(trace, tensors=tuple(tensors), phases=phases)


@lru_cache(maxsize=64)
def _scheme(width: int, local: bool) -> RotationScheme:
    try:
        return RotationScheme.two_stage(width) if local else RotationScheme.full(width)
    except ValueError as error:
        raise user_error("rotation", f"width {width}", str(error), "leave rotation out") from None


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
