"""2, 3 and 4-bit weights trained on from the calibrated model: codebooks with their indices, and round to nearest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from algos.block_vq.layer import CodebookLinear
from algos.experiments.block_vq_lm import METHODS, compressed, score
from algos.experiments.registry import Row, Run
from algos.experiments.training import CurvePoint, LossOfStep, train
from algos.experiments.tuning_losses import byte_lm_loss

BITS = (2, 3, 4)
STEPS = {2: 120, 3: 80, 4: 80}
CURVE_POINTS = 5
LAST_TEMPERATURE = 0.1
FIRST_NOISE = 0.1
"""Of what Gumbel-softmax draws. All of it leaves k-means, and costs more than it finds in so few steps: the chip's
codebooks at 2 bits end 60 steps at 3.40 bits per byte with all of it at first, at 3.19 with none."""
RATES = {"scale": 3e-4, "step": 3e-4, "low": 3e-4, "raw": 1e-3}
"""By what a parameter is; all rates times `RATE_SHARE`."""
CODEBOOK_RATE = 2e-2 / 7
"""Of the largest integer that an entry holds."""
LOGITS_RATE = 5e-2
"""Of the logits, in nats, of blocks of `DECISIVE` values and more: what fewer values say of an index is more noise."""
DECISIVE = 16
OTHER_RATE = 5e-4
RATE_SHARE = {2: 1.0, 3: 0.3, 4: 0.1}
"""By bits: the less is lost at first, the sooner a rate loses more (all of it made 4 bits worse than calibrated)."""


def run(run: Run) -> Sequence[Row]:
    """The loss curve of every method and width; the score before training in its first row, after it in the last."""
    cells = [(method, bits) for bits in BITS for method in METHODS]
    rows = [run.cell(f"{method}.{bits}".replace(" ", "_"), partial(_cell, method, bits, run)) for method, bits in cells]
    return [row for some in rows for row in some]


def _cell(method: str, bits: int, run: Run) -> Sequence[Row]:
    model, per_value = compressed(method, bits)
    before = score(model)
    model.train()
    named = replace(run, name=f"{run.name}.{method}.{bits}".replace(" ", "_"))
    steps, optimizer = STEPS[bits], torch.optim.Adam(_groups(model, RATE_SHARE[bits]), betas=(0.9, 0.99))
    curve = train(model, _loss(model, steps, run.seed), steps, [optimizer], named)
    after = score(model.eval())
    stride = max(1, len(curve) // CURVE_POINTS)
    points = [CurvePoint(0, math.nan, 0.0), *curve[-1 - stride :: -stride][::-1], curve[-1]]
    scores = {0: f"{before:.5f}", steps: f"{after:.5f}"}
    return [
        {
            "method": method,
            "bits_per_value": f"{per_value:.4f}",
            "step": point.step,
            "train_loss_nats": "" if point.step == 0 else f"{point.loss:.5f}",
            "cpu_s": f"{point.cpu_s:.1f}",
            "bits_per_byte": scores.get(point.step, ""),
        }
        for point in points
    ]


def _loss(model: torch.nn.Module, steps: int, seed: int) -> LossOfStep:
    """Divergence from the uncompressed model, with draws of indices that become sure, in both senses, step by step."""
    divergence = byte_lm_loss(model, seed)
    layers = [module for module in model.modules() if isinstance(module, CodebookLinear)]

    def loss(step: int) -> torch.Tensor:
        left = 1 - step / steps
        for layer in layers:
            layer.temperature, layer.noise = max(LAST_TEMPERATURE, left), FIRST_NOISE * left
        torch.manual_seed(seed * 1_000_003 + step)  # so that a training continued draws what it would have drawn
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return divergence(step)

    return loss


def _groups(model: torch.nn.Module, share: float) -> list[dict[str, object]]:
    groups: dict[float, list[torch.nn.Parameter]] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            groups.setdefault(share * _rate(module, name), []).append(parameter)
    return [{"params": parameters, "lr": rate} for rate, parameters in groups.items()]


def _rate(module: torch.nn.Module, name: str) -> float:
    if isinstance(module, CodebookLinear) and name in ("codebook", "logits"):
        scheme = module.codebook_scheme
        return (
            CODEBOOK_RATE * scheme.largest
            if name == "codebook"
            else LOGITS_RATE * min(1, scheme.block_values / DECISIVE)
        )
    return RATES.get(name, OTHER_RATE)
