"""Matrix products and convolutions: from torch's operands to the trace's dims."""

from __future__ import annotations

import torch

from accelsim.workload.trace import ConvDims, MatmulDims
from workloads.aten import Call
from workloads.graph import Graph, Node

PRODUCTS = frozenset(("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "convolution", "_grouped_mm"))


def record_product(call: Call) -> bool:
    """Records a matmul or conv; False when it is one that a trace cannot describe."""
    if call.name == "convolution":
        return _convolution(call)
    if call.name == "_grouped_mm":
        return _experts(call)
    bias = call.tensor(0) if "add" in call.name else None
    left, right = (call.tensor(position) for position in ((1, 2) if bias is not None else (0, 1)))
    if call.name in ("mv", "addmv"):
        left, right = right.unsqueeze(0), left.t()
    _matmul(call, left, right, bias)
    return True


def _matmul(call: Call, left: torch.Tensor, right: torch.Tensor, bias: torch.Tensor | None) -> None:
    graph = call.graph
    turned = _transposed(graph, left, right) and not _is_weight(graph, left)
    if _transposed(graph, left, right):  # (left x right)^T = right^T x left^T
        left, right = right.mT, left.mT
    batch = left.shape[0] if left.dim() == 3 else 1
    m, k, n = left.shape[-2], left.shape[-1], right.shape[-1]
    attention = not _is_weight(graph, left) and not _is_weight(graph, right)
    shared = graph.distinct(right)
    b, g = batch, 1
    if shared < batch * k * n and shared % (k * n) == 0 and batch % (shared // (k * n)) == 0:
        b = shared // (k * n)  # the rest of the batch is queries that share one KV head
        g = batch // b
    if b == 1 and not attention:
        g, m = 1, g * m
    dims = MatmulDims(b, g, m, k, n)
    quants = call.quants.turned if turned else call.quants
    inputs = [
        graph.quantised(_operand(graph, left, b * g * m * k), quants.activation),
        graph.quantised(_operand(graph, right, b * k * n, weight=True), quants.weight),
    ]
    reads = [left, right]
    if bias is not None:
        inputs.append(graph.read(bias, bias=True))
        reads.append(bias)
    node = Node("matmul", dims, call.path, inputs, [], psum=call.psum, causal=call.causal and attention)
    node.label = "attention" if attention else "matmul"
    graph.add(node, reads, call.result)


def _experts(call: Call) -> bool:
    """A mixture of experts' product: rows sorted by expert, each expert with a weight of its own."""
    rows, weights = call.tensor(0), call.tensor(1)
    if rows.dim() != 2 or weights.dim() != 3:
        return False
    experts = min(weights.shape[0], rows.shape[0])  # fewer rows than experts: each row has an expert of its own
    if rows.shape[0] % experts:
        return False
    call.graph.policies["tokens spread evenly over the experts"] += 1
    _matmul(call, rows.view(experts, -1, rows.shape[1]), weights[:experts], None)
    return True


def _transposed(graph: Graph, left: torch.Tensor, right: torch.Tensor) -> bool:
    """Whether the operand that stays (a weight, a cache, what a batch shares) is on the left."""
    if _is_held(graph, left) != _is_held(graph, right):
        return _is_held(graph, left)
    spread = [graph.distinct(tensor) < tensor.numel() for tensor in (left, right)]
    return spread == [True, False] and left.dim() == 3


def _is_weight(graph: Graph, tensor: torch.Tensor) -> bool:
    value = graph.value(tensor)
    return value.parameter or not value.data


def _is_held(graph: Graph, tensor: torch.Tensor) -> bool:
    value = graph.value(tensor)
    return _is_weight(graph, tensor) or (value.key is not None and graph.tensors[value.key].kind == "kv")


def _operand(graph: Graph, tensor: torch.Tensor, elements: int, *, weight: bool = False) -> int:
    """The trace tensor with exactly these elements: the stored one, a part of it, or its expansion."""
    key = graph.read(tensor, weight=weight)
    if graph.tensors[key].elements == elements:
        return key
    return graph.view(key, tuple(tensor.shape), ("expanded", tuple(tensor.shape)))


def _convolution(call: Call) -> bool:
    image, weight, bias = call.tensor(0), call.tensor(1), call.optional(2)
    stride, padding, dilation, transposed, groups = (call.args[position] for position in (3, 4, 5, 6, 8))
    if transposed or image.dim() not in (3, 4):
        return False
    assert isinstance(groups, int)
    flat = image.dim() == 3  # a 1-D convolution is one row high
    h, w = (1, image.shape[2]) if flat else image.shape[2:]
    r, s = (1, weight.shape[2]) if flat else weight.shape[2:]
    dims = ConvDims(
        n=image.shape[0],
        groups=groups,
        c=weight.shape[1],
        k=weight.shape[0] // groups,
        h=h,
        w=w,
        r=r,
        s=s,
        stride=_pair(stride, 1, flat),
        padding=_pair(padding, 0, flat),
        dilation=_pair(dilation, 1, flat),
    )
    reads = [image, weight] + ([] if bias is None else [bias])
    inputs = [
        call.graph.quantised(_operand(call.graph, image, image.numel()), call.quants.activation),
        call.graph.quantised(_operand(call.graph, weight, weight.numel(), weight=True), call.quants.weight),
    ]
    if bias is not None:
        inputs.append(call.graph.read(bias, bias=True))
    call.graph.add(Node("conv", dims, call.path, inputs, [], psum=call.psum, label="conv"), reads, call.result)
    return True


def _pair(values: object, neutral: int, flat: bool) -> tuple[int, int]:
    assert isinstance(values, list | tuple)
    numbers = [int(value) for value in values]
    if flat:
        return neutral, numbers[0]
    return (numbers[0], numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])
