"""What a recorded draft and target are worth to every policy: tokens per target pass by draft length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from accelsim.decoding.acceptance import Acceptance, Recorded
from accelsim.decoding.policies import Policy, make_policy
from accelsim.decoding.policies.lengths import DraftLength, fixed
from accelsim.decoding.recorded import read_acceptance
from accelsim.decoding.replay import replay

TOKENS = 200_000
SHORT = 2
LENGTHS = (1, 2, 3, 4, 5, 6, 8)
PARALLEL_LENGTHS = (2, 3, 4, 5, 6, 8)
TREES = ((2, 1), (3, 2, 1), (4, 2, 1, 1))
ENTROPY_BITS = (1.0, 2.0, 3.0)


def acceptance_table(path: Path, seed: int) -> list[dict[str, str]]:
    """A row a policy and draft length: a trace file replayed over 200,000 tokens, beside i.i.d. acceptance.

    `independent` is (1 - a^(g+1)) / (1 - a) at the trace's mean acceptance a (arXiv 2211.17192, equation 1),
    for the fixed serial drafts that it holds for.
    """
    trace = read_acceptance(path)
    sampled, by_rank = Recorded(trace), Recorded(trace, greedy=True)
    rows = []
    for length in LENGTHS:
        policy = make_policy("vanilla", fixed(length))
        rows.append(_row(policy, str(length), sampled, seed, _independent(sampled.mean, length)))
    for name in ("pearl", "apsd"):
        for length in PARALLEL_LENGTHS:
            rows.append(_row(make_policy(name, fixed(length), short=SHORT), str(length), sampled, seed))
    heuristic = make_policy("vanilla", DraftLength("heuristic", 5, 16))
    rows.append(_row(heuristic, "heuristic from 5", sampled, seed))
    for limit in ENTROPY_BITS:
        policy = make_policy("vanilla", DraftLength("entropy", 1, 8, limit))
        rows.append(_row(policy, f"up to 8, to {limit:g} bits of entropy", sampled, seed))
    for widths in TREES:
        policy = make_policy("tree", fixed(1), widths=widths)
        rows.append(_row(policy, "tree " + _joined(widths), by_rank, seed))
    return rows


def _row(policy: Policy, length: str, acceptance: Acceptance, seed: int, independent: str = "") -> dict[str, str]:
    counts = replay(policy, acceptance, TOKENS, seed)
    drafts = counts.serial_drafts + counts.concurrent_drafts
    return {
        "policy": policy.name,
        "draft_length": length,
        "acceptance": f"{acceptance.mean:.4f}",
        "tokens_per_pass": f"{counts.tokens_per_pass:.4f}",
        "independent": independent,
        "draft_steps_per_pass": f"{drafts / counts.passes:.4f}",
        "rejected_draft_share": f"{counts.rejected_drafts / drafts:.4f}",
        "rejected_node_share": f"{counts.rejected_nodes / (counts.verified_nodes + counts.passes):.4f}",
        "stayed_parallel_share": f"{counts.stays / counts.passes:.4f}",
    }


def _independent(mean: float, length: int) -> str:
    return f"{sum(mean**i for i in range(length + 1)):.4f}"


def _joined(widths: Sequence[int]) -> str:
    return "x".join(map(str, widths))
