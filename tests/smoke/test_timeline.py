"""The pictures of a timeline: Chrome trace events that a viewer takes, and the Gantt chart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from accelsim.report.gantt import save_gantt
from accelsim.report.trace_events import Span, trace_events

TRACKS = ("transceiver", "compute", "reram", "dram")
SPANS = [
    Span("dram", "verify", "q_proj", 0, 4 * 10**9, 64),
    Span("compute", "verify", "q_proj", 4 * 10**9, 7 * 10**9),
    Span("reram", "draft", "up_proj", 10**9, 2 * 10**9, 8),
]


def check_schema(text: str) -> list[dict[str, object]]:
    """What the Trace Event Format asks of the JSON Object Format and of the two kinds of event used here."""
    document = json.loads(text)
    assert document["displayTimeUnit"] in ("ms", "ns")
    events: list[dict[str, object]] = document["traceEvents"]
    for event in events:
        assert event["ph"] in ("X", "M")
        assert [type(event[key]) for key in ("pid", "tid", "name", "args")] == [int, int, str, dict]
        if event["ph"] == "X":
            assert isinstance(event["cat"], str)
            assert all(isinstance(event[key], float | int) for key in ("ts", "dur"))
            assert min(event["ts"], event["dur"]) >= 0  # type: ignore[call-overload]
    return events


def test_trace_events() -> None:
    events = check_schema(trace_events("a pass", TRACKS, SPANS))
    threads = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}  # type: ignore[index]
    assert list(threads.values()) == list(TRACKS)
    drawn = [event for event in events if event["ph"] == "X"]
    assert [(threads[event["tid"]], event["name"], event["ts"], event["dur"]) for event in drawn] == [
        ("dram", "verify q_proj", 0.0, 4.0),
        ("reram", "draft up_proj", 1.0, 1.0),
        ("compute", "verify q_proj", 4.0, 3.0),
    ]
    assert len({event["cname"] for event in drawn}) == 2
    with pytest.raises(ValueError, match="no track"):
        trace_events("x", ("dram",), SPANS)


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_gantt(tmp_path: Path, suffix: str, magic: bytes) -> None:
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        save_gantt("a pass", TRACKS, SPANS, path)
    assert paths[0].read_bytes().startswith(magic)
    assert paths[0].read_bytes() == paths[1].read_bytes()
