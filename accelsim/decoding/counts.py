"""What a decoding run counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Counts:
    """Of one request, or of many together.

    `tokens` asked for, `surplus` ones that the last pass made beyond them, `passes` of the target, `stays`
    of them after which concurrent drafts went on (the first of those then equals the target's own token),
    draft steps before and beside the passes, how many of them were rejected and, at the end, still
    unverified; nodes that the target verified and rejected. Of a chain,
    serial_drafts + concurrent_drafts = accepted + stays + rejected_drafts + unverified.
    `rejected_pj`: dynamic energy of the rejected draft steps, and of the passes for their rejected nodes.
    """

    tokens: int
    surplus: int
    passes: int
    stays: int
    accepted: int
    serial_drafts: int
    concurrent_drafts: int
    rejected_drafts: int
    unverified: int
    verified_nodes: int
    rejected_nodes: int
    rejected_pj: float

    @property
    def tokens_per_pass(self) -> float:
        """Tokens that one target pass emits in the mean; the first token of an answer comes from the prefill."""
        return (self.accepted + self.passes) / self.passes if self.passes else 0.0


COUNTS = tuple(name for name in Counts.__annotations__ if name != "rejected_pj")
"""The whole numbers among them, in order."""
