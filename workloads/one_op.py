"""Modules that compression put into a network and that a chip runs as one op or none: rotations, codebook layers,
the rounding of what is cached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from accelsim.schemes import CodebookScheme, QuantScheme, RotationScheme
from accelsim.workload.trace import MatmulDims
from workloads.aten import by_last_axis
from workloads.graph import Graph, Node


def is_one_op(module: torch.nn.Module) -> bool:
    """Whether `record` writes this module down as one op or none, whatever it computes inside."""
    return any(of(module) is not None for of in (rotation_of, codebook_of, cache_scheme_of))


def rotation_of(module: torch.nn.Module) -> RotationScheme | None:
    """The rotation that the module does at run time; one with parts is recorded by its parts."""
    scheme = getattr(module, "rotation_scheme", None)
    return scheme if isinstance(scheme, RotationScheme) and not list(module.children()) else None


@contextmanager
def rotations_left_out(model: torch.nn.Module) -> Iterator[int]:
    """While it lasts, run-time rotations hand on what they are given; yields how many there are.

    Torch does them as matrix products, a chip with additions: MACs are counted without them.
    """
    found = [module for module in model.modules() if rotation_of(module) is not None]
    for module in found:
        module.forward = _unchanged
    try:
        yield len(found)
    finally:
        for module in found:
            del module.forward


def _unchanged(x: torch.Tensor) -> torch.Tensor:
    return x


def codebook_of(module: torch.nn.Module) -> CodebookScheme | None:
    """How the module's weight is stored as codebooks."""
    scheme = getattr(module, "codebook_scheme", None)
    return scheme if isinstance(scheme, CodebookScheme) else None


def cache_scheme_of(module: torch.nn.Module) -> QuantScheme | None:
    """How the module rounds keys or values on their way into a cache."""
    scheme = getattr(module, "cache_scheme", None)
    return scheme if isinstance(scheme, QuantScheme) else None


def record(graph: Graph, module: torch.nn.Module, path: str, x: torch.Tensor, result: torch.Tensor) -> None:
    """Writes down a module for which `is_one_op` holds, from its one input and its result."""
    scheme = rotation_of(module)
    if scheme is not None:
        node = Node("rotate", by_last_axis(result), path, [graph.read(x)], [], "hadamard", rotation=scheme)
        graph.add(node, [x], result)
        return
    cached = cache_scheme_of(module)
    if cached is not None:
        graph.policies["keys and values rounded to the cache's bits by what makes them"] += 1
        graph.alias(x, result)
        graph.keep_as(graph.read(x), cached)
        return
    codebook = codebook_of(module)
    assert codebook is not None
    k, n = x.shape[-1], result.shape[-1]
    weight = graph.add_tensor("weight", (n, k), f"{path}.weight", codebook.value_bits)
    graph.tensors[weight].codebook = codebook
    inputs = [graph.read(x), weight]
    bias = getattr(module, "bias", None)
    if isinstance(bias, torch.Tensor):
        inputs.append(graph.read(bias, bias=True))
    dims = MatmulDims(1, 1, x.numel() // k, k, n)
    psum = getattr(module, "psum_scheme", None)
    graph.add(Node("matmul", dims, path, inputs, [], psum=psum, label="matmul"), [x], result)
