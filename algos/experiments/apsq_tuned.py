"""Quantisation-aware training of APSQ: from the calibrated model, weights and all scales are trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from algos.compress import compress_
from algos.experiments import byte_lm_target, digits_vit
from algos.experiments.registry import Row, Run
from algos.experiments.schemes import APSQ, PLAIN
from algos.experiments.subjects import SUBJECTS
from algos.experiments.training import CurvePoint, LossOfStep, train, tuning_optimizers

STEPS = {"digits_vit": 600, "byte_lm_target": 100}
TUNED_BATCH = 2
CURVE_POINTS = 5


def tuned(model: str, scheme: str) -> Callable[[Run], Sequence[Row]]:
    """The loss curve of one cell, the score before training in its first row, after it in the last."""

    def run(run: Run) -> Sequence[Row]:
        torch.manual_seed(run.seed)
        subject = SUBJECTS[model]
        network = subject.load()
        config = (PLAIN | APSQ)[scheme]
        assert config is not None
        compress_(network, config, subject.calibration())
        before = subject.score(network)
        network.train()
        cell = replace(run, name=f"{run.name}.{scheme}")
        steps = STEPS[model]
        curve = train(network, _loss_of(model, network, run.seed), steps, tuning_optimizers(network), cell)
        after = subject.score(network.eval())
        empty = dict.fromkeys(before, "")
        stride = max(1, len(curve) // CURVE_POINTS)
        return [
            _row(model, scheme, CurvePoint(0, math.nan, 0.0), _texts(before)),
            *(_row(model, scheme, point, empty) for point in curve[-1 - stride :: -stride][::-1]),
            _row(model, scheme, curve[-1], _texts(after)),
        ]

    return run


def every_cell(model: str) -> Callable[[Run], Sequence[Row]]:
    """All cells one after the other, W8A8 with exact psums trained alike for a fair comparison."""
    schemes = [scheme for scheme in PLAIN | APSQ if scheme != "fp32"]
    return lambda run: [row for scheme in schemes for row in tuned(model, scheme)(run)]


def _row(model: str, scheme: str, point: CurvePoint, scores: Mapping[str, str]) -> Row:
    return {
        "model": model,
        "scheme": scheme,
        "step": point.step,
        "train_loss_nats": "" if point.step == 0 else f"{point.loss:.5f}",
        "cpu_s": f"{point.cpu_s:.1f}",
        **scores,
    }


def _texts(scores: Mapping[str, float]) -> dict[str, str]:
    return {key: f"{value:.5f}" for key, value in scores.items()}


def _loss_of(model: str, network: torch.nn.Module, seed: int) -> LossOfStep:
    if model == "digits_vit":
        return digits_vit.loss_of_step(network, seed)
    texts = byte_lm_target.training_rows(seed, TUNED_BATCH)

    def loss(step: int) -> torch.Tensor:
        ids = texts(step)
        logits = network(input_ids=ids[:, :-1], use_cache=False).logits
        return torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:])

    return loss
