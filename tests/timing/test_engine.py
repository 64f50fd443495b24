"""The event engine: programs small enough to count by hand, and random ones against a slow stepper."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.engine.engine import ResourceUse, Timeline, run
from accelsim.program.program import Channel, Program, Queue, Resource, TokenUse
from tests.reference.stepper import step_through


def _queue(
    name: str,
    busy: Sequence[int],
    resources: tuple[str, ...] = (),
    latency: int = 0,
    waits: Mapping[str, Sequence[int]] | None = None,
    signals: Mapping[str, Sequence[int]] | None = None,
) -> Queue:
    def uses(tokens: Mapping[str, Sequence[int]] | None) -> tuple[TokenUse, ...]:
        return tuple(TokenUse(channel, np.array(count, np.int64)) for channel, count in (tokens or {}).items())

    n = len(busy)
    durations = np.array(busy, np.int64)
    return Queue(
        name, resources, durations, np.full(n, latency, np.int64), np.zeros(n, np.int64), uses(waits), uses(signals)
    )


def _starts(timeline: Timeline) -> list[list[int]]:
    return [start.tolist() for start in timeline.start_fs]


def _double_buffer(
    slots: int, load_waits: Sequence[int] = (1, 1), array_waits: Sequence[int] = (1, 1), channels: str = "full free"
) -> Program:
    """The example of the engine's docstring, with any wait left out by a 0."""
    load = _queue("load", [3, 3], ("dram",), waits={"free": load_waits}, signals={"full": (1, 1)})
    array = _queue("array", [4, 4], ("array",), waits={"full": array_waits}, signals={"free": (1, 1)})
    tokens = (Channel("full", "load", "array"), Channel("free", "array", "load", slots))
    return Program((load, array), (Resource("dram"), Resource("array")), tokens)


@pytest.mark.parametrize(
    ("slots", "load", "array", "makespan", "dram_use", "array_use"),
    [
        (1, [0, 7], [3, 10], 14, (6, 4, 4), (8, 6, 0)),
        (2, [0, 3], [3, 7], 11, (6, 0, 5), (8, 3, 0)),
    ],
)
def test_double_buffering(
    slots: int,
    load: list[int],
    array: list[int],
    makespan: int,
    dram_use: tuple[int, int, int],
    array_use: tuple[int, int, int],
) -> None:
    timeline = run(_double_buffer(slots))
    assert _starts(timeline) == [load, array]
    assert [finish.tolist() for finish in timeline.finish_fs] == [[at + 3 for at in load], [at + 4 for at in array]]
    assert timeline.makespan_fs == makespan
    assert timeline.resources == (ResourceUse("dram", *dram_use), ResourceUse("array", *array_use))
    assert timeline.deadlock == ()


@pytest.mark.parametrize(
    ("load_waits", "array_waits", "load", "array", "makespan"),
    [
        ((1, 1), (0, 1), [0, 4], [0, 4], 8),  # C0 runs on a tile that is not there and frees its slot at 4
        ((1, 1), (1, 0), [0, 7], [3, 7], 11),  # C1 runs on the tile that L1 is only bringing in
        ((0, 1), (1, 1), [0, 3], [3, 7], 11),  # L0 takes no slot, so L1 overwrites the tile that C0 works on
        ((1, 0), (1, 1), [0, 3], [3, 7], 11),  # L1 does not wait for a slot: the same
        ((1, 1), (0, 0), [0, 4], [0, 4], 8),
        ((0, 0), (1, 1), [0, 3], [3, 7], 11),
    ],
)
def test_every_wait_matters(
    load_waits: tuple[int, int], array_waits: tuple[int, int], load: list[int], array: list[int], makespan: int
) -> None:
    """One slot, 14 with all waits; without any of them the answer is wrong, and this wrong."""
    timeline = run(_double_buffer(1, load_waits, array_waits))
    assert timeline.makespan_fs == makespan != run(_double_buffer(1)).makespan_fs
    assert _starts(timeline) == [load, array]


def test_missing_signals_deadlock_by_name() -> None:
    """Without slots nothing starts; without the signal of L1, C1 waits for ever."""
    assert run(_double_buffer(0)).deadlock == ("load[0] waits for free", "array[0] waits for full")
    assert run(_double_buffer(0)).makespan_fs == 0
    whole = _double_buffer(2)
    load = replace(whole.queues[0], signals=(TokenUse("full", np.array([1, 0], np.int64)),))
    timeline = run(replace(whole, queues=(load, whole.queues[1])))
    assert timeline.deadlock == ("array[1] waits for full",)
    assert _starts(timeline) == [[0, 3], [3, -1]]
    assert timeline.finish_fs[1].tolist() == [7, -1]
    assert timeline.makespan_fs == 7


def test_deadlock_of_a_cycle_names_both_heads() -> None:
    left = _queue("left", [1, 1], waits={"to_left": (0, 1)}, signals={"to_right": (0, 1)})
    right = _queue("right", [1, 1], waits={"to_right": (0, 1)}, signals={"to_left": (0, 1)})
    tokens = (Channel("to_left", "right", "left"), Channel("to_right", "left", "right"))
    timeline = run(Program((left, right), (), tokens))
    assert timeline.deadlock == ("left[1] waits for to_left", "right[1] waits for to_right")
    assert _starts(timeline) == [[0, -1], [0, -1]]


def test_shared_dram_serves_the_longest_ready() -> None:
    """Both heads are ready at 0 and the earlier queue wins; W1 too is ready from 0, so the tie is its again.

    cycle   0  1  2  3  4  5  6  7  8  9 10 11 12
    weight [W0  ][W1  ] .  .  . [W2  ]
    ifmap   .  .  .  . [I0     ] .  . [I1     ]
    """
    weight, ifmap = _queue("weight", [2, 2, 2], ("dram",)), _queue("ifmap", [3, 3], ("dram",))
    timeline = run(Program((weight, ifmap), (Resource("dram"),)))
    assert _starts(timeline) == [[0, 2, 7], [4, 9]]  # W2 is ready from 2, I1 only from 4
    assert timeline.resources == (ResourceUse("dram", 12, 0, 0),)
    swapped = run(Program((ifmap, weight), (Resource("dram"),)))
    assert _starts(swapped) == [[0, 3], [6, 8, 10]]  # I1 ties with W0 at 0; W0, W1, W2 are left


def test_tokens_decide_who_is_ready_longest() -> None:
    """psum's tokens are there from 1, weight's from 2: when dram is free at 5, psum goes, though listed last."""
    first = _queue("first", [5], ("dram",))
    tick = _queue("tick", [1, 1], signals={"psum_go": (1, 0), "weight_go": (0, 1)})
    weight = _queue("weight", [2], ("dram",), waits={"weight_go": (1,)})
    psum = _queue("psum", [3], ("dram",), waits={"psum_go": (1,)})
    tick = replace(tick, resources=("clock",))
    tokens = (Channel("psum_go", "tick", "psum"), Channel("weight_go", "tick", "weight"))
    timeline = run(Program((first, tick, weight, psum), (Resource("dram"), Resource("clock")), tokens))
    assert _starts(timeline) == [[0], [0, 1], [8], [5]]


def test_capacity_two_serves_two_at_once() -> None:
    queues = tuple(_queue(name, [4], ("ports",)) for name in ("a", "b", "c"))
    timeline = run(Program(queues, (Resource("ports", 2),)))
    assert _starts(timeline) == [[0], [0], [4]]
    assert timeline.makespan_fs == 8
    assert timeline.resources == (ResourceUse("ports", 6, 2, 0),)  # 12 server cycles on 2 servers


def test_every_resource_is_held() -> None:
    """b needs both and waits for the slower one; the free one stays unused meanwhile."""
    queues = (_queue("a", [5], ("dram",)), _queue("b", [2], ("dram", "array")), _queue("c", [1], ("array",)))
    timeline = run(Program(queues, (Resource("dram"), Resource("array"))))
    assert _starts(timeline) == [[0], [5], [0]]


def test_latency_does_not_hold_the_resource() -> None:
    """Loads follow each other every 2 cycles; each tile arrives 10 cycles after its load let go."""
    load = _queue("load", [2, 2, 2], ("dram",), latency=10, signals={"full": (1, 1, 1)})
    array = _queue("array", [1, 1, 1], ("array",), waits={"full": (1, 1, 1)})
    timeline = run(Program((load, array), (Resource("dram"), Resource("array")), (Channel("full", "load", "array"),)))
    assert _starts(timeline) == [[0, 2, 4], [12, 14, 16]]
    assert timeline.finish_fs[0].tolist() == [12, 14, 16]
    assert timeline.resources == (ResourceUse("dram", 6, 0, 11), ResourceUse("array", 3, 14, 0))


def test_an_instruction_of_no_time_needs_no_server() -> None:
    """An empty transfer passes its token on while dram is busy; the next real one waits its turn."""
    long = _queue("long", [5], ("dram",))
    load = _queue("load", [0, 2], ("dram",), signals={"full": (1, 1)})
    array = _queue("array", [1, 1], ("array",), waits={"full": (1, 1)})
    tokens = (Channel("full", "load", "array"),)
    timeline = run(Program((long, load, array), (Resource("dram"), Resource("array")), tokens))
    assert _starts(timeline) == [[0], [0, 5], [0, 7]]


def test_many_tokens_at_once() -> None:
    """A reduction takes three tiles and gives back two slots per issue."""
    load = _queue("load", [1, 1, 1, 1], ("dram",), waits={"free": (1, 1, 1, 1)}, signals={"full": (1, 1, 1, 1)})
    array = _queue("array", [2, 2], ("array",), waits={"full": (3, 1)}, signals={"free": (2, 0)})
    tokens = (Channel("full", "load", "array"), Channel("free", "array", "load", 3))
    timeline = run(Program((load, array), (Resource("dram"), Resource("array")), tokens))
    assert _starts(timeline) == [[0, 1, 2, 5], [3, 6]]


def test_empty_programs() -> None:
    assert run(Program((), ())).makespan_fs == 0
    timeline = run(Program((_queue("nothing", []),), (Resource("dram"),)))
    assert timeline.makespan_fs == 0
    assert timeline.resources == (ResourceUse("dram", 0, 0, 0),)
    assert timeline.deadlock == ()


def test_too_long_is_refused() -> None:
    with pytest.raises(OverflowError):
        run(Program((_queue("long", [2**61, 2**61, 2**61]),), ()))


def test_foreign_channel_is_refused() -> None:
    taker = _queue("taker", [1], waits={"full": (1,)})
    with pytest.raises(ValueError, match=r"taker.*full"):
        Program((taker,), (), (Channel("full", "giver", "somebody"),))


def test_a_channel_that_nobody_fills_is_a_deadlock() -> None:
    """`first` comes first and gives tokens elsewhere: they are not taken for those of `never`."""
    first = _queue("first", [1, 1], signals={"other": (1, 1)})
    taker = _queue("taker", [1, 1, 1], waits={"never": (1, 1, 1)})
    tokens = (Channel("other", "first", "taker"), Channel("never", "first", "taker", 2))
    timeline = run(Program((first, taker), (), tokens))
    assert timeline.deadlock == ("taker[2] waits for never",)
    assert _starts(timeline) == [[0, 0], [0, 0, -1]]  # neither holds a resource


def test_tokens_of_no_time_come_a_round_later() -> None:
    """At 0 `spark` is over at once and wakes `early`, listed first; `late`, ready all along, goes before it."""
    early = _queue("early", [3], ("dram",), waits={"go": (1,)})
    spark = _queue("spark", [0], signals={"go": (1,)})
    late = _queue("late", [2], ("dram",))
    program = Program((early, spark, late), (Resource("dram"),), (Channel("go", "spark", "early"),))
    assert _starts(run(program)) == [[2], [0], [0]] == step_through(program).start


def test_tokens_given_at_issue() -> None:
    """b may start when a has started, c only when a is over; in a chain every one starts with the one before."""
    queues = (
        _queue("a", [5], ("r",), signals={"started": [1], "over": [1]}),
        _queue("b", [2], waits={"started": [1]}),
        _queue("c", [2], waits={"over": [1]}),
    )
    channels = (Channel("started", "a", "b", at_issue=True), Channel("over", "a", "c"))
    program = Program(queues, (Resource("r"),), channels)
    assert _starts(run(program)) == [[0], [0], [5]] == step_through(program).start


def test_one_name_for_two_queues_is_refused() -> None:
    with pytest.raises(ValueError, match="two queues are called twin"):
        Program((_queue("twin", [1]), _queue("twin", [1])), ())
    with pytest.raises(ValueError, match="at least one server"):
        Program((_queue("a", [1], ("none",)),), (Resource("none", 0),))


def _random_program(seed: int, size: int) -> Program:
    """Up to four queues, resources and channels; waits and signals at random, so many get stuck."""
    rng = random.Random(seed)
    names = [f"q{i}" for i in range(rng.randint(1, 4))]
    resources = tuple(Resource(f"r{i}", rng.randint(1, 3)) for i in range(rng.randint(1, 3)))
    tokens = tuple(
        Channel(f"c{i}", rng.choice(names), rng.choice(names), rng.randint(0, 3), rng.random() < 0.3)
        for i in range(rng.randint(0, 4))
    )
    generous = rng.random() < 0.6  # more tokens given than taken, so that most such programs end
    queues = []
    for name in names:
        n = rng.randint(0, size)
        takes = [5, 4, 0 if generous else 1]
        waits = {c.name: rng.choices([0, 1, 2], takes, k=n) for c in tokens if c.consumer == name}
        gives = {c.name: rng.choices([0, 1, 2], [1, 4, 2], k=n) for c in tokens if c.producer == name}
        held = tuple(r.name for r in resources if rng.random() < 0.5)
        queue = _queue(name, rng.choices(range(6), k=n), held, 0, waits, gives)
        queues.append(replace(queue, latency_fs=np.array(rng.choices([0, 0, 1, 4], k=n), np.int64)))
    return Program(tuple(queues), resources, tokens)


def test_random_programs_equal_the_stepper() -> None:
    ended: list[bool] = []

    @settings(max_examples=1000, deadline=None, derandomize=True)
    @given(st.integers(0, 2**48), st.sampled_from(range(1, 9)))
    def check(seed: int, size: int) -> None:
        program = _random_program(seed, size)
        timeline, slow = run(program), step_through(program)
        assert _starts(timeline) == slow.start
        assert [finish.tolist() for finish in timeline.finish_fs] == slow.finish
        assert timeline.makespan_fs == max([0, *(end for finish in slow.finish for end in finish)])
        starts = zip(program.queues, slow.start, strict=True)
        stuck = {f"{queue.name}[{at.index(-1)}]" for queue, at in starts if -1 in at}
        assert {text.split()[0] for text in timeline.deadlock} == stuck
        for resource, use in zip(program.resources, timeline.resources, strict=True):
            held = slow.held[resource.name]
            assert (use.name, use.busy_fs) == (resource.name, sum(held) // resource.capacity)
            assert use.idle_fs == timeline.makespan_fs - max((t + 1 for t, n in enumerate(held) if n), default=0)
            assert use.busy_fs + use.stalled_fs + use.idle_fs == timeline.makespan_fs
            assert min(use.busy_fs, use.stalled_fs, use.idle_fs) >= 0
        ended.append(not stuck)

    check()
    assert min(ended.count(True), ended.count(False)) > 100
