"""`calibrate_`: learning scales from a few forward passes, for every compressed layer at once.

A layer that learns has `calibration_passes`, how many times it must see the data; before the n-th pass
(from 0) it gets `start_calibration(n)`, after it `end_calibration(n)`. Layers that need fewer passes run
as they are meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch

from algos.scheme_config import Batch


@runtime_checkable
class Calibrated(Protocol):
    """A module that learns from data."""

    calibration_passes: int

    def start_calibration(self, number: int) -> None:
        """The next forwards are pass `number`."""

    def end_calibration(self, number: int) -> None:
        """Pass `number` is over; ValueError when the layer saw no data."""


def calibrate_(model: torch.nn.Module, data: Iterable[Batch]) -> list[str]:
    """Run `data` through the model as often as its layers need; paths of the layers that learned.

    The model is in eval mode meanwhile, and without gradients. ValueError for no data.
    """
    batches = list(data)
    if not batches:
        raise ValueError("no batches to calibrate on")
    learning = {path: module for path, module in model.named_modules() if isinstance(module, Calibrated)}
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        for number in range(max((layer.calibration_passes for layer in learning.values()), default=0)):
            taking_part = [layer for layer in learning.values() if number < layer.calibration_passes]
            for layer in taking_part:
                layer.start_calibration(number)
            with torch.no_grad():
                for batch in batches:
                    forward(model, batch)
            for layer in taking_part:
                layer.end_calibration(number)
    finally:
        for module, training in modes.items():
            module.training = training
    return list(learning)


def forward(model: torch.nn.Module, batch: Batch) -> object:
    """The model on the arguments that a batch holds."""
    if isinstance(batch, torch.Tensor):
        return model(batch)
    if isinstance(batch, Mapping):
        return model(**batch)
    assert isinstance(batch, Sequence)
    return model(*batch)
