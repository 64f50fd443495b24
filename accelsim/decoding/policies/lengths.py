"""How many tokens to draft: a fixed number, a heuristic, or until the draft is unsure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LengthKind = Literal["fixed", "heuristic", "entropy"]


@dataclass(frozen=True)
class DraftLength:
    """`first` tokens at first, never more than `most`.

    `fixed`: always `first`. `heuristic`: two more after a draft that was accepted whole, one fewer after any
    other, at least 1 (the rule of HuggingFace transformers' assisted generation). `entropy`: until the
    draft's distribution has more than `limit_bits` of entropy, at least 1 and at most `most` (SVIP, arXiv
    2411.18462, takes the square root of the entropy for a bound; here the limit is on the entropy itself).
    ValueError for lengths below 1, or above `most`.
    """

    kind: LengthKind
    first: int
    most: int
    limit_bits: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.most:
            raise ValueError(f"draft length {self.first} is not in 1..{self.most}")
        if self.kind == "entropy" and not self.limit_bits > 0:
            raise ValueError("an entropy limit in bits, above 0")

    def following(self, length: int, whole: bool) -> int:
        """The length in force after a draft that was accepted whole, or not."""
        if self.kind != "heuristic":
            return length
        return min(length + 2, self.most) if whole else max(length - 1, 1)


def fixed(length: int) -> DraftLength:
    """Always so many."""
    return DraftLength("fixed", length, length)
