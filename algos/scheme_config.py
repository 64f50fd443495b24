"""What every compression scheme offers: a frozen config that plans its changes and makes them.

A scheme is one file and one row. The file holds a frozen dataclass that extends `SchemeConfig` (with
`name`, its fields, ValueErrors in `__post_init__`), the modules it puts into a model, and, where it
learns from data, their calibration. The row is in `algos.registry.CONFIGS`; recipes, `compress_`,
`plan` and the conformance tests then know it.

The modules that a scheme puts in may have
- `exported(*args)`: the one plain op that the module is on a chip; the exporter runs it as the forward;
- `psum_scheme`, `weight_scheme`, `activation_scheme`: shared definitions that the exporter writes down;
- `calibration_passes`, `start_calibration`, `end_calibration`: see `algos.calibrate`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import torch

from algos.changes import LayerChange

Batch: TypeAlias = torch.Tensor | Sequence[object] | Mapping[str, object]
"""The arguments of one forward: a tensor, a sequence of arguments, or a mapping of keywords."""


@dataclass(frozen=True, kw_only=True)
class SchemeConfig(ABC):
    """`layers` and `skip` are patterns of module paths, as `algos.layers.matches` reads them."""

    name: ClassVar[str]
    """The word for the scheme in recipes and reports."""

    layers: tuple[str, ...] = ("*",)
    skip: tuple[str, ...] = ()

    @abstractmethod
    def plan(self, model: torch.nn.Module) -> list[LayerChange]:
        """Every layer this could compress and is asked to, changed or skipped; touches nothing."""

    @abstractmethod
    def apply_(self, model: torch.nn.Module, batches: Sequence[Batch]) -> list[LayerChange]:
        """Change the model in place, learning from `batches` (none: nothing is learned yet); what was done."""
