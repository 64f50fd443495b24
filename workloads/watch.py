"""Watching a model run: every aten op goes past the graph, with the module it happened in."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from torch.nn.modules import module as torch_module
from torch.utils._python_dispatch import TorchDispatchMode

from accelsim.errors import user_error
from accelsim.schemes import PsumScheme
from accelsim.workload.trace import OpKind, VectorDims
from workloads.aten import Call, by_last_axis, record_vector, tensors_in
from workloads.compressed import NOTHING_QUANTISED, Quants, quants_of
from workloads.graph import Graph, Node, Value
from workloads.names import ALIASES, GATHERS, SHAPE_ONLY
from workloads.one_op import is_one_op, record
from workloads.products import PRODUCTS, record_product

# Modules written out in several aten ops that a chip runs as one: class name, kind, function.
COMPOSITES: tuple[tuple[str, OpKind, str], ...] = (
    (r"RMSNorm$|^T5LayerNorm$", "normalize", "rmsnorm"),
    (r"^(NewGELU|FastGELU|QuickGELU|AccurateGELU|GELU|GELUTanh)(Activation)?$|^PytorchGELUTanh$", "nonlinear", "gelu"),
    (r"^MishActivation$", "nonlinear", "mish"),
)
ROOT = ""


class Watcher(TorchDispatchMode):
    """Records what happens while it is active; `watching` also follows the modules."""

    def __init__(self, graph: Graph, model: torch.nn.Module) -> None:
        super().__init__()
        self.graph = graph
        self._paths = {id(module): path for path, module in model.named_modules()}
        self._stack: list[tuple[torch.nn.Module, str]] = []
        self._composite: torch.nn.Module | None = None
        self.met: set[str] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Follows modules and dispatches, with eager attention, until the block ends."""
        with ExitStack() as stack:
            for handle in (
                torch_module.register_module_forward_pre_hook(self._enter),
                torch_module.register_module_forward_hook(self._leave, always_call=True),
            ):
                stack.callback(handle.remove)
            stack.enter_context(eager_attention(self._mark_causal))
            stack.enter_context(self)
            yield

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name == "_local_scalar_dense" and tensors_in(args)[0].is_meta:
            return self._scalar(tensors_in(args)[0])
        before = {tensor.untyped_storage()._cdata for tensor in tensors_in([*args, kwargs])}
        result = func(*args, **kwargs)
        made = tensors_in([result])
        self.met.add(name)
        writes = func._schema.is_mutable
        if self._composite is None and made and (writes or made[0].untyped_storage()._cdata not in before):
            name = name.removesuffix("_") if writes else name
            known = len(self.graph.nodes)
            self._see(name if func.namespace == "aten" else str(func), args, kwargs, made)
            self._give_tables(known)
        return result

    def _see(self, name: str, args: tuple[object, ...], kwargs: dict[str, object], made: list[torch.Tensor]) -> None:
        graph = self.graph
        path = self._path
        call = Call(graph, name, path, args, kwargs, made[0], self._psum(), self._is_causal(), self._quants())
        reads = call.tensors()
        if name in SHAPE_ONLY or not any(graph.value(tensor).data for tensor in reads):
            if reads and name not in SHAPE_ONLY:
                graph.policies["position, index and mask arithmetic that no input value changes, not charged"] += 1
            for tensor in made:
                graph.bind(tensor, Value(None, f"{path}.constant".lstrip("."), tuple(tensor.shape), data=False))
        elif name in ALIASES:
            graph.alias(reads[0], made[0])
        elif name not in PRODUCTS | GATHERS and all(value.parameter for value in map(graph.value, reads) if value.data):
            graph.policies["arithmetic on parameters alone, done before the run, not charged"] += 1
            origin = next(value.name for value in map(graph.value, reads) if value.data)
            for tensor in made:
                graph.bind(tensor, Value(None, origin, tuple(tensor.shape), data=True, parameter=True))
        elif not (record_product(call) if name in PRODUCTS else record_vector(call)):
            graph.unknown[(name, path)] += 1
            for tensor in made:
                key = graph.add_tensor("activation", tuple(tensor.shape), f"{path}.{name}".lstrip("."))
                graph.bind(tensor, Value(key, "", tuple(tensor.shape), data=True, producers=graph.producers(reads)))
        for tensor in made[1:]:
            graph.bind(tensor, graph.value(made[0]))

    def _scalar(self, tensor: torch.Tensor) -> bool:
        """The value of a meta tensor that the model asks for: a mask's `all()` is true without padding."""
        if tensor.dtype != torch.bool:
            found = f"reads a {tensor.dtype} value that a meta tensor lacks"
            fix = "trace it with its weights on the CPU, or avoid .item() on numbers"
            raise user_error(self._path or "model", "item()", found, fix)
        self.graph.policies["masks assumed without padding (.item() of a boolean answered True)"] += 1
        return True

    @property
    def _path(self) -> str:
        return self._stack[-1][1] if self._stack else ROOT

    def _psum(self) -> PsumScheme | None:
        scheme = getattr(self._stack[-1][0], "psum_scheme", None) if self._stack else None
        return scheme if isinstance(scheme, PsumScheme) else None

    def _give_tables(self, known: int) -> None:
        """Writes the tables of the module they run in on the look-ups recorded after the first `known` nodes."""
        given = (getattr(module, "lut_schemes", None) for module, _ in reversed(self._stack))
        schemes = next((schemes for schemes in given if schemes is not None), ())
        for node in self.graph.nodes[known:] if schemes else ():
            if node.kind in ("nonlinear", "softmax", "normalize"):
                node.luts = tuple(schemes)

    def _quants(self) -> Quants:
        return quants_of(self._stack[-1][0]) if self._stack else NOTHING_QUANTISED

    def _is_causal(self) -> bool:
        return bool(self._stack) and getattr(self._stack[-1][0], "is_causal", False) is True

    def _mark_causal(self, scores: torch.Tensor) -> None:
        for node in self.graph.value(scores).producers:
            node.causal = True

    def _enter(self, module: torch.nn.Module, args: object) -> None:
        parent = self._path
        own = f"{parent}.{type(module).__name__}".lstrip(".")
        if self._stack and hasattr(self._stack[-1][0], "exported"):
            own = parent  # the plain layer that a compressed one runs in its place
        path = self._paths.get(id(module), own)
        self._stack.append((module, path))
        if self._composite is None and (is_one_op(module) or _composite(module)) and len(tensors_in(args)) == 1:
            self._composite = module

    def _leave(self, module: torch.nn.Module, args: object, result: object) -> None:
        if not self._stack or self._stack[-1][0] is not module:
            return
        if self._composite is module:
            self._composite = None
            self._record_composite(module, tensors_in(args), tensors_in([result]))
        self._stack.pop()

    def _record_composite(self, module: torch.nn.Module, args: list[torch.Tensor], results: list[torch.Tensor]) -> None:
        if len(results) != 1:  # it failed on the way; the exception tells
            return
        if is_one_op(module):
            record(self.graph, module, self._path, args[0], results[0])
            return
        found = _composite(module)
        assert found is not None
        kind, function = found
        gains = list(module.parameters(recurse=False))
        dims = by_last_axis(results[0])
        if kind == "normalize" and gains:
            cols = math.prod(gains[0].shape)
            dims = VectorDims(results[0].numel() // cols, cols)
        reads = [args[0], *gains]
        node = Node(kind, dims, self._path, [self.graph.read(tensor) for tensor in reads], [], function)
        known = len(self.graph.nodes)
        self.graph.add(node, reads, results[0])
        self._give_tables(known)


def _composite(module: torch.nn.Module) -> tuple[OpKind, str] | None:
    for pattern, kind, function in COMPOSITES:
        if re.search(pattern, type(module).__name__):
            return kind, function
    return None


@contextmanager
def eager_attention(on_causal: Callable[[torch.Tensor], None] | None = None) -> Iterator[None]:
    """Spells scaled_dot_product_attention out as its two matmuls and softmax while the block runs.

    On the meta device torch takes a path that scales the whole key cache and copies keys and values.
    `on_causal` is called with the scores when the mask is causal.
    """

    def attention(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        if enable_gqa:
            key, value = _repeat_heads(key, query), _repeat_heads(value, query)
        scores = torch.matmul(query, key.mT)
        if is_causal and on_causal:
            on_causal(scores)
        scores = scores * (query.shape[-1] ** -0.5 if scale is None else scale)
        if is_causal:
            allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
            scores = scores.masked_fill(allowed.logical_not(), -math.inf)
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(attn_mask.logical_not(), -math.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        return torch.matmul(torch.softmax(scores, -1), value)

    functional = torch.nn.functional
    original, fast_path = functional.scaled_dot_product_attention, torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    functional.scaled_dot_product_attention = attention
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = original
        torch.backends.mha.set_fastpath_enabled(fast_path)


def _repeat_heads(tensor: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    heads, times = tensor.shape[-3], query.shape[-3] // tensor.shape[-3]
    shape = (*tensor.shape[:-3], heads, times, *tensor.shape[-2:])
    return tensor.unsqueeze(-3).expand(shape).flatten(-4, -3)


def bind_inputs(graph: Graph, model: torch.nn.Module, inputs: Mapping[str, object]) -> None:
    """Tells the graph what parameters, inputs and caches the run starts with."""
    for name, parameter in model.named_parameters():
        graph.bind(parameter, Value(None, name, tuple(parameter.shape), data=True, parameter=True))
    for name, buffer in model.named_buffers():
        graph.bind(buffer, Value(None, name, tuple(buffer.shape), data=False))
    for name, given in inputs.items():
        layers = getattr(given, "layers", None)
        held = [(getattr(layer, "keys", None), getattr(layer, "values", None)) for layer in layers or ()]
        for index, pair in enumerate(held):
            for part, tensor in zip(("key", "value"), tensors_in(pair), strict=False):
                _bind_data(graph, tensor, "kv", f"{name}.{index}.{part}")
        for index, tensor in enumerate(tensors_in([given])):
            if tensor.is_floating_point():
                cached = "past" in name or "cache" in name
                _bind_data(graph, tensor, "kv" if cached else "activation", f"{name}.{index}" if index else name)


def _bind_data(graph: Graph, tensor: torch.Tensor, kind: str, name: str) -> None:
    assert kind in ("kv", "activation")
    key = graph.add_tensor("kv" if kind == "kv" else "activation", tuple(tensor.shape), name)
    graph.bind(tensor, Value(key, name, tuple(tensor.shape), data=True))
