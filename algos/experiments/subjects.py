"""The models that compression is measured on: how each is loaded, calibrated and scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, Protocol

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


Phase = Literal["encode", "prefill"]


class Score(Protocol):
    """Metrics by name, the units in the names; on so many evenly spaced rows of the held-out data (None: on all)."""

    def __call__(self, model: torch.nn.Module, rows: int | None = None) -> Mapping[str, float]: ...


@dataclass(frozen=True)
class Subject:
    """A trained model, unlabelled data to calibrate on and its score on data that neither saw.

    `metric` is the score to judge by. `held_out` counts the rows that there are to score on, at least
    `fewest` of which give a score. `inputs(batch, sequence)`
    are those of one forward pass of kind `phase` to export; `longest` is the sequence length it is
    calibrated for (None: the model reads no sequence).
    """

    load: Callable[[], torch.nn.Module]
    calibration: Callable[[], Sequence[Batch]]
    score: Score
    metric: str
    held_out: Callable[[], int]
    phase: Phase
    longest: int | None
    inputs: Callable[[int, int], Mapping[str, object]]
    fewest: int = 1


def use_threads(threads: int) -> None:
    """Let torch use so many threads; sums in another order may differ in their last digits."""
    torch.set_num_threads(threads)


def rows(model: str, scheme: str, scores: Mapping[str, float]) -> list[Row]:
    """One row of a result table per metric."""
    return [{"model": model, "scheme": scheme, "metric": key, "value": f"{value:.5f}"} for key, value in scores.items()]


def _minilm_calibration() -> Sequence[Batch]:
    pairs = sentence_pairs.sentence_pairs("calibrate")
    sentences = pairs.first + pairs.second
    # Attention sums over as many products as there are tokens, so the longest input must be among the data.
    longest = [" ".join(sentences[row::LONG_TEXTS]) for row in range(LONG_TEXTS)]
    return minilm.tokens(sentences) + minilm.tokens(longest)


def _minilm_score(model: torch.nn.Module, rows: int | None = None) -> Mapping[str, float]:
    pairs, chosen = sentence_pairs.sentence_pairs("score"), _chosen(_minilm_held_out(), rows)
    first, second = (minilm.embed(model, [side[row] for row in chosen]) for side in (pairs.first, pairs.second))
    agreement = sentence_pairs.agreement((first * second).sum(axis=1), pairs.level[chosen])
    fidelity = (np.concatenate([first, second]) * _minilm_uncompressed(rows)).sum(axis=1).mean()
    return {"spearman": agreement.spearman, "auc": agreement.auc, "cosine_to_fp32": float(fidelity)}


@cache
def _minilm_uncompressed(rows: int | None) -> NDArray[np.float64]:
    pairs, chosen = sentence_pairs.sentence_pairs("score"), _chosen(_minilm_held_out(), rows)
    return minilm.embed(minilm.load(), [side[row] for side in (pairs.first, pairs.second) for row in chosen])


def _minilm_held_out() -> int:
    return len(sentence_pairs.sentence_pairs("score").level)


def _byte_lm_calibration() -> Sequence[Batch]:
    text = stdlib_text.windows(stdlib_text.held_out_text("calibrate"), byte_lm.CONTEXT_BYTES)
    chosen = torch.from_numpy(text[:: len(text) // CALIBRATION_ROWS][:CALIBRATION_ROWS, :-1])
    return [{"input_ids": batch, "use_cache": False} for batch in chosen.split(CALIBRATION_BATCH)]


def _byte_lm_windows() -> NDArray[np.int64]:
    return stdlib_text.windows(stdlib_text.held_out_text("score"), byte_lm.CONTEXT_BYTES)


def _byte_lm_score(model: torch.nn.Module, rows: int | None = None) -> Mapping[str, float]:
    text = _byte_lm_windows()
    return {"bits_per_byte": float(byte_lm.bits_per_byte(model, text[_chosen(len(text), rows)]).mean())}


def _byte_lm_tenth() -> NDArray[np.int64]:
    return _byte_lm_windows()[::SLOWLY_SCORED_EVERY]


def _byte_lm_tenth_score(model: torch.nn.Module, rows: int | None = None) -> Mapping[str, float]:
    tenth = _byte_lm_tenth()
    return {"bits_per_byte": float(byte_lm.bits_per_byte(model, tenth[_chosen(len(tenth), rows)]).mean())}


def _digits_score(model: torch.nn.Module, rows: int | None = None) -> Mapping[str, float]:
    held_out = digits_vit.held_out_set()
    chosen = _chosen(len(held_out.labels), rows)
    score = digits_vit.score(model, digits_vit.Digits(held_out.images[chosen], held_out.labels[chosen]))
    return {"accuracy_pct": 100 * score.accuracy, "loss_nats": score.loss}


def _chosen(count: int, rows: int | None) -> NDArray[np.int64]:
    """Row numbers, evenly spaced."""
    return np.arange(count) if rows is None else np.linspace(0, count - 1, rows).round().astype(np.int64)


def _ids(batch: int, sequence: int) -> torch.Tensor:
    return torch.zeros(batch, sequence, dtype=torch.long)


SUBJECTS: dict[str, Subject] = {
    "minilm": Subject(
        minilm.load,
        _minilm_calibration,
        _minilm_score,
        metric="spearman",
        held_out=_minilm_held_out,
        phase="encode",
        longest=minilm.MAX_TOKENS,
        inputs=lambda batch, sequence: {"input_ids": _ids(batch, sequence)},
        fewest=30,  # every level several times
    ),
    "byte_lm_target": Subject(
        lambda: byte_lm.load("target"),
        _byte_lm_calibration,
        _byte_lm_score,
        metric="bits_per_byte",
        held_out=lambda: len(_byte_lm_windows()),
        phase="prefill",
        longest=byte_lm.CONTEXT_BYTES,
        inputs=lambda batch, sequence: {"input_ids": _ids(batch, sequence), "use_cache": False},
    ),
    "digits_vit": Subject(
        digits_vit.load,
        lambda: [{"pixel_values": digits_vit.calibration_set().images}],
        _digits_score,
        metric="accuracy_pct",
        held_out=lambda: len(digits_vit.held_out_set().labels),
        phase="encode",
        longest=None,
        inputs=lambda batch, _: {"pixel_values": torch.zeros(batch, 1, 8, 8)},
    ),
}
# The same on every tenth row (33 rows, 16,896 bytes), for what runs slowly.
SUBJECTS["byte_lm_target_tenth"] = replace(
    SUBJECTS["byte_lm_target"], score=_byte_lm_tenth_score, held_out=lambda: len(_byte_lm_tenth())
)
