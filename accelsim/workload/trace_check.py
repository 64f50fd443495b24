"""What the parts of a trace must say about each other."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import islice, takewhile
from typing import NamedTuple

from accelsim.errors import did_you_mean
from accelsim.workload.trace import ConvDims, MatmulDims, Op, Phase, Tensor, Trace, VectorDims
from accelsim.workload.trace_schema import MAX_COUNT

MAX_ELEMENTS = MAX_COUNT // 64
MAX_FINDINGS = 100
"""A trace with more contradictions is told of these."""
MAX_LENGTHS, MAX_ALIKE = 500, 25
"""Ids that a misspelt one is compared with, since comparing well takes its time."""


class Finding(NamedTuple):
    """One contradiction: the JSON path, what stands there, how to mend it."""

    path: str
    found: str
    fix: str


def check_trace(trace: Trace) -> list[Finding]:
    """The contradictions in the trace, at most 100; an empty list means it can be simulated."""
    return list(islice(_check(trace, trace.tensor_by_id()), MAX_FINDINGS))


def _check(trace: Trace, tensors: dict[str, Tensor]) -> Iterator[Finding]:
    yield from _check_tensors(trace, tensors)
    yield from _repeats([phase.name for phase in trace.phases], "phases[{}].name", "phase name")
    earlier: set[int] = set()
    for number, phase in enumerate(trace.phases):
        yield from _check_phase(phase, f"phases[{number}]", tensors, earlier)


def _check_tensors(trace: Trace, tensors: dict[str, Tensor]) -> Iterator[Finding]:
    yield from _repeats([tensor.id for tensor in trace.tensors], "tensors[{}].id", "tensor id")
    for number, tensor in enumerate(trace.tensors):
        path = f"tensors[{number}]"
        if tensor.codebook is not None and not _is_in_blocks(tensor):
            found = f"blocks of {tensor.codebook.block_rows} x {tensor.codebook.block_cols}, shape {list(tensor.shape)}"
            yield Finding(f"{path}.codebook", found, "use blocks that cover a weight of two axes")
        if tensor.elements * tensor.bits > MAX_COUNT:
            yield Finding(f"{path}.shape", f"{tensor.elements} elements", f"keep its size below {MAX_COUNT} bits")
        if tensor.quant is not None and tensor.quant.bits != tensor.bits:
            yield Finding(f"{path}.quant.bits", f"{tensor.quant.bits}", f"the tensor's bits are {tensor.bits}")
        if tensor.view_of is None:
            continue
        if tensor.view_of not in tensors:
            yield _missing(f"{path}.view_of", tensor.view_of, tensors)
        elif tensor.view_of == tensor.id or tensors[tensor.view_of].view_of is not None:
            yield Finding(f"{path}.view_of", repr(tensor.view_of), "name a tensor that is not itself a view")


def _is_in_blocks(tensor: Tensor) -> bool:
    assert tensor.codebook is not None
    return tensor.kind == "weight" and len(tensor.shape) == 2 and tensor.codebook.fits(*tensor.shape)


def _check_phase(phase: Phase, path: str, tensors: dict[str, Tensor], earlier: set[int]) -> Iterator[Finding]:
    """Checks the ops of one phase; adds their ids to `earlier`, which holds those of earlier ops."""
    yield from _repeats([op.name for op in phase.ops], path + ".ops[{}].name", "op name")
    for number, op in enumerate(phase.ops):
        here = f"{path}.ops[{number}]"
        if op.id in earlier:
            yield Finding(f"{here}.id", f"op id {op.id} is used twice", "give every op of the trace its own id")
        for position, producer in enumerate(op.after):
            if producer not in earlier or producer == op.id:
                yield Finding(f"{here}.after[{position}]", f"op id {producer}", "name only ops that come earlier")
        earlier.add(op.id)
        yield from _check_operands(op, here, tensors)


def _check_operands(op: Op, path: str, tensors: dict[str, Tensor]) -> Iterator[Finding]:
    known = True
    for field, names in (("inputs", op.inputs), ("outputs", op.outputs)):
        for position, name in enumerate(names):
            if name not in tensors:
                known = False
                yield _missing(f"{path}.{field}[{position}]", name, tensors)
    if isinstance(op.dims, VectorDims):
        yield from _check_rotation(op, op.dims, path)
        if op.dims.elements > MAX_ELEMENTS:
            yield Finding(f"{path}.dims", f"{op.dims.elements} elements", f"keep one op below {MAX_ELEMENTS} elements")
        return
    if isinstance(op.dims, ConvDims) and (op.dims.p < 1 or op.dims.q < 1):
        found = f"the output is {op.dims.p} x {op.dims.q}"
        yield Finding(f"{path}.dims", found, "enlarge the input or its padding, or shrink kernel, dilation or stride")
        return
    if op.dims.macs > MAX_COUNT:
        yield Finding(f"{path}.dims", f"{op.dims.macs} MACs", f"keep one op below {MAX_COUNT} MACs")
    if len(op.inputs) not in (2, 3):
        yield Finding(f"{path}.inputs", f"{len(op.inputs)} tensors", "list ifmap, weight and, if there is one, bias")
    elif len(op.outputs) != 1:
        yield Finding(f"{path}.outputs", f"{len(op.outputs)} tensors", "list one ofmap")
    elif known:
        yield from _check_shapes(op, op.dims, path, tensors)


def _check_rotation(op: Op, dims: VectorDims, path: str) -> Iterator[Finding]:
    if (op.kind, op.function) == ("rotate", "hadamard") and op.rotation is None:
        yield Finding(f"{path}.rotation", "missing", "say which rotation a rotate op of function hadamard does")
    elif op.rotation is not None and (op.kind, op.function) != ("rotate", "hadamard"):
        yield Finding(
            f"{path}.rotation", f"on {op.kind} {op.function}", "only rotate ops of function hadamard have one"
        )
    elif op.rotation is not None and op.rotation.width != dims.cols:
        yield Finding(f"{path}.rotation.width", f"{op.rotation.width}", f"the op's rows have {dims.cols} elements")


def _check_shapes(op: Op, dims: MatmulDims | ConvDims, path: str, tensors: dict[str, Tensor]) -> Iterator[Finding]:
    ifmap, weight, ofmap = _operand_elements(dims)
    expected = [("inputs[0]", op.inputs[0], ifmap), ("inputs[1]", op.inputs[1], weight)]
    expected.append(("outputs[0]", op.outputs[0], ofmap))
    for field, name, (formula, elements) in expected:
        if tensors[name].elements != elements:
            found = f"tensor {name!r} has shape {list(tensors[name].shape)}, {tensors[name].elements} elements"
            yield Finding(f"{path}.{field}", found, f"the op's dims need {formula} = {elements} elements")
    if len(op.inputs) == 3 and ofmap[1] % tensors[op.inputs[2]].elements:
        found = f"bias {op.inputs[2]!r} has {tensors[op.inputs[2]].elements} elements"
        yield Finding(f"{path}.inputs[2]", found, f"use a number that divides the ofmap's {ofmap[1]} elements")


def _operand_elements(dims: MatmulDims | ConvDims) -> tuple[tuple[str, int], tuple[str, int], tuple[str, int]]:
    """Formula and number of elements of ifmap, weight and ofmap."""
    if isinstance(dims, MatmulDims):
        rows = dims.b * dims.g * dims.m
        weight = ("b*k*n", dims.b * dims.k * dims.n)
        return ("b*g*m*k", rows * dims.k), weight, ("b*g*m*n", rows * dims.n)
    images = dims.n * dims.groups
    weight = ("groups*k*c*r*s", dims.groups * dims.k * dims.c * dims.r * dims.s)
    ofmap = ("n*groups*k*p*q", images * dims.k * dims.p * dims.q)
    return ("n*groups*c*h*w", images * dims.c * dims.h * dims.w), weight, ofmap


def _repeats(names: list[str], path: str, what: str) -> Iterator[Finding]:
    seen: set[str] = set()
    for number, name in enumerate(names):
        if name in seen:
            yield Finding(path.format(number), f"{what} {name!r} is used twice", f"give every {what} once")
        seen.add(name)


def _missing(path: str, name: str, tensors: Iterable[str]) -> Finding:
    near = did_you_mean(name, _alike(name, tensors)).partition("allowed:")[0].strip()
    return Finding(path, f"no tensor has the id {name!r}", near or "add it to `tensors`")


def _alike(name: str, tensors: Iterable[str]) -> list[str]:
    """The ids nearest in length, and of those the ones that begin and end most like `name`."""

    def shared(other: str) -> int:
        pairs = (zip(name, other, strict=False), zip(name[::-1], other[::-1], strict=False))
        return sum(len(list(takewhile(lambda pair: pair[0] == pair[1], each))) for each in pairs)

    near = heapq.nsmallest(MAX_LENGTHS, tensors, key=lambda other: abs(len(other) - len(name)))
    return heapq.nlargest(MAX_ALIKE, near, key=shared)
