"""What a pass of the draft, of the target, or of both side by side costs, tabulated over context lengths.

A cost is a row of `COLUMNS`. Between two tabulated contexts it is interpolated linearly. Decoding policies
are run over such tables, a million tokens in seconds, instead of over an engine run for every pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

QUEUES = ("transceiver", "compute", "reram", "dram")
COLUMNS = ("latency_fs", "energy_pj", "dram_bits", "reram_bits", *(f"{queue}_busy_fs" for queue in QUEUES))
"""Columns of a cost; the energy is dynamic, static power is charged by time."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PassCosts:
    """Costs of passes at B contexts (tokens in the KV cache before the pass) and P prompt lengths.

    `draft` (S, B, 8): a serial draft step of a policy, the last of S for all later ones (S = 1: one token
    a step; a tree's steps differ). `verify` (N, B, 8): the target handles n = 1..N
    tokens at once, row n - 1 (n = 1 is plain decoding). `together` (N, G, B, 8): the target handles n
    tokens while the draft decodes g = 1..G, one after the other, on the same queues. `prefill` (P, 8):
    both models read a prompt of `prompts` tokens. NaN where a pass was not tabulated.

    ValueError for other shapes, contexts or prompts that do not ascend, or a negative cost.
    """

    contexts: NDArray[np.int64]
    draft: Floats
    verify: Floats
    together: Floats
    prompts: NDArray[np.int64]
    prefill: Floats
    static_mw: float

    def __post_init__(self) -> None:
        points, width = len(self.contexts), len(COLUMNS)
        wanted = {
            "draft": (max(1, len(self.draft)), points, width),
            "verify": (*self.verify.shape[:1], points, width),
            "together": (*self.together.shape[:2], points, width),
            "prefill": (len(self.prompts), width),
        }
        for name, shape in wanted.items():
            table: Floats = getattr(self, name)
            if table.shape != shape:
                raise ValueError(f"{name} has shape {table.shape}, and {shape} is wanted")
            if (table < 0).any():
                raise ValueError(f"{name} holds a negative cost")
        for name in ("contexts", "prompts"):
            values: NDArray[np.int64] = getattr(self, name)
            if not len(values) or values[0] < 0 or (np.diff(values) <= 0).any():
                raise ValueError(f"{name} do not ascend from 0 or more")
        if not self.static_mw >= 0:
            raise ValueError(f"static power of {self.static_mw} mW")

    @property
    def most_verified(self) -> int:
        """N: the most tokens of one target pass."""
        return int(self.verify.shape[0])

    @property
    def most_together(self) -> int:
        """G: the most draft steps beside one target pass."""
        return int(self.together.shape[1])

    def draft_at(self, step: int, context: float) -> Floats:
        """A serial draft step, (8,)."""
        return at(self.contexts, self.draft[min(step, len(self.draft) - 1)], context)

    def verify_at(self, tokens: int, context: float) -> Floats:
        """One target pass over `tokens` tokens, (8,)."""
        return at(self.contexts, self.verify[tokens - 1], context)

    def together_at(self, tokens: int, drafts: int, context: float) -> Floats:
        """One target pass over `tokens` tokens beside `drafts` draft steps, (8,)."""
        return at(self.contexts, self.together[tokens - 1, drafts - 1], context)

    def prefill_at(self, prompt: float) -> Floats:
        """Both models over a prompt, (8,)."""
        return at(self.prompts, self.prefill, prompt)


def at(points: NDArray[np.int64], table: Floats, where: float) -> Floats:
    """Rows of `table` (points, 8) interpolated at `where`, extended along the nearest segment beyond the ends."""
    if len(points) == 1:
        only: Floats = table[0]
        return only
    upper = min(max(int(np.searchsorted(points, where)), 1), len(points) - 1)
    share = (where - points[upper - 1]) / (points[upper] - points[upper - 1])
    result: Floats = table[upper - 1] + share * (table[upper] - table[upper - 1])
    return result


def no_costs(tokens: int, drafts: int) -> PassCosts:
    """Passes of up to `tokens` tokens beside up to `drafts` draft steps that cost nothing: only their number counts."""
    start, width = np.zeros(1, np.int64), len(COLUMNS)
    verify, together = np.zeros((tokens, 1, width)), np.zeros((tokens, drafts, 1, width))
    return PassCosts(start, np.zeros((1, 1, width)), verify, together, start, np.zeros((1, width)), 0.0)
