"""A timeline as Chrome trace events, which https://ui.perfetto.dev and chrome://tracing open.

One process, a thread (track) per queue, a complete event ("X") per instruction: its name is its owner
and op, its category the owner, its times in microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

FS_PER_US = 10**9
COLOURS = {"verify": "thread_state_running", "draft": "rail_response", "prefill": "rail_load"}
"""chrome://tracing's names of colours; Perfetto colours by the name, which begins with the owner."""
PROCESS = 1


@dataclass(frozen=True)
class Span:
    """One instruction: which track it is on, whose it is, what it does, from when to when, and what it moves."""

    track: str
    owner: str
    name: str
    start_fs: int
    end_fs: int
    bits: int = 0


def trace_events(title: str, tracks: Sequence[str], spans: Sequence[Span]) -> str:
    """The JSON text of a trace; tracks stand in the order given. ValueError for a span on none of them."""
    number = {track: place + 1 for place, track in enumerate(tracks)}
    events: list[dict[str, object]] = [_meta("process_name", 0, {"name": title})]
    for track, thread in number.items():
        events.append(_meta("thread_name", thread, {"name": track}))
        events.append(_meta("thread_sort_index", thread, {"sort_index": thread}))
    for span in sorted(spans, key=lambda span: (span.start_fs, span.track, span.end_fs)):
        if span.track not in number or span.end_fs < span.start_fs:
            raise ValueError(f"no track for {span}, or it ends before it starts")
        events.append(
            {
                "ph": "X",
                "name": f"{span.owner} {span.name}",
                "cat": span.owner,
                "ts": span.start_fs / FS_PER_US,
                "dur": (span.end_fs - span.start_fs) / FS_PER_US,
                "pid": PROCESS,
                "tid": number[span.track],
                "cname": COLOURS.get(span.owner, "grey"),
                "args": {"bits": span.bits} if span.bits else {},
            }
        )
    head = {"displayTimeUnit": "ns", "otherData": {"title": title}}
    lines = ",\n".join(json.dumps(event, separators=(",", ":")) for event in events)
    return json.dumps(head)[:-1] + f', "traceEvents": [\n{lines}\n]}}\n'


def _meta(name: str, thread: int, args: dict[str, object]) -> dict[str, object]:
    return {"ph": "M", "name": name, "pid": PROCESS, "tid": thread, "args": args}
