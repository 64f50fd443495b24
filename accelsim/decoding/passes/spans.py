"""The instructions of passes as spans of a timeline, for pictures of it."""

from __future__ import annotations

from collections.abc import Sequence

from accelsim.decoding.passes.program import QUEUES, PassProgram
from accelsim.decoding.passes.runs import OWNERS, Stream
from accelsim.decoding.passes.tabulate import Passes
from accelsim.engine.engine import Timeline, run
from accelsim.report.trace_events import Span


def pass_spans(made: PassProgram, streams: Sequence[Stream], timeline: Timeline, offset_fs: int = 0) -> list[Span]:
    """Every instruction that lasts, while it keeps its queue's resource busy."""
    names = {OWNERS.index(stream.owner): [name for one in stream.passes for name in one.names] for stream in streams}
    spans = []
    for track, queue, runs, starts in zip(QUEUES, made.program.queues, made.run_of, timeline.start_fs, strict=True):
        owners, ops = made.runs.owner[runs].tolist(), made.runs.op[runs].tolist()
        for owner, op, start, busy, bits in zip(
            owners, ops, starts.tolist(), queue.busy_fs.tolist(), queue.bits.tolist(), strict=True
        ):
            if busy:
                begin = offset_fs + start
                spans.append(Span(track, OWNERS[owner], names[owner][op], begin, begin + busy, bits))
    return spans


def round_spans(passes: Passes, rounds: Sequence[tuple[int, int]], context: int) -> list[Span]:
    """Passes one after the other, each of (tokens verified, draft steps beside it), at one context."""
    spans: list[Span] = []
    offset = 0
    for tokens, drafts in rounds:
        streams = passes.streams(tokens, drafts, context)
        made = passes.program(tokens, drafts, context)
        timeline = run(made.program)
        spans += pass_spans(made, streams, timeline, offset)
        offset += timeline.makespan_fs
    return spans
