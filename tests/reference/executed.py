"""Quantised torch layers as mapped ops: the integers that the layer's operands become, executed on an accelerator."""

from __future__ import annotations

import numpy as np
import torch

from accelsim.functional import Execution, MappedOp, map_op
from accelsim.spec import ArchSpec
from accelsim.workload import MatmulDims
from algos.product_layers import QuantLinear, QuantMatmul


def executed_linear(layer: QuantLinear, x: torch.Tensor, arch: ArchSpec) -> Execution:
    """x (..., in) as rows of one matmul, the bias in units of its sums."""
    with torch.no_grad():
        rows, x_scale = layer.activation_quantiser(x.reshape(-1, x.shape[-1]))
        weight, w_scale = layer.weight_quantiser(layer.weight)
        scales = x_scale * w_scale.reshape(-1)
        bias = None if layer.bias is None else torch.floor(layer.bias / scales + 0.5).long().numpy()
    dims = MatmulDims(1, 1, *rows.shape, weight.shape[0])
    op = map_op(arch, dims, layer.psum_scheme, bias_values=0 if bias is None else bias.size)
    assert isinstance(op, MappedOp)
    return op.run(_integers(rows)[None, None], _integers(weight.t())[None], bias, layer.psums.scales())


def executed_product(layer: QuantMatmul, left: torch.Tensor, right: torch.Tensor, arch: ArchSpec) -> Execution:
    """left (..., m, k) x right (..., k, n), every leading index a batch of its own."""
    with torch.no_grad():
        rows, _ = layer.activation_quantiser(left.flatten(0, -3))
        columns, _ = layer.weight_quantiser(right.flatten(0, -3))
    batches, m, k = rows.shape
    op = map_op(arch, MatmulDims(batches, 1, m, k, columns.shape[-1]), layer.psum_scheme)
    assert isinstance(op, MappedOp)
    scales = layer.psums.scales(-(-k // layer.psums.tile))
    return op.run(_integers(rows)[:, None], _integers(columns), scales=scales)


def _integers(values: torch.Tensor) -> np.ndarray:
    whole = values.long()
    assert torch.equal(whole.to(values.dtype), values)
    return whole.numpy()
