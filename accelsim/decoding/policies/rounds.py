"""What a round of speculative decoding does to the text and to both KV caches.

Of a draft the leading right tokens are accepted; after them the target emits a token of its own: the
correction of the first wrong one, or one more (Y. Leviathan et al., arXiv 2211.17192, algorithm 1). If the
draft wrote on meanwhile and the target's own token is the first of those, the rest of them is a draft
that follows the text (T. Liu et al., PEARL, arXiv 2408.11850, post-verify); otherwise it is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class State:
    """Between two rounds: `emitted` tokens after a prompt of `prompt`, then `pending` drafted ones not yet verified.

    `target_kv` and `draft_kv` are the tokens whose keys and values each model holds; `length` is the draft
    length in force.
    """

    prompt: int
    emitted: int
    pending: int
    target_kv: int
    draft_kv: int
    length: int


@dataclass(frozen=True)
class Round:
    """One target pass: `serial` draft steps before it, `concurrent` ones beside it.

    The pass handles the last emitted token and `nodes` drafted ones that are at most `depth` deep: as
    many as it is deep for a chain, more for a tree.
    """

    serial: int
    depth: int
    nodes: int
    concurrent: int

    @property
    def tokens(self) -> int:
        """How many tokens the target handles at once."""
        return self.nodes + 1


@dataclass(frozen=True)
class Outcome:
    """What a round came to. Drafts are draft tokens: made = accepted + rejected + still pending."""

    state: State
    emitted: int
    accepted: int
    rejected_drafts: int
    rejected_nodes: int
    stayed: bool
    """Whether concurrent drafts go on to be verified."""


def start(prompt: int, length: int) -> State:
    """After both models have read the prompt: the target's first token is emitted, nothing is drafted."""
    return State(prompt, 1, 0, prompt, prompt, length)


def after(state: State, round_: Round, right: int, length: int) -> Outcome:
    """The state once the target has spoken; the first `right` tokens of the draft, concurrent ones too, are right.

    Of a tree that says how deep the right path goes. `length` is the draft length from now on.
    """
    accepted = min(right, round_.depth)
    whole = accepted == round_.depth
    stayed = whole and round_.concurrent > 0 and right > round_.depth
    pending = round_.concurrent - 1 if stayed else 0
    emitted = state.emitted + accepted + 1
    total = state.prompt + emitted
    # The draft's last token is read by it only with the next one; what it holds of a dropped draft goes.
    drafted = state.prompt + state.emitted + state.pending + round_.serial + round_.concurrent
    read = drafted - 1 if round_.serial + round_.concurrent else state.draft_kv
    kept = min(read, total + pending - 1) if whole else min(read, total - 1)
    new = State(state.prompt, emitted, pending, total - 1, kept, length)
    dropped = 0 if stayed else round_.concurrent
    own = round_.depth - accepted  # of a chain; a tree makes its nodes depth by depth
    return Outcome(new, accepted + 1, accepted, own + dropped, round_.nodes - accepted, stayed)


def check_invariants(state: State) -> None:
    """AssertionError with the state if it cannot be one between two rounds."""
    total = state.prompt + state.emitted
    right = (
        state.emitted >= 1
        and state.pending >= 0
        and state.length >= 0
        and state.target_kv == total - 1
        and state.prompt <= state.draft_kv <= total + state.pending - 1
    )
    assert right, state
