"""Outlier channels put into a network without changing its function, as large language models grow them."""

from __future__ import annotations

import torch

from accelsim.errors import user_error
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
