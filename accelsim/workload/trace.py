"""What a trace is: tensors, operations in execution order, phases, and the oracle's MAC count.

Loop dims of a matmul are b, g, m, k, n: batch, query heads per KV head, rows, reduction, columns.
ifmap[b, g, m, k] x weight[b, k, n] -> ofmap[b, g, m, n]; the weight operand does not depend on g.
Loop dims of a conv: n images, `groups` groups, c input channels and k filters per group, p x q
output rows and columns, r x s kernel rows and columns. One MAC is two operations. MACs are dense:
causality and zero padding are not subtracted, as torch's FlopCounterMode counts them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from accelsim.schemes import CodebookScheme, LutScheme, PsumScheme, QuantScheme, RotationScheme

SCHEMA_VERSION = 1

TensorKind = Literal["weight", "activation", "kv", "constant"]
OpKind = Literal[
    "matmul", "conv", "nonlinear", "normalize", "softmax", "elementwise", "reduce", "rotate",
    "kv_append", "gather", "scan", "copy",
]  # fmt: skip
PhaseKind = Literal["encode", "prefill", "decode", "draft", "verify"]


@dataclass(frozen=True)
class Tensor:
    """One tensor: shape in elements, bits per element. Views are folded: `shape` is what is stored.

    `view_of` names the tensor that this one is a part of (one token's row, one third of a fused
    QKV output); such a view has no storage of its own. `quant` says how a compressed tensor is stored
    in its `bits`, `codebook` how a weight is stored as codebooks (`bits` is the width of their values). `zeros` is
    the share of an activation's values that are zero, 0 to 1, where it is known.
    """

    id: str
    kind: TensorKind
    shape: tuple[int, ...]
    bits: int
    view_of: str | None = None
    quant: QuantScheme | None = None
    codebook: CodebookScheme | None = None
    zeros: float = 0.0

    @property
    def elements(self) -> int:
        total = 1
        for extent in self.shape:
            total *= extent
        return total


@dataclass(frozen=True)
class MatmulDims:
    """ifmap[b, g, m, k] x weight[b, k, n] -> ofmap[b, g, m, n]."""

    b: int
    g: int
    m: int
    k: int
    n: int

    @property
    def macs(self) -> int:
        return self.b * self.g * self.m * self.k * self.n


@dataclass(frozen=True)
class ConvDims:
    """A 2-D convolution; h x w input, padding on both sides of each axis, dilation per axis.

    c and k are per group. p = (h + 2 pad - dilation (r - 1) - 1) // stride + 1, likewise q.
    """

    n: int
    groups: int
    c: int
    k: int
    h: int
    w: int
    r: int
    s: int
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)

    @property
    def p(self) -> int:
        return _out(self.h, self.r, self.stride[0], self.padding[0], self.dilation[0])

    @property
    def q(self) -> int:
        return _out(self.w, self.s, self.stride[1], self.padding[1], self.dilation[1])

    @property
    def macs(self) -> int:
        return self.n * self.groups * self.c * self.k * self.p * self.q * self.r * self.s


@dataclass(frozen=True)
class VectorDims:
    """Everything without MACs: rows x cols elements, cols being the axis reduced or normalised."""

    rows: int
    cols: int

    @property
    def elements(self) -> int:
        return self.rows * self.cols

    @property
    def macs(self) -> int:
        return 0


@dataclass(frozen=True)
class Op:
    """One operation. `inputs` of a matmul or conv: ifmap tensor, weight tensor, then optional bias.

    `function` names what a non-MAC op computes (gelu, softmax, layernorm, add, ...). `after` holds
    the ids of the ops whose results this one reads. `psum` None means the array's native width. `luts`
    are the tables that a non-MAC op looks up in, each with those of its own scale alone; none leaves
    them to the unit, at no cost. `rotation` is what a `rotate` op of function hadamard does to its last
    axis.
    """

    id: int
    name: str
    kind: OpKind
    dims: MatmulDims | ConvDims | VectorDims
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    function: str | None = None
    after: tuple[int, ...] = ()
    psum: PsumScheme | None = None
    causal: bool = False
    luts: tuple[LutScheme, ...] = ()
    rotation: RotationScheme | None = None


@dataclass(frozen=True)
class Phase:
    """Ops that run together, with how many new tokens per sequence they handle and their context."""

    name: str
    kind: PhaseKind
    tokens: int
    context: int
    batch: int
    ops: tuple[Op, ...]


@dataclass(frozen=True)
class UnknownOp:
    """An operation the exporter met and could not describe; listed, never dropped."""

    function: str
    module: str
    count: int


@dataclass(frozen=True)
class Oracle:
    """MACs counted by something other than the exporter; `macs` None when it could not count."""

    macs: int | None
    method: str


@dataclass(frozen=True)
class Trace:
    """A workload: everything the simulator needs to know of a model."""

    name: str
    provenance: tuple[tuple[str, str], ...]
    oracle: Oracle
    tensors: tuple[Tensor, ...]
    phases: tuple[Phase, ...]
    unknown_ops: tuple[UnknownOp, ...] = ()

    @property
    def macs(self) -> int:
        """Dense multiply-accumulates of all phases."""
        return sum(op.dims.macs for phase in self.phases for op in phase.ops)

    def tensor_by_id(self) -> dict[str, Tensor]:
        return {tensor.id: tensor for tensor in self.tensors}


def _out(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
