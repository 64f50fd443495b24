"""The graph being recorded: what every torch storage holds, and the operations met so far."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

import torch

from accelsim.schemes import CodebookScheme, LutScheme, PsumScheme, QuantScheme, RotationScheme
from accelsim.workload.trace import ConvDims, MatmulDims, OpKind, TensorKind, VectorDims

BIAS_BITS = 32


@dataclass(frozen=True)
class Widths:
    """Bits per element of each kind of tensor; dtypes say nothing of them."""

    weight: int = 8
    activation: int = 8
    kv: int = 8


@dataclass(eq=False)
class Node:
    """One recorded operation; `inputs` and `outputs` are keys of `Graph.tensors`."""

    kind: OpKind
    dims: MatmulDims | ConvDims | VectorDims
    path: str
    inputs: list[int]
    outputs: list[int]
    function: str | None = None
    after: tuple[Node, ...] = ()
    psum: PsumScheme | None = None
    causal: bool = False
    label: str = ""
    luts: tuple[LutScheme, ...] = ()
    rotation: RotationScheme | None = None


@dataclass
class Stored:
    """One tensor of the trace to be; `name` is given by its parameter, or else by its producer."""

    kind: TensorKind
    shape: tuple[int, ...]
    bits: int
    name: str
    view_of: int | None = None
    quant: QuantScheme | None = None
    codebook: CodebookScheme | None = None

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@dataclass
class Value:
    """What a storage holds: a trace tensor (`key`), or something that has none yet (`key` None).

    `copies` says how many times each element stands in the storage (a materialised expand). `data`
    is False for what neither weights nor inputs can change: positions, masks, tables of cosines.
    """

    key: int | None
    name: str
    shape: tuple[int, ...]
    data: bool
    parameter: bool = False
    copies: int = 1
    producers: tuple[Node, ...] = ()
    stale: str = ""


@dataclass
class Graph:
    """Tensors and operations in execution order, with the policies applied on the way."""

    widths: Widths
    tensors: dict[int, Stored] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    policies: Counter[str] = field(default_factory=Counter)
    unknown: Counter[tuple[str, str]] = field(default_factory=Counter)
    kept_as: dict[int, QuantScheme] = field(default_factory=dict)
    _values: dict[int, Value] = field(default_factory=dict)
    _alive: list[torch.UntypedStorage] = field(default_factory=list)
    _views: dict[tuple[object, ...], int] = field(default_factory=dict)
    _rows: dict[tuple[object, ...], int] = field(default_factory=dict)

    def value(self, tensor: torch.Tensor) -> Value:
        """What the tensor's storage holds; a storage never seen before is a constant."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self._values:
            self.bind(tensor, Value(None, "constant", tuple(tensor.shape), data=False))
        return self._values[storage._cdata]

    def bind(self, tensor: torch.Tensor, value: Value) -> None:
        """Says what the tensor's storage holds from now on."""
        storage = tensor.untyped_storage()
        self._alive.append(storage)  # an address is only an identity while its owner lives
        self._values[storage._cdata] = value

    def add_tensor(self, kind: TensorKind, shape: tuple[int, ...], name: str, bits: int | None = None) -> int:
        """A new trace tensor; without `bits`, as wide as its kind is assumed to be."""
        wide = {"weight": self.widths.weight, "kv": self.widths.kv}.get(kind, self.widths.activation)
        self.tensors[len(self.tensors)] = Stored(kind, shape, wide if bits is None else bits, name)
        return len(self.tensors) - 1

    def source(self, tensor: torch.Tensor, *, weight: bool = False, bias: bool = False) -> tuple[int, Value]:
        """Key of the trace tensor that holds this operand's storage, and its value.

        A parameter is a weight when an array multiplies by it or when it has two axes; else (biases,
        gains) it is a constant of 32 bits.
        """
        value = self.value(tensor)
        if value.stale:
            self.unknown[(value.stale, value.name)] += 1
        if value.key is None:
            vector = sum(extent > 1 for extent in value.shape) <= 1
            if value.parameter and (bias or (vector and not weight)):
                value.key = self.add_tensor("constant", value.shape, value.name, BIAS_BITS)
            else:
                kind: TensorKind = "weight" if value.parameter else "constant"
                value.key = self.add_tensor(kind, value.shape, value.name, BIAS_BITS if bias else None)
        return value.key, value

    def read(self, tensor: torch.Tensor, *, weight: bool = False, bias: bool = False) -> int:
        """Key of the trace tensor an op reads: the stored one, or a view of it when only a part is read."""
        key, _ = self.source(tensor, weight=weight, bias=bias)
        distinct = self.distinct(tensor)
        if distinct >= self.tensors[key].elements:
            return key
        shape = tuple(size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)
        shape = shape if math.prod(shape) == distinct else (distinct,)
        return self.view(key, shape, (tensor.storage_offset(), shape))

    def view(self, key: int, shape: tuple[int, ...], identity: tuple[object, ...]) -> int:
        """A tensor of another shape inside tensor `key`; equal identities give the same one."""
        index = (key, *identity)
        if index not in self._views:
            base = self.tensors[key]
            root = key if base.view_of is None else base.view_of
            new = self.add_tensor(base.kind, shape, "", base.bits)
            self.tensors[new].view_of = root
            self._views[index] = new
        return self._views[index]

    def quantised(self, key: int, scheme: QuantScheme | None) -> int:
        """The tensor as a layer reads it that quantises it so; None leaves it as it is.

        A weight is stored so. An activation stored in other bits is read as a view of those bits: the
        layer that made it leaves a narrower copy beside it, whose writing is not charged.
        """
        stored = self.tensors[key]
        if scheme is None or stored.quant == scheme:
            return key
        if stored.kind != "weight" and stored.bits != scheme.bits:
            self.policies[
                "activation read in the bits its reader quantises it to, that copy's writing not charged"
            ] += 1
            key = self.view(key, stored.shape, ("quantised", scheme))
        for changed in {key, key if stored.view_of is None or stored.kind != "weight" else stored.view_of}:
            self.tensors[changed].quant, self.tensors[changed].bits = scheme, scheme.bits
        return key

    def keep_as(self, key: int, scheme: QuantScheme) -> None:
        """The tensor, and any cache that it comes into, holds integers of this scheme."""
        self.kept_as[key] = scheme
        self.tensors[key].quant, self.tensors[key].bits = scheme, scheme.bits

    def rows(self, table: torch.Tensor, count: int, cols: int) -> int:
        """The rows a gather reads from a table: at most as many as the table has, never all of it."""
        value = self.value(table)
        if not value.parameter:
            return self.read(table)
        count = min(count, math.prod(value.shape) // cols)
        index = (value.name, count, cols)
        if index not in self._rows:
            self._rows[index] = self.add_tensor("weight", (count, cols), f"{value.name}.rows")
        return self._rows[index]

    def distinct(self, tensor: torch.Tensor) -> int:
        """How many different stored elements the tensor shows."""
        value = self.value(tensor)
        stored = math.prod(value.shape)
        seen = math.prod(size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)
        return stored if seen >= stored * value.copies else min(seen, stored)

    def alias(self, source: torch.Tensor, result: torch.Tensor) -> None:
        """`result` holds what `source` shows: a copy that a layout, a cast or a scale factor can absorb."""
        value = self.value(source)
        distinct = self.distinct(source)
        shape, key = value.shape, value.key
        if distinct < math.prod(value.shape):
            shape = tuple(source.shape) if source.numel() == distinct else (distinct,)
            key = self.read(source) if value.data else None
        name, copies = value.name, max(1, result.numel() // max(1, distinct))
        self.bind(result, Value(key, name, shape, value.data, value.parameter, copies, value.producers))

    def add(self, node: Node, reads: list[torch.Tensor], result: torch.Tensor, kind: TensorKind = "activation") -> None:
        """Records an op that reads `reads` and whose only output is the whole of `result`'s storage."""
        shape = tuple(result.shape)
        storage_elements = result.untyped_storage().nbytes() // result.element_size()
        if storage_elements > result.numel() and self.value(result).shape != shape:
            shape = self.value(result).shape  # written in place, into a part of it
        key = self.add_tensor(kind, shape, "")
        node.outputs.append(key)
        node.after = self.producers(reads)
        self.nodes.append(node)
        self.bind(result, Value(key, "", shape, data=True, producers=(node,)))

    def producers(self, tensors: list[torch.Tensor]) -> tuple[Node, ...]:
        """The nodes that made these tensors, each once."""
        return tuple(dict.fromkeys(node for tensor in tensors for node in self.value(tensor).producers))
