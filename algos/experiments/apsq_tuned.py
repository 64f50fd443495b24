"""Quantisation-aware training of APSQ: from the calibrated model, weights and all scales are trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch

from algos.compress import compress_
from algos.experiments.registry import Row, Run
from algos.experiments.schemes import APSQ, PLAIN
from algos.experiments.subjects import SUBJECTS
from algos.experiments.training import CurvePoint, train, tuning_optimizers
from algos.experiments.tuning_losses import LOSSES

STEPS = {"digits_vit": 600, "byte_lm_target": 200, "minilm": 120}
SCHEMES: dict[str, Sequence[str]] = {
    "digits_vit": tuple(APSQ),
    "byte_lm_target": tuple(APSQ),
    "minilm": ("w8a8_apsq_int8_gs1", "w8a8_apsq_int8_gs2", "w8a8_apsq_int8_gs4"),
}
CURVE_POINTS = 5


def tuned(model: str) -> Callable[[Run], Sequence[Row]]:
    """The cells of one model's table, W8A8 with exact psums trained alike for a fair comparison."""
    schemes = [*(scheme for scheme, config in PLAIN.items() if config is not None), *SCHEMES[model]]

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
    curve = train(network, LOSSES[model](network, run.seed), STEPS[model], tuning_optimizers(network), named)
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
