"""How peaked activations are: kurtosis, and the largest magnitude over the root mean square."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from algos.calibrate import forward
from algos.scheme_config import Batch


@dataclass(frozen=True)
class Peaks:
    """Of the inputs of one layer: E[x^4] / E[x^2]^2 (3 for a bell curve) over all values, and the mean over
    tokens of max |x| / rms(x), which decides what a per-token scale loses.
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
    sums = {path: torch.zeros(4, dtype=torch.float64) for path in layers}

    def watch(path: str) -> torch.utils.hooks.RemovableHandle:
        def see(_: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            tokens = given[0].detach().double().flatten(0, -2)
            square = tokens.square()
            rms = square.mean(-1).sqrt().clamp_min(1e-300)
            ratio = (tokens.abs().amax(-1) / rms).mean()
            sums[path] += torch.stack((square.mean(), square.square().mean(), ratio, torch.ones(()))).cpu()

        return layers[path].register_forward_pre_hook(see)

    handles = [watch(path) for path in layers]
    try:
        with torch.no_grad():
            for batch in batches:
                forward(model, batch)
    finally:
        for handle in handles:
            handle.remove()
    seen = {path: total / total[3] for path, total in sums.items() if total[3]}
    if not seen:
        raise ValueError("no batch reached a layer")
    return {path: Peaks(float(t[1] / t[0].square()), float(t[2])) for path, t in seen.items()}
