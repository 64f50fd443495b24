"""A policy: what the next round is, from the state between two rounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from accelsim.decoding.policies.lengths import DraftLength
from accelsim.decoding.policies.rounds import Round, State


@dataclass(frozen=True)
class Policy:
    """`serial`: drafts before the pass when nothing is pending. `concurrent`: drafts beside every pass.

    `short` is the serial draft's length where both happen (else `length` rules it). `widths` are the
    candidates below each node of a tree, by depth, which is drafted serially, a depth a step.
    Autoregressive decoding does none of it. ValueError for combinations of these that mean nothing.
    """

    name: str
    serial: bool
    concurrent: bool
    length: DraftLength
    short: int = 0
    widths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if (self.short > 0) != (self.serial and self.concurrent):
            raise ValueError("a short draft is for a policy that drafts before and beside its passes")
        if self.widths and (self.concurrent or not self.serial or min(self.widths) < 1):
            raise ValueError("a tree of at least one candidate a depth is drafted before its pass")

    def next_round(self, state: State, entropy_bits: Sequence[float]) -> Round:
        """The round from a state; `entropy_bits` are those of the draft at the positions it would draft next.

        Only a length by entropy looks at them, and only as far as it drafts.
        """
        if self.widths:
            return Round(len(self.widths), len(self.widths), self.tree_nodes, 0)
        serial = 0
        if self.serial and not state.pending:
            serial = self.short or self._length(state, entropy_bits)
        concurrent = self._length(state, entropy_bits[serial:]) if self.concurrent else 0
        depth = state.pending + serial
        return Round(serial, depth, depth, concurrent)

    def _length(self, state: State, entropy_bits: Sequence[float]) -> int:
        if self.length.kind != "entropy":
            return state.length
        for drafted, bits in enumerate(entropy_bits[: self.length.most], start=1):
            if bits > self.length.limit_bits:
                return drafted
        return self.length.most

    @property
    def draft_tokens(self) -> tuple[int, ...]:
        """Tokens that the draft reads in its serial steps, the last number in all later ones.

        One of a chain; of a tree all nodes of a depth, the last emitted token first.
        """
        return (1, *(math.prod(self.widths[:depth]) for depth in range(1, len(self.widths))))

    @property
    def tree_nodes(self) -> int:
        """Candidates of the whole tree: each one has `widths[d]` below it at the next depth."""
        return sum(math.prod(self.widths[: depth + 1]) for depth in range(len(self.widths)))

    def right(self, rank: Sequence[int]) -> int:
        """How many tokens of a draft are right that starts where `rank` (of `Draws`) does."""
        most = len(self.widths) or len(rank)
        for depth in range(min(most, len(rank))):
            if rank[depth] >= (self.widths[depth] if self.widths else 1):
                return depth
        return min(most, len(rank))

    @property
    def most_tokens(self) -> int:
        """The most tokens of one target pass."""
        if self.widths:
            return 1 + self.tree_nodes
        pending = self.length.most - 1 if self.concurrent else 0
        return 1 + max(pending, (self.short or self.length.most) if self.serial else 0)

    @property
    def most_concurrent(self) -> int:
        """The most draft steps beside one target pass."""
        return self.length.most if self.concurrent else 0
