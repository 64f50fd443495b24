"""The instructions of passes as spans of a timeline, for pictures of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from accelsim.decoding.passes.program import QUEUES, PassProgram
from accelsim.decoding.passes.runs import OWNERS, Stream
from accelsim.decoding.passes.tabulate import Passes
from accelsim.decoding.policies import Policy
from accelsim.engine.engine import Timeline, run
from accelsim.report.trace_events import Span


def pass_spans(made: PassProgram, streams: Sequence[Stream], timeline: Timeline, offset_fs: int = 0) -> list[Span]:
    """Every instruction that lasts, while it keeps its queue's resource busy; those of an op that follow one another
    without a pause are one span."""
    names = {OWNERS.index(stream.owner): [name for one in stream.passes for name in one.names] for stream in streams}
    spans: list[Span] = []
    for track, queue, runs, starts in zip(QUEUES, made.program.queues, made.run_of, timeline.start_fs, strict=True):
        owners, ops = made.runs.owner[runs].tolist(), made.runs.op[runs].tolist()
        for owner, op, start, busy, bits in zip(
            owners, ops, starts.tolist(), queue.busy_fs.tolist(), queue.bits.tolist(), strict=True
        ):
            if not busy:
                continue
            begin, last = offset_fs + start, spans[-1] if spans else None
            span = Span(track, OWNERS[owner], names[owner][op], begin, begin + busy, bits)
            if last is not None and (last.track, last.owner, last.name, last.end_fs) == (*_of(span), begin):
                spans[-1] = replace(last, end_fs=span.end_fs, bits=last.bits + bits)
            else:
                spans.append(span)
    return spans


def _of(span: Span) -> tuple[str, str, str]:
    return span.track, span.owner, span.name


def round_of(policy: Policy) -> list[tuple[int, int, int]]:
    """Passes of a round of the policy, each of (tokens verified, draft steps beside it, tokens that each of these
    reads): from nothing pending on, and, where it drafts beside its passes, the one after a draft that was right."""
    steps = policy.length.most
    if policy.widths:
        return [*((0, 1, tokens) for tokens in policy.draft_tokens), (1 + policy.tree_nodes, 0, 1)]
    if not policy.concurrent:
        return [(0, steps, 1), (1 + steps, 0, 1)] if policy.serial else [(1, 0, 1), (1, 0, 1)]
    first = [(0, policy.short, 1), (1 + policy.short, steps, 1)] if policy.short else [(1, steps, 1)]
    return [*first, (steps, steps, 1)]


def round_spans(passes: Passes, rounds: Sequence[tuple[int, int, int]], context: int) -> list[Span]:
    """The passes of `round_of` one after the other, at one context."""
    spans: list[Span] = []
    offset = 0
    for tokens, drafts, draft_tokens in rounds:
        streams = passes.streams(tokens, drafts, context, draft_tokens)
        made = passes.program(streams)
        timeline = run(made.program)
        spans += pass_spans(made, streams, timeline, offset)
        offset += timeline.makespan_fs
    return spans
