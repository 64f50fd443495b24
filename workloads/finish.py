"""From the recorded graph to the trace: rotary embeddings folded, ops and tensors named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from accelsim.workload.trace import Op, Tensor, UnknownOp
from workloads.graph import Graph, Node


def finish(graph: Graph) -> tuple[tuple[Tensor, ...], tuple[Op, ...], tuple[UnknownOp, ...]]:
    """Tensors (in order of first use), ops (in execution order) and unknown ops of the graph."""
    _fold_rotations(graph)
    _label_attention(graph)
    names = _op_names(graph.nodes)
    ids = _tensor_ids(graph, names)
    numbers = {node: number for number, node in enumerate(graph.nodes)}
    ops = tuple(
        Op(
            id=numbers[node],
            name=names[node],
            kind=node.kind,
            dims=node.dims,
            inputs=tuple(ids[key] for key in node.inputs),
            outputs=tuple(ids[key] for key in node.outputs),
            function=node.function,
            after=tuple(sorted(numbers[earlier] for earlier in node.after)),
            psum=node.psum,
            causal=node.causal,
            luts=node.luts,
            rotation=node.rotation,
        )
        for node in graph.nodes
    )
    tensors = tuple(_tensor(graph, key, ids) for key in ids)
    unknown = tuple(UnknownOp(name, path, count) for (name, path), count in sorted(graph.unknown.items()))
    return tensors, ops, unknown


def _tensor(graph: Graph, key: int, ids: dict[int, str]) -> Tensor:
    stored = graph.tensors[key]
    view_of = None if stored.view_of is None else ids[stored.view_of]
    return Tensor(ids[key], stored.kind, stored.shape, stored.bits, view_of, stored.quant, stored.codebook)


def _fold_rotations(graph: Graph) -> None:
    """x * cos + cat(-x2, x1) * sin, five ops, becomes one `rotate` of x."""
    maker = {key: node for node in graph.nodes for key in node.outputs}
    uses = Counter(key for node in graph.nodes for key in node.inputs)
    gone: set[Node] = set()
    for node in graph.nodes:
        parts = _rotation(graph, node, maker)
        if parts is None or any(uses[key] != 1 for part in parts for key in part.outputs):
            continue
        straight, turned = parts[0], parts[1]
        gone.update(parts)
        node.kind, node.function = "rotate", "rope"
        node.inputs = [*straight.inputs, *turned.inputs[1:]]
        node.after = straight.after
    graph.nodes = [node for node in graph.nodes if node not in gone]


def _rotation(graph: Graph, node: Node, maker: dict[int, Node]) -> tuple[Node, Node, Node, Node] | None:
    """The four ops before the add of a rotation: x * cos, turned x * sin, the cat, the negation."""
    if node.function != "add" or len(node.inputs) != 2:
        return None
    straight, turned = (maker.get(key) for key in node.inputs)
    if straight is None or turned is None:
        return None
    if not (_scales_by_constant(graph, straight) and _scales_by_constant(graph, turned)):
        return None
    joined = maker.get(turned.inputs[0])
    if joined is None or joined.function != "cat" or len(joined.inputs) != 2:
        return None
    negated = maker.get(joined.inputs[0])
    if negated is None or negated.function != "neg":
        return None
    roots = {_root(graph, key) for key in (straight.inputs[0], joined.inputs[1], negated.inputs[0])}
    return (straight, turned, joined, negated) if len(roots) == 1 else None


def _scales_by_constant(graph: Graph, node: Node) -> bool:
    if node.function != "mul" or len(node.inputs) != 2:
        return False
    return graph.tensors[node.inputs[1]].kind == "constant"


def _root(graph: Graph, key: int) -> int:
    view_of = graph.tensors[key].view_of
    return key if view_of is None else view_of


def _label_attention(graph: Graph) -> None:
    """Names the two products around a softmax qk and pv, and passes causality along."""
    for node in graph.nodes:
        if node.kind != "softmax":
            continue
        for scores in _products_before(node):
            scores.label = "qk" if scores.label == "attention" else scores.label
            node.causal = node.causal or scores.causal
    for node in graph.nodes:
        if node.label != "attention":
            continue
        sources = [before for before in _through_elementwise(node.after) if before.kind == "softmax"]
        node.label = "pv" if sources else "matmul"
        node.causal = any(before.causal for before in sources)


def _products_before(node: Node) -> Iterable[Node]:
    return [before for before in _through_elementwise(node.after) if before.kind == "matmul"]


def _through_elementwise(nodes: Iterable[Node]) -> list[Node]:
    """The nearest producers that are not elementwise."""
    found: list[Node] = []
    waiting, seen = list(nodes), set[Node]()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.kind in ("elementwise", "nonlinear"):
            waiting.extend(node.after)
        else:
            found.append(node)
    return found


def _op_names(nodes: list[Node]) -> dict[Node, str]:
    """The module's path when the module is one op and no more, else the path and what the op does."""
    alone = Counter(node.path for node in nodes)
    for path in {node.path for node in nodes}:
        parts = path.split(".")
        alone.update(".".join(parts[:depth]) for depth in range(1, len(parts)))
    taken: Counter[str] = Counter()
    names: dict[Node, str] = {}
    for node in nodes:
        what = node.label or node.function or node.kind
        name = node.path if alone[node.path] == 1 and node.path else f"{node.path}.{what}".lstrip(".")
        names[node] = _unique(name, taken)
    return names


def _tensor_ids(graph: Graph, names: dict[Node, str]) -> dict[int, str]:
    """Ids of the tensors that ops use, in order of first use; a view's base comes before it."""
    taken: Counter[str] = Counter()
    ids: dict[int, str] = {}
    outputs = {key: f"{names[node]}:out" for node in graph.nodes for key in node.outputs}
    for node in graph.nodes:
        for key in (*node.inputs, *node.outputs):
            stored = graph.tensors[key]
            if stored.view_of is not None and stored.view_of not in ids:
                base = graph.tensors[stored.view_of]
                ids[stored.view_of] = _unique(outputs.get(stored.view_of, base.name), taken)
            if key not in ids:
                shape = "x".join(str(extent) for extent in stored.shape)
                plain = outputs.get(key, stored.name)
                name = plain if stored.view_of is None else f"{ids[stored.view_of]}[{shape}]"
                ids[key] = _unique(name, taken)
    return ids


def _unique(name: str, taken: Counter[str]) -> str:
    taken[name] += 1
    while taken[name] > 1:
        candidate = f"{name}_{taken[name]}"
        if not taken[candidate]:
            taken[candidate] += 1
            return candidate
        taken[name] += 1
    return name
