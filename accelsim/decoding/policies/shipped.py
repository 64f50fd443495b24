"""The policies by name."""

from __future__ import annotations

from collections.abc import Callable

from accelsim.decoding.policies.lengths import DraftLength, fixed
from accelsim.decoding.policies.policy import Policy
from accelsim.errors import did_you_mean, user_error


def autoregressive(length: DraftLength, short: int, widths: tuple[int, ...]) -> Policy:
    """The target alone, a token a pass."""
    return Policy("autoregressive", False, False, fixed(1))


def vanilla(length: DraftLength, short: int, widths: tuple[int, ...]) -> Policy:
    """Draft, then verify (arXiv 2211.17192)."""
    return Policy("vanilla", True, False, length)


def tree(length: DraftLength, short: int, widths: tuple[int, ...]) -> Policy:
    """Draft the most likely tokens after every node, as many as the depth says, then verify all of them in one pass."""
    return Policy("tree", True, False, fixed(len(widths)), widths=widths)


def pearl(length: DraftLength, short: int, widths: tuple[int, ...]) -> Policy:
    """Draft beside every pass; with nothing pending the pass verifies the first token of it (arXiv 2408.11850)."""
    return Policy("pearl", False, True, length)


def apsd(length: DraftLength, short: int, widths: tuple[int, ...]) -> Policy:
    """Draft a short draft first, then beside the passes as long as all is right (ISSCC 2026, 31.1)."""
    return Policy("apsd", True, True, length, short=short)


POLICIES: dict[str, Callable[[DraftLength, int, tuple[int, ...]], Policy]] = {
    "autoregressive": autoregressive,
    "vanilla": vanilla,
    "tree": tree,
    "pearl": pearl,
    "apsd": apsd,
}


def make_policy(name: str, length: DraftLength, *, short: int = 2, widths: tuple[int, ...] = (4, 2, 1)) -> Policy:
    """A shipped policy: `short` is APSD's serial draft length, `widths` a tree's candidates by depth.

    UserError for an unknown name.
    """
    if name not in POLICIES:
        raise user_error("policy", name, "no such policy", did_you_mean(name, POLICIES))
    return POLICIES[name](length, short, widths)
