"""A prefill as generation runs it: logits of the last token alone, or of none in all parts of a prompt but the last."""

from __future__ import annotations

from dataclasses import replace

from accelsim.workload.compress import in_a_layer
from accelsim.workload.trace import MatmulDims, Op, Phase, Trace, VectorDims


def last_token_only(trace: Trace) -> Trace:
    """The same prefill whose head (the last matmul) and what follows it handle one token of each sequence.

    That is all that the next token needs, and what HuggingFace's `generate` computes (`logits_to_keep=1`). The
    layers and the norm behind them handle all tokens. A trace whose last matmul is in a layer stays as it is.
    """
    (phase,) = trace.phases
    head = _head(phase)
    if head is None:
        return trace
    before, behind = phase.ops[:head], phase.ops[head:]
    read = trace.tensor_by_id()[behind[0].inputs[0]]
    last = replace(read, id=f"{read.id}:last", shape=(phase.batch, read.shape[-1]), view_of=read.view_of or read.id)
    ops = [_one_token(op, phase) for op in behind]
    ops[0] = replace(ops[0], inputs=(last.id, *ops[0].inputs[1:]))
    made = {name for op in ops for name in op.outputs}
    tensors = [replace(t, shape=(phase.batch, t.shape[-1])) if t.id in made else t for t in trace.tensors]
    return replace(trace, tensors=(*tensors, last), phases=(replace(phase, ops=(*before, *ops)),))


def without_head(trace: Trace) -> Trace:
    """The same prefill up to its head, as for a part of a prompt that more follows."""
    (phase,) = trace.phases
    return replace(trace, phases=(replace(phase, ops=phase.ops[: _head(phase)]),))


def _head(phase: Phase) -> int | None:
    """The place of the last matmul, None where that is in a layer."""
    matmuls = [place for place, op in enumerate(phase.ops) if isinstance(op.dims, MatmulDims)]
    return None if not matmuls or in_a_layer(phase.ops[matmuls[-1]].name) else matmuls[-1]


def _one_token(op: Op, phase: Phase) -> Op:
    if isinstance(op.dims, MatmulDims):
        return replace(op, dims=replace(op.dims, m=op.dims.m // phase.tokens))
    if isinstance(op.dims, VectorDims):
        return replace(op, dims=replace(op.dims, rows=op.dims.rows // phase.tokens))
    raise ValueError(f"{op.name}: a conv behind a language model's head")
