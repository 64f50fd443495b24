"""How peaked activations are: kurtosis, and the largest magnitude over the root mean square."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from algos.calibrate import forward
from algos.scheme_config import Batch

SMALLEST = 1e-60  # of a mean square; its square is a normal float64 still


@dataclass(frozen=True)
class Peaks:
    """Of the inputs of one layer, each token by itself and then the mean over tokens: mean(x^4) / mean(x^2)^2
    (3 for a bell curve), and max |x| / rms(x), which decides what a scale per token loses.
    """

    kurtosis: float
    max_over_rms: float


def input_peaks(
    model: torch.nn.Module, batches: Iterable[Batch], kind: type[torch.nn.Module] = torch.nn.Linear
) -> Mapping[str, Peaks]:
    """Peaks of the inputs of every layer of this kind, by path, over forward passes without gradients.

    Raises ValueError for no batches.
    """
    layers = {path: module for path, module in model.named_modules() if isinstance(module, kind)}
    sums = {path: torch.zeros(3, dtype=torch.float64) for path in layers}

    def watch(path: str) -> torch.utils.hooks.RemovableHandle:
        def see(_: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            tokens = given[0].detach().double().flatten(0, -2)
            square = tokens.square()
            power = square.mean(-1).clamp_min(SMALLEST)
            found = (square.square().mean(-1) / power.square(), tokens.abs().amax(-1) / power.sqrt())
            sums[path] += torch.stack([value.sum().cpu() for value in (*found, torch.ones_like(power))])

        return layers[path].register_forward_pre_hook(see)

    handles = [watch(path) for path in layers]
    try:
        with torch.no_grad():
            for batch in batches:
                forward(model, batch)
    finally:
        for handle in handles:
            handle.remove()
    seen = {path: (total / total[2]).tolist() for path, total in sums.items() if total[2]}
    if not seen:
        raise ValueError("no batch reached a layer")
    return {path: Peaks(kurtosis, ratio) for path, (kurtosis, ratio, _) in seen.items()}
