"""Outlier channels put into a network without changing its function, as large language models grow them."""

from __future__ import annotations

import torch

from accelsim.errors import user_error
from algos.rotation.fuse import head_width
from algos.rotation.norms import is_foldable
from algos.rotation.stream import find_base


def inject_outliers_(model: torch.nn.Module, *, share: float, factor: float, seed: int) -> None:
    """Scale a random `share` of channels by `factor`, and what reads them by its inverse: an exact rescaling.

    Rescaled are the outputs of every norm in a layer (its gain against the linears that read it) and,
    in gated feed-forward networks, the inputs of the down projection (the up projection's rows against
    the down projection's columns). Powers of two lose no bit. Raises UserError for a network whose
    architecture is unknown, and ValueError for a share outside 0..1 or a factor that is not positive.
    """
    if not 0 < share <= 1 or factor <= 0:
        raise ValueError(f"share {share} is outside 0..1, or factor {factor} is not positive")
    base = find_base(model)
    if base is None or not base.family.norms:
        raise user_error(type(model).__name__, "outliers", "not a known pre-norm network", "use a LLaMA or ViT network")
    generator = torch.Generator().manual_seed(seed)
    for _, layer in base.layers():
        for path, readers in base.family.norms:
            norm = layer.get_submodule(path)
            if not is_foldable(norm):
                raise user_error(type(model).__name__, path, f"{type(norm).__name__} has no plain gain", "use another")
            scale = _scale(norm.weight.shape[0], share, factor, generator)
            _rescale_(norm, [layer.get_submodule(reader) for reader in readers], scale)
        if base.family.up:
            up, down = layer.get_submodule(base.family.up), layer.get_submodule(base.family.down)
            _rescale_(up, [down], _scale(up.weight.shape[0], share, factor, generator))


def inject_cache_outliers_(model: torch.nn.Module, *, share: float, factor: float, seed: int) -> None:
    """Scale a random `share` of the key and value channels of every head by `factor`, exactly undone behind them.

    Queries take the inverse of their keys' scale, output projections that of the values. A key's channel is scaled
    with the one that the rotary embedding turns it with, so the products stay what they were. Raises
    UserError for a network without rotary embedding, ValueError as `inject_outliers_`.
    """
    if not 0 < share <= 1 or factor <= 0:
        raise ValueError(f"share {share} is outside 0..1, or factor {factor} is not positive")
    base = find_base(model)
    if base is None or not base.family.rotary:
        raise user_error(type(model).__name__, "outliers", "no rotary embedding", "use a LLaMA-like network")
    generator, family = torch.Generator().manual_seed(seed), base.family
    for _, layer in base.layers():
        query, key, value, output = (
            layer.get_submodule(path) for path in (family.query, family.key, family.value, family.output)
        )
        width = head_width(layer, base)
        heads, times = key.weight.shape[0] // width, query.weight.shape[0] // key.weight.shape[0]
        keys = torch.stack([_scale(width // 2, share, factor, generator).repeat(2) for _ in range(heads)])
        values = torch.stack([_scale(width, share, factor, generator) for _ in range(heads)])
        _rescale_(key, [], keys.flatten())
        _rescale_(query, [], 1 / keys.repeat_interleave(times, 0).flatten())
        _rescale_(value, [], values.flatten())
        with torch.no_grad():
            output.weight.div_(values.repeat_interleave(times, 0).flatten().to(output.weight))


def _scale(channels: int, share: float, factor: float, generator: torch.Generator) -> torch.Tensor:
    chosen = torch.randperm(channels, generator=generator)[: max(1, round(share * channels))]
    scale = torch.ones(channels, dtype=torch.float64)
    scale[chosen] = factor
    return scale


def _rescale_(writer: torch.nn.Module, readers: list[torch.nn.Module], scale: torch.Tensor) -> None:
    with torch.no_grad():
        for parameter in writer.parameters(recurse=False):
            shape = (-1, *(1 for _ in range(parameter.dim() - 1)))
            parameter.mul_(scale.reshape(shape).to(parameter))
        for reader in readers:
            reader.weight.div_(scale.to(reader.weight))
