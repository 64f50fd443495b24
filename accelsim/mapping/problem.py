"""An operation as the mapper sees it: loop dims with extents, operands, and what each depends on.

Loop dims of a matmul: b, g, m, k, n (see `accelsim.workload.trace`). A conv's primitive loops are
n, groups, c, p, q, r, s, k; most arrays walk them as mixed-radix dims, slowest digit first:

    pq    output pixels (n, p, q)           spatial rows of the array
    rsc   reduction (r, s, c), c fastest    `spatial_reduction: flatten_crs`
    rs, c the same reduction in two dims    `spatial_reduction: channels_only`
    k     filters of one group              spatial columns
    groups  independent convolutions        relevant to every operand

With `spatial_reduction: nested` every primitive loop is a dim of its own, q being the row and c the
reduction that an array unrolls unless it says otherwise.

Nothing is flattened away: which input elements a (pixel, reduction) tile touches, with stride,
dilation, padding and halo, comes from `accelsim.mapping.im2col`, of a nested conv from
`accelsim.mapping.window`. `output` is the operand that is called psum until its last visit of the
accumulator and ofmap from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from accelsim.hardware.sram import OperandName, Width
from accelsim.schemes import PsumScheme
from accelsim.spec.models import SpatialReduction
from accelsim.workload.trace import ConvDims, MatmulDims

__all__ = ["OPERANDS", "OperandName", "Problem", "Width", "conv_problem", "matmul_problem"]

OPERANDS: tuple[OperandName, ...] = ("ifmap", "weight", "output")
Extents = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Problem:
    """Loop dims, roles and widths of one matmul or conv.

    `batch` dims are relevant to every operand, `shared` dims to all but the weight. `row`, `column`
    and the last of `reduction` are what the array unrolls, unless it is told what to unroll. Widths
    are in bits per value: `weight_bits` where the array multiplies, `stored_weight_bits` in DRAM and
    memories, where a weight out of codebooks takes less. `weight_home` is where the weight lives,
    `fused_pairs` the pairs of its blocks that share a product, over all blocks (0 to 1/2), of which each
    has `block_rows` columns of the op's. `codebook_entries` is 0 where nothing is decoded. `ifmap_zeros` is the
    share of zero inputs; `dram_ifmap_bits` and `dram_ofmap_bits` are widths in DRAM where those are compressed.
    """

    extents: Extents
    batch: tuple[str, ...]
    shared: tuple[str, ...]
    row: str
    reduction: tuple[str, ...]
    column: str
    ifmap_bits: int
    weight_bits: int
    ofmap_bits: int
    psum: PsumScheme
    conv: ConvDims | None = None
    bias_values: int = 0
    bias_bits: int = 32
    codebook_weight_bits: Width | None = None
    weight_home: Literal["dram", "reram"] = "dram"
    fused_pairs: Fraction = Fraction(0)
    block_rows: int = 1
    codebook_entries: int = 0
    ifmap_zeros: Fraction = Fraction(0)
    dram_ifmap_bits: Width | None = None
    dram_ofmap_bits: Width | None = None

    @property
    def stored_weight_bits(self) -> Width:
        """Bits per weight value in DRAM and memories; PEs and their registers have it decoded."""
        return self.weight_bits if self.codebook_weight_bits is None else self.codebook_weight_bits

    @property
    def dram_bits(self) -> dict[OperandName, Width]:
        """Bits per value of each operand in DRAM (of a weight wherever it lives)."""
        ifmap = self.ifmap_bits if self.dram_ifmap_bits is None else self.dram_ifmap_bits
        ofmap = self.ofmap_bits if self.dram_ofmap_bits is None else self.dram_ofmap_bits
        return {"ifmap": ifmap, "weight": self.stored_weight_bits, "output": ofmap}

    def extent(self, dim: str) -> int:
        return dict(self.extents)[dim]

    @property
    def dims(self) -> tuple[str, ...]:
        return tuple(dim for dim, _ in self.extents)

    @property
    def nested(self) -> bool:
        """Whether this is a conv whose primitive loops are dims of their own."""
        return self.conv is not None and self.row == "q"

    def relevant(self, operand: OperandName) -> tuple[str, ...]:
        """The dims whose index selects an element of the operand."""
        if operand == "ifmap":
            return (*self.batch, *self.shared, self.row, *self.reduction)
        if operand == "weight":
            return (*self.batch, *self.reduction, self.column)
        return (*self.batch, *self.shared, self.row, self.column)

    def irrelevant(self, operand: OperandName) -> tuple[str, ...]:
        relevant = self.relevant(operand)
        return tuple(dim for dim in self.dims if dim not in relevant)

    @property
    def macs(self) -> int:
        total = 1
        for _, extent in self.extents:
            total *= extent
        return total


def matmul_problem(
    dims: MatmulDims, ifmap_bits: int, weight_bits: int, ofmap_bits: int, psum: PsumScheme, bias_values: int = 0
) -> Problem:
    """A (batched, grouped-query) matmul."""
    return Problem(
        extents=(("b", dims.b), ("g", dims.g), ("m", dims.m), ("k", dims.k), ("n", dims.n)),
        batch=("b",),
        shared=("g",),
        row="m",
        reduction=("k",),
        column="n",
        ifmap_bits=ifmap_bits,
        weight_bits=weight_bits,
        ofmap_bits=ofmap_bits,
        psum=psum,
        bias_values=bias_values,
    )


def conv_problem(
    dims: ConvDims,
    ifmap_bits: int,
    weight_bits: int,
    ofmap_bits: int,
    psum: PsumScheme,
    spatial_reduction: SpatialReduction,
    bias_values: int = 0,
) -> Problem:
    """A 2-D convolution: strided, grouped, depthwise, dilated, padded."""
    pixels, reduction = _conv_loops(dims, spatial_reduction)
    return Problem(
        extents=(("groups", dims.groups), *pixels, *reduction, ("k", dims.k)),
        batch=("groups",),
        shared=tuple(dim for dim, _ in pixels[:-1]),
        row=pixels[-1][0],
        reduction=tuple(dim for dim, _ in reduction),
        column="k",
        ifmap_bits=ifmap_bits,
        weight_bits=weight_bits,
        ofmap_bits=ofmap_bits,
        psum=psum,
        conv=dims,
        bias_values=bias_values,
    )


def _conv_loops(dims: ConvDims, spatial_reduction: SpatialReduction) -> tuple[Extents, Extents]:
    """Pixel dims and reduction dims with their extents; the array unrolls the last of each."""
    if spatial_reduction == "nested":
        pixels = (("n", dims.n), ("p", dims.p), ("q", dims.q))
        return pixels, (("r", dims.r), ("s", dims.s), ("c", dims.c))
    flat, taps = (("pq", dims.n * dims.p * dims.q),), dims.r * dims.s
    if spatial_reduction == "flatten_crs":
        return flat, (("rsc", taps * dims.c),)
    return flat, (("rs", taps), ("c", dims.c))
