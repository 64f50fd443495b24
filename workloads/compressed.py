"""Compressed layers: what they say of themselves, and the one plain op that each of them is on a chip.

A module says so by its attributes: `exported`, the method that runs in place of its forward;
`psum_scheme`, `activation_scheme` and `weight_scheme` for the product that this makes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from accelsim.schemes import QuantScheme


@dataclass(frozen=True)
class Quants:
    """How a product's operands are quantised; None: as wide as their kind is assumed to be."""

    activation: QuantScheme | None = None
    weight: QuantScheme | None = None

    @property
    def turned(self) -> Quants:
        """Of the transposed product, whose operands have changed places."""
        return Quants(self.weight, self.activation)


NOTHING_QUANTISED = Quants()


def quants_of(module: torch.nn.Module) -> Quants:
    """The schemes that the module says its operands have."""
    found = (getattr(module, name, None) for name in ("activation_scheme", "weight_scheme"))
    return Quants(*(scheme if isinstance(scheme, QuantScheme) else None for scheme in found))


@contextmanager
def as_exported(model: torch.nn.Module) -> Iterator[None]:
    """While it lasts, every module with an `exported` method runs that as its forward."""
    changed = [module for module in model.modules() if callable(getattr(module, "exported", None))]
    for module in changed:
        module.__dict__["forward"] = module.exported
    try:
        yield
    finally:
        for module in changed:
            del module.__dict__["forward"]
