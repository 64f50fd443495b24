"""What each aten op means in a trace: by its table, or by a function of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from accelsim.schemes import PsumScheme
from accelsim.workload.trace import MatmulDims, OpKind, TensorKind, VectorDims
from workloads.compressed import NOTHING_QUANTISED, Quants
from workloads.graph import Graph, Node, Value
from workloads.names import (
    COPIES,
    ELEMENTWISE,
    FUNCTIONS,
    GATHERS,
    NEAREST_UPSAMPLES,
    NONLINEAR,
    REDUCE,
    SCANS,
    UPSAMPLES,
)


@dataclass
class Call:
    """One aten call that reads data: its graph, its place in the model, its arguments and its result."""

    graph: Graph
    name: str
    path: str
    args: Sequence[object]
    kwargs: dict[str, object]
    result: torch.Tensor
    psum: PsumScheme | None = None
    causal: bool = False
    quants: Quants = NOTHING_QUANTISED

    def tensor(self, position: int) -> torch.Tensor:
        """The argument at this position, which is a tensor."""
        value = self.args[position]
        assert isinstance(value, torch.Tensor)
        return value

    def optional(self, position: int) -> torch.Tensor | None:
        """The tensor at this position, or None when there is none."""
        value = self.args[position] if position < len(self.args) else None
        return value if isinstance(value, torch.Tensor) else None

    def tensors(self) -> list[torch.Tensor]:
        """Every tensor among the arguments, lists opened."""
        return tensors_in([*self.args, *self.kwargs.values()])

    def record(
        self, kind: OpKind, dims: VectorDims, reads: list[torch.Tensor], function: str, made: TensorKind = "activation"
    ) -> None:
        """Records an op without MACs; `function` as aten names it."""
        inputs = [self.graph.read(tensor) for tensor in reads]
        node = Node(kind, dims, self.path, list(dict.fromkeys(inputs)), [], FUNCTIONS.get(function, function))
        self.graph.add(node, reads, self.result, made)


def tensors_in(values: object) -> list[torch.Tensor]:
    """Every tensor in nested lists, tuples and dicts, in order."""
    if isinstance(values, torch.Tensor):
        return [values]
    if isinstance(values, dict):
        values = list(values.values())
    return [tensor for value in values for tensor in tensors_in(value)] if isinstance(values, list | tuple) else []


def by_last_axis(tensor: torch.Tensor) -> VectorDims:
    """rows x cols of a tensor, cols being its last axis."""
    cols = tensor.shape[-1] if tensor.dim() else 1
    return VectorDims(tensor.numel() // cols, cols)


def record_vector(call: Call) -> bool:
    """Records an op without MACs; False when the op is not known."""
    handler = HANDLERS.get(call.name)
    if handler is not None:
        handler(call)
    elif call.name in NONLINEAR:
        call.record("nonlinear", by_last_axis(call.result), call.tensors(), call.name)
    elif call.name in ELEMENTWISE:
        _elementwise(call)
    elif call.name in REDUCE:
        rows = call.result.numel()
        call.record("reduce", VectorDims(rows, max(1, _window(call) // rows)), [call.tensor(0)], call.name)
    elif call.name in COPIES:
        call.record("copy", by_last_axis(_written(call)), call.tensors(), call.name)
    elif call.name in SCANS:
        call.record("scan", _along(call.tensor(0), call.args[1]), [call.tensor(0)], call.name)
    else:
        return False
    return True


def _window(call: Call) -> int:
    """How many elements a reduction reads; a pool's overlapping windows each count."""
    if "pool" in call.name and "adaptive" not in call.name:
        kernel = call.args[1]
        assert isinstance(kernel, list | tuple)
        sizes = [int(size) for size in kernel]
        return int(call.result.numel()) * math.prod(sizes * 2 if len(sizes) == 1 and "2d" in call.name else sizes)
    return int(call.tensor(0).numel())


def _written(call: Call) -> torch.Tensor:
    """What a copy writes: its source when it lands in a part of a tensor, else its result."""
    return call.tensors()[-1] if call.name in ("slice_scatter", "select_scatter", "scatter") else call.result


def _along(tensor: torch.Tensor, axis: object) -> VectorDims:
    assert isinstance(axis, int)
    cols = tensor.shape[axis]
    return VectorDims(tensor.numel() // cols, cols)


def _elementwise(call: Call) -> None:
    graph, tensors = call.graph, call.tensors()
    moving = [tensor for tensor in tensors if graph.value(tensor).data]
    wide = [tensor for tensor in tensors if tensor.numel() > 1 or graph.value(tensor).data]
    makers = graph.value(moving[0]).producers if len(moving) == 1 and moving[0].shape == call.result.shape else ()
    made_by = makers[0] if len(makers) == 1 else None
    if made_by and made_by.kind in ("matmul", "conv") and len(wide) == 1 and call.name in ("mul", "div"):
        graph.policies["scalar factor of a matmul folded into its requantisation"] += 1
        graph.alias(moving[0], call.result)
    elif made_by and made_by.label == "attention" and call.name in ("add", "where", "masked_fill"):
        graph.policies["attention mask applied inside the softmax, not charged"] += 1
        graph.alias(moving[0], call.result)
    elif call.name == "add" and _is_bias(graph, tensors):
        maker = graph.value(tensors[0]).producers[0]
        maker.inputs.append(graph.read(tensors[1], bias=True))
        graph.alias(tensors[0], call.result)
    else:
        call.record("elementwise", by_last_axis(call.result), wide, call.name)


def _is_bias(graph: Graph, tensors: list[torch.Tensor]) -> bool:
    """Whether an add is the bias that torch splits from a linear layer with an unusual layout."""
    if len(tensors) != 2 or tensors[1].dim() != 1 or not graph.value(tensors[1]).parameter:
        return False
    makers = graph.value(tensors[0]).producers
    if len(makers) != 1 or makers[0].label != "matmul" or len(makers[0].inputs) != 2:
        return False
    dims = makers[0].dims
    return isinstance(dims, MatmulDims) and tensors[0].shape[-1] == dims.n == tensors[1].numel()


def _hardtanh(call: Call) -> None:
    bounds = tuple(call.args[1:3]) or (-1, 1)
    if bounds == (0, 6):
        call.record("nonlinear", by_last_axis(call.result), call.tensors(), "relu6")
    else:
        call.record("elementwise", by_last_axis(call.result), call.tensors(), "clamp")


def _pow(call: Call) -> None:
    squared = len(call.args) > 1 and call.args[1] == 2
    kind: OpKind = "elementwise" if squared else "nonlinear"
    call.record(kind, by_last_axis(call.result), call.tensors(), "square" if squared else "pow")


def _upsample(call: Call) -> None:
    """Rows x cols are the result's; repeating the nearest element moves data and computes nothing."""
    source = call.tensor(0)
    if source.shape == call.result.shape:
        call.graph.policies["upsampling to the same size, which changes nothing, not charged"] += 1
        call.graph.alias(source, call.result)
        return
    kind: OpKind = "copy" if call.name in NEAREST_UPSAMPLES else "elementwise"
    call.record(kind, by_last_axis(call.result), [source], call.name)


def _softmax(call: Call) -> None:
    function = "log_softmax" if "log" in call.name else "softmax"
    call.record("softmax", _along(call.tensor(0), call.args[1]), [call.tensor(0)], function)


def _layer_norm(call: Call) -> None:
    shape = call.args[1]
    assert isinstance(shape, list | tuple)
    cols = math.prod(int(extent) for extent in shape)
    function = "rmsnorm" if "rms" in call.name else "layernorm"
    call.record("normalize", VectorDims(call.tensor(0).numel() // cols, cols), call.tensors(), function)


def _group_norm(call: Call) -> None:
    groups = call.args[6]
    assert isinstance(groups, int)
    rows = call.tensor(0).shape[0] * groups
    call.record("normalize", VectorDims(rows, call.tensor(0).numel() // rows), call.tensors(), "groupnorm")


def _batch_norm(call: Call) -> None:
    """Folded into the conv or matmul before it, whose weights absorb it; that op then has a bias."""
    graph, source = call.graph, call.tensor(0)
    value = graph.value(source)
    maker = value.producers[0] if len(value.producers) == 1 else None
    if maker is None or maker.kind not in ("conv", "matmul"):
        call.record("normalize", by_last_axis(source), [source, *call.tensors()[1:3]], "batchnorm")
        return
    graph.policies["batch norm folded into the conv or matmul before it"] += 1
    if len(maker.inputs) == 2:
        maker.inputs.append(graph.add_tensor("constant", (source.shape[1],), f"{call.path}.folded_bias", 32))
    graph.alias(source, call.result)
    value.stale, value.name = "result read before its batch norm", call.path


def _gather(call: Call) -> None:
    """Reads rows of a table, not the table."""
    table = call.tensor(0)
    dims = by_last_axis(call.result)
    node = Node("gather", dims, call.path, [call.graph.rows(table, dims.rows, dims.cols)], [], call.name)
    call.graph.add(node, call.tensors(), call.result)


def _cat(call: Call) -> None:
    """A cat onto a cache appends: only what is new is charged. Onto nothing, it starts a cache.

    Parts without columns add none: the rest of a head of which all is rotated.
    """
    graph = call.graph
    tensors = [tensor for tensor in call.tensors() if tensor.dim() == 1 or tensor.shape[-1]]
    if len(tensors) == 1 < len(call.tensors()):
        graph.alias(tensors[0], call.result)
        return
    held = [tensor for tensor in tensors if tensor.numel() == 0 or _is_kv(graph, graph.value(tensor))]
    new = [tensor for tensor in tensors if all(tensor is not other for other in held)]
    if not held or len(new) != 1:
        call.record("copy", by_last_axis(call.result), tensors, call.name)
        return
    graph.policies["cat onto a KV cache charged for the new tokens only"] += 1
    node = Node("kv_append", by_last_axis(new[0]), call.path, [graph.read(new[0])], [], "kv_append")
    graph.add(node, tensors, call.result, "kv")
    _keep_alike(graph, node, held)


def _copy_into(call: Call) -> None:
    """Writes a part of a tensor, or new tokens into a cache of fixed size."""
    new = call.tensors()[-1]
    kept = _is_kv(call.graph, call.graph.value(call.tensor(0)))
    kind: OpKind = "kv_append" if kept else "copy"
    node = Node(kind, by_last_axis(new), call.path, [call.graph.read(new)], [], kind if kept else call.name)
    call.graph.add(node, call.tensors(), call.result, "kv" if kept else "activation")
    if kept:
        _keep_alike(call.graph, node, [call.tensor(0)])


def _keep_alike(graph: Graph, node: Node, caches: list[torch.Tensor]) -> None:
    """A cache holds all its tokens as it holds the new ones."""
    scheme = graph.kept_as.get(node.inputs[0])
    if scheme is not None:
        for key in (*node.outputs, *(graph.read(cache) for cache in caches if cache.numel())):
            graph.keep_as(key, scheme)


def _is_kv(graph: Graph, value: Value) -> bool:
    return value.key is not None and graph.tensors[value.key].kind == "kv"


HANDLERS: dict[str, Callable[[Call], None]] = {
    **dict.fromkeys(GATHERS, _gather),
    **dict.fromkeys(UPSAMPLES | NEAREST_UPSAMPLES, _upsample),
    "hardtanh": _hardtanh,
    "pow": _pow,
    "_softmax": _softmax,
    "_safe_softmax": _softmax,
    "_log_softmax": _softmax,
    "native_layer_norm": _layer_norm,
    "_fused_rms_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "native_batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "_native_batch_norm_legit": _batch_norm,
    "cudnn_batch_norm": _batch_norm,
    "_batch_norm_no_update": _batch_norm,
    "cat": _cat,
    "index_copy": _copy_into,
    "copy": _copy_into,
}
