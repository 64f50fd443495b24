"""Sentence pairs from the standard library's docstrings, graded by where they stand, not by a model.

Level 2: neighbouring sentences of one docstring. Level 1: sentences from two docstrings of one file.
Level 0: from two files. `make_data` draws them; they stand under the licence of Python's source.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from algos.trained.checkpoint import FOLDER

PAIRS = FOLDER / "sentence_pairs.csv"
LEVELS = (0, 1, 2)


@dataclass(frozen=True)
class SentencePairs:
    """Two sentences a row and how near they stood to each other: level (n,) of 0, 1, 2."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    level: NDArray[np.int64]


@dataclass(frozen=True)
class Agreement:
    """How a similarity follows the levels.

    `spearman` is their rank correlation (with three levels it stays below 1 even for a perfect order:
    0.943 for equally many of each); `auc` the probability that a pair of level 2 is more similar than
    one of level 0.
    """

    spearman: float
    auc: float


def sentence_pairs(split: Literal["score", "calibrate"]) -> SentencePairs:
    """The shipped pairs of one split: 900 to score on, 60 to calibrate with."""
    with PAIRS.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    return SentencePairs(
        tuple(row["first"] for row in rows),
        tuple(row["second"] for row in rows),
        np.array([int(row["level"]) for row in rows]),
    )


def agreement(similarity: NDArray[np.float64], level: NDArray[np.int64]) -> Agreement:
    """Rank agreement of similarities (n,) with levels (n,), ties at their mean rank."""
    ranks, level_ranks = _ranks(similarity), _ranks(level.astype(np.float64))
    near, far = similarity[level == 2], similarity[level == 0]
    wins = (near[:, None] > far).mean() + (near[:, None] == far).mean() / 2
    return Agreement(float(np.corrcoef(ranks, level_ranks)[0, 1]), float(wins))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(count) - (count - 1) / 2)[group]
    return ranks
