"""Finding layers by patterns of their paths, and putting others in their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

import torch

from algos.changes import LayerChange

WILD = "*?["


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern is the path or one of its parents; `*` stands for any text, dots included.

    >>> matches("encoder.layer.0.attention.query", ("encoder.layer.0",)), matches("encoder", ("*.query",))
    (True, False)
    """
    parts = path.split(".")
    above = [".".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
    return any(fnmatchcase(parent, pattern) for pattern in patterns for parent in above)


def candidates(
    model: torch.nn.Module, kinds: tuple[type[torch.nn.Module], ...], layers: Sequence[str], skip: Sequence[str]
) -> Iterator[tuple[str, torch.nn.Module, str]]:
    """Path, module and reason to leave it ("" for none) of every module of these kinds that `layers` asks for."""
    for path, module in model.named_modules():
        if isinstance(module, kinds) and matches(path, layers):
            yield path, module, "named in skip" if matches(path, skip) else ""


def replace_(model: torch.nn.Module, old: torch.nn.Module, new: torch.nn.Module) -> None:
    """Put `new` wherever `old` stands in the model, in the same mode. ValueError if it stands nowhere below it."""
    places = [(parent, name) for parent in model.modules() for name, child in parent._modules.items() if child is old]
    if not places:
        raise ValueError(f"the {type(old).__name__} is no part of the model, or is the model itself")
    new.train(old.training)
    for parent, name in places:
        setattr(parent, name, new)


def is_exact(pattern: str) -> bool:
    """Whether a pattern names one path."""
    return not any(sign in pattern for sign in WILD)


def left_alone(changes: Sequence[LayerChange], pattern: str) -> list[LayerChange]:
    """The skipped layers that a pattern without wildcards names exactly."""
    return [change for change in changes if change.skipped and is_exact(pattern) and change.path == pattern]
