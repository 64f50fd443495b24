"""How often the target accepts the draft: independent, by position in the draft, or as recorded from real models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.decoding.draws import MISS, Draws
from accelsim.decoding.recorded import AcceptanceTrace


class Acceptance(ABC):
    """A model of the draws that a decoding run meets."""

    @abstractmethod
    def draw(self, tokens: int, seed: int) -> Draws:
        """Draws for `tokens` positions, the same for the same seed."""

    @property
    @abstractmethod
    def knows_ranks(self) -> bool:
        """Whether it says which candidate is right where the first is not, as a tree needs."""

    @property
    @abstractmethod
    def mean(self) -> float:
        """The share of positions where the draft's first candidate is accepted."""


@dataclass(frozen=True)
class Independent(Acceptance):
    """Every position by itself: candidate r of the draft is accepted with probability `by_rank[r]`.

    One number is the i.i.d. acceptance alpha of Y. Leviathan et al. (arXiv 2211.17192); more are for trees
    (the acceptance vector of Z. Chen et al., Sequoia, arXiv 2402.12374). ValueError unless they are
    probabilities that sum to at most 1.
    """

    by_rank: tuple[float, ...]

    def __post_init__(self) -> None:
        # Written so that NaN, which compares false with everything, is refused too.
        if not self.by_rank or not all(0 <= share <= 1 for share in self.by_rank) or sum(self.by_rank) > 1 + 1e-12:
            raise ValueError(f"acceptances {self.by_rank} are not probabilities that sum to at most 1")

    def draw(self, tokens: int, seed: int) -> Draws:
        uniform = np.random.default_rng(seed).random(tokens)
        rank = np.searchsorted(np.cumsum(self.by_rank), uniform, side="right")
        return Draws(np.where(rank < len(self.by_rank), rank, MISS).astype(np.int16))

    @property
    def knows_ranks(self) -> bool:
        return len(self.by_rank) > 1

    @property
    def mean(self) -> float:
        return self.by_rank[0]


@dataclass(frozen=True)
class Runs(Acceptance):
    """By depth in a run of right tokens: after i right ones in a row the next is right with `by_depth[i]`.

    The last number goes on for ever. Depth counts from the last wrong token, wherever a draft began: it is the
    acceptance by position of a draft (as EAGLE-3, arXiv 2503.01840, publishes it) only for drafts that begin behind a
    wrong token; one that follows a wholly accepted draft goes on at that depth. ValueError unless they are
    probabilities.
    """

    by_depth: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.by_depth or not all(0 <= share <= 1 for share in self.by_depth):
            raise ValueError(f"acceptances {self.by_depth} are not probabilities")

    def draw(self, tokens: int, seed: int) -> Draws:
        uniform = np.random.default_rng(seed).random(tokens)
        rank = np.zeros(tokens, np.int16)
        depth, deepest = 0, len(self.by_depth) - 1
        for position, value in enumerate(uniform.tolist()):
            if value < self.by_depth[min(depth, deepest)]:
                depth += 1
            else:
                rank[position], depth = MISS, 0
        return Draws(rank)

    @property
    def knows_ranks(self) -> bool:
        return False

    @property
    def mean(self) -> float:
        survivors = np.cumprod(self.by_depth)
        last = self.by_depth[-1]
        if last == 1:
            return 1.0 if survivors[-1] > 0 else float(survivors.sum() / (1 + survivors.sum()))
        right = survivors.sum() + survivors[-1] * last / (1 - last)  # right tokens before a wrong one, in the mean
        return float(right / (1 + right))


@dataclass(frozen=True, eq=False)
class Recorded(Acceptance):
    """Positions as recorded, prompts in an order drawn by the seed and again from the start when they run out.

    Under `greedy` the draft proposes its likeliest candidates and the recorded rank says which one is right (trees;
    of text sampled from the target too). Otherwise it samples one, which is accepted with the recorded
    probability, drawn anew.
    """

    trace: AcceptanceTrace
    greedy: bool = False

    def draw(self, tokens: int, seed: int) -> Draws:
        rng = np.random.default_rng(seed)
        order: list[NDArray[np.int64]] = []
        rows = self._rows()
        for _ in range(-(-tokens // len(self.trace))):
            order += [rows[i] for i in rng.permutation(len(rows))]
        chosen = np.concatenate(order)[:tokens]
        if self.greedy:
            rank = self.trace.rank[chosen]
        else:
            rank = np.where(rng.random(tokens) < self.trace.accept_probability[chosen], 0, MISS).astype(np.int16)
        return Draws(rank, self.trace.draft_entropy_bits[chosen])

    def _rows(self) -> Sequence[NDArray[np.int64]]:
        starts = np.flatnonzero(np.diff(self.trace.prompt)) + 1
        return np.split(np.arange(len(self.trace.prompt)), starts)

    @property
    def knows_ranks(self) -> bool:
        return self.greedy

    @property
    def mean(self) -> float:
        accepted = self.trace.rank == 0 if self.greedy else self.trace.accept_probability
        return float(accepted.mean())
