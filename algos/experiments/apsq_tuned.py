"""Quantisation-aware training of APSQ: from the calibrated model, weights and all scales are trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch

from algos.compress import compress_
from algos.experiments import byte_lm_target, digits_vit
from algos.experiments.registry import Row, Run
from algos.experiments.schemes import APSQ, PLAIN
from algos.experiments.subjects import SUBJECTS
from algos.experiments.training import CurvePoint, LossOfStep, train, tuning_optimizers

STEPS = {"digits_vit": 600, "byte_lm_target": 60}
TUNED_BATCH = 2
CURVE_POINTS = 5


def tuned(model: str) -> Callable[[Run], Sequence[Row]]:
    """Every cell of one model's table, W8A8 with exact psums trained alike for a fair comparison."""
    schemes = [scheme for scheme in PLAIN | APSQ if scheme != "fp32"]

    def run(run: Run) -> Sequence[Row]:
        cells = [run.cell(scheme, partial(_cell, model, scheme, run)) for scheme in schemes]
        return [row for rows in cells for row in rows]

    return run


def _cell(model: str, scheme: str, run: Run) -> Sequence[Row]:
    """The loss curve of a cell, the score before training in its first row, after it in the last."""
    torch.manual_seed(run.seed)
    subject, config = SUBJECTS[model], (PLAIN | APSQ)[scheme]
    assert config is not None
    network = subject.load()
    compress_(network, config, subject.calibration())
    before = subject.score(network)
    network.train()
    named = replace(run, name=f"{run.name}.{scheme}")
    curve = train(network, _loss_of(model, network, run.seed), STEPS[model], tuning_optimizers(network), named)
    after = subject.score(network.eval())
    stride = max(1, len(curve) // CURVE_POINTS)
    return [
        _row(model, scheme, CurvePoint(0, math.nan, 0.0), _texts(before)),
        *(_row(model, scheme, point, dict.fromkeys(before, "")) for point in curve[-1 - stride :: -stride][::-1]),
        _row(model, scheme, curve[-1], _texts(after)),
    ]


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
