"""The models that compression is measured on: how each is loaded, calibrated and scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from numpy.typing import NDArray

from algos.experiments.registry import Row
from algos.scheme_config import Batch
from algos.trained import byte_lm, digits_vit, minilm, sentence_pairs, stdlib_text

CALIBRATION_ROWS = 16
CALIBRATION_BATCH = 4
LONG_TEXTS = 12
SLOWLY_SCORED_EVERY = 10


@dataclass(frozen=True)
class Subject:
    """A trained model, unlabelled data to calibrate on and its score on data that neither saw.

    `score` gives metrics by name; the units are in the names.
    """

    load: Callable[[], torch.nn.Module]
    calibration: Callable[[], Sequence[Batch]]
    score: Callable[[torch.nn.Module], Mapping[str, float]]


def rows(model: str, scheme: str, scores: Mapping[str, float]) -> list[Row]:
    """One row of a result table per metric."""
    return [{"model": model, "scheme": scheme, "metric": key, "value": f"{value:.5f}"} for key, value in scores.items()]


def _minilm_calibration() -> Sequence[Batch]:
    pairs = sentence_pairs.sentence_pairs("calibrate")
    sentences = pairs.first + pairs.second
    # Attention sums over as many products as there are tokens, so the longest input must be among the data.
    longest = [" ".join(sentences[row::LONG_TEXTS]) for row in range(LONG_TEXTS)]
    return minilm.tokens(sentences) + minilm.tokens(longest)


def _minilm_score(model: torch.nn.Module) -> Mapping[str, float]:
    pairs = sentence_pairs.sentence_pairs("score")
    first, second = minilm.embed(model, pairs.first), minilm.embed(model, pairs.second)
    agreement = sentence_pairs.agreement((first * second).sum(axis=1), pairs.level)
    fidelity = (np.concatenate([first, second]) * _minilm_uncompressed()).sum(axis=1).mean()
    return {"spearman": agreement.spearman, "auc": agreement.auc, "cosine_to_fp32": float(fidelity)}


@cache
def _minilm_uncompressed() -> NDArray[np.float64]:
    pairs = sentence_pairs.sentence_pairs("score")
    return minilm.embed(minilm.load(), pairs.first + pairs.second)


def _byte_lm_calibration() -> Sequence[Batch]:
    text = stdlib_text.windows(stdlib_text.held_out_text("calibrate"), byte_lm.CONTEXT_BYTES)
    chosen = torch.from_numpy(text[:: len(text) // CALIBRATION_ROWS][:CALIBRATION_ROWS, :-1])
    return [{"input_ids": batch, "use_cache": False} for batch in chosen.split(CALIBRATION_BATCH)]


def _byte_lm_score(model: torch.nn.Module, every: int = 1) -> Mapping[str, float]:
    text = stdlib_text.windows(stdlib_text.held_out_text("score"), byte_lm.CONTEXT_BYTES)[::every]
    return {"bits_per_byte": float(byte_lm.bits_per_byte(model, text).mean())}


def _digits_score(model: torch.nn.Module) -> Mapping[str, float]:
    score = digits_vit.score(model, digits_vit.held_out_set())
    return {"accuracy_pct": 100 * score.accuracy, "loss_nats": score.loss}


SUBJECTS: dict[str, Subject] = {
    "minilm": Subject(minilm.load, _minilm_calibration, _minilm_score),
    "byte_lm_target": Subject(lambda: byte_lm.load("target"), _byte_lm_calibration, _byte_lm_score),
    # The same on every tenth row (33 rows, 16,896 bytes), for what runs slowly.
    "byte_lm_target_tenth": Subject(
        lambda: byte_lm.load("target"), _byte_lm_calibration, partial(_byte_lm_score, every=SLOWLY_SCORED_EVERY)
    ),
    "digits_vit": Subject(
        digits_vit.load, lambda: [{"pixel_values": digits_vit.calibration_set().images}], _digits_score
    ),
}
