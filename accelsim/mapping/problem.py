"""An operation as the mapper sees it: loop dims with extents, operands, and what each depends on.

Loop dims of a matmul: b, g, m, k, n (see `accelsim.workload.trace`). A conv's primitive loops are
n, groups, c, p, q, r, s, k; they are walked as mixed-radix dims, slowest digit first:

    pq    output pixels (n, p, q)           spatial rows of the array
    rsc   reduction (r, s, c), c fastest    `spatial_reduction: flatten_crs`
    rs, c the same reduction in two dims    `spatial_reduction: channels_only`
    k     filters of one group              spatial columns
    groups  independent convolutions        relevant to every operand

Nothing is flattened away: which input elements a (pixel, reduction) tile touches, with stride,
dilation, padding and halo, comes from `accelsim.mapping.im2col`. `output` is the operand that is
called psum until its last visit of the accumulator and ofmap from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from accelsim.hardware.sram import OperandName
from accelsim.schemes import PsumScheme
from accelsim.workload.trace import ConvDims, MatmulDims

__all__ = ["OPERANDS", "OperandName", "Problem", "conv_problem", "matmul_problem"]

OPERANDS: tuple[OperandName, ...] = ("ifmap", "weight", "output")


@dataclass(frozen=True)
class Problem:
    """Loop dims, roles and widths of one matmul or conv.

    `batch` dims are relevant to every operand, `shared` dims to all but the weight. The last of
    `reduction` is the one the array unrolls. Widths are in bits per value.
    """

    extents: tuple[tuple[str, int], ...]
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

    def extent(self, dim: str) -> int:
        return dict(self.extents)[dim]

    @property
    def dims(self) -> tuple[str, ...]:
        return tuple(dim for dim, _ in self.extents)

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
    spatial_reduction: Literal["flatten_crs", "channels_only"],
    bias_values: int = 0,
) -> Problem:
    """A 2-D convolution: strided, grouped, depthwise, dilated, padded."""
    taps = dims.r * dims.s
    reduction: tuple[tuple[str, int], ...]
    if spatial_reduction == "flatten_crs":
        reduction = (("rsc", taps * dims.c),)
    else:
        reduction = (("rs", taps), ("c", dims.c))
    pixels = dims.n * dims.p * dims.q
    return Problem(
        extents=(("groups", dims.groups), ("pq", pixels), *reduction, ("k", dims.k)),
        batch=("groups",),
        shared=(),
        row="pq",
        reduction=tuple(dim for dim, _ in reduction),
        column="k",
        ifmap_bits=ifmap_bits,
        weight_bits=weight_bits,
        ofmap_bits=ofmap_bits,
        psum=psum,
        conv=dims,
        bias_values=bias_values,
    )
