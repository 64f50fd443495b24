"""Passes on the four queues: by hand, against the step-by-step engine, and in random works of random shape."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import load_arch, simulate
from accelsim.decoding.model import LanguageModel
from accelsim.decoding.passes.program import ISSUES, QUEUES, Issue, PassProgram, pass_program
from accelsim.decoding.passes.runs import INTERLEAVES, Interleave, Stream
from accelsim.decoding.passes.stores import Port, Stores, build_stores
from accelsim.decoding.passes.tabulate import Passes
from accelsim.decoding.passes.work import OpCost, PassLowering, PassWork, op_tiles
from accelsim.engine.engine import Timeline, run
from accelsim.execute import Outcome
from accelsim.hardware.machine import build_machine
from accelsim.mapping.fit import demands
from accelsim.mapping.lower import MacWork, lower
from accelsim.outcomes import Outcomes
from accelsim.program.vector import slot_bits
from accelsim.workload.template import Binding, load_template
from tests.reference.stepper import step_through

STORES = Stores(4, Port(lambda bits: bits, 2), Port(lambda bits: -(-bits // 2), 1), Port(lambda bits: bits, 1))
"""Slots of 4 bits; DRAM and link take a bit a femtosecond, the stacked memory two."""


def op(compute: int, dram: int = 0, reram: int = 0, stored: int = 0, gather: int = 0) -> OpCost:
    return OpCost(compute, dram, reram, stored, gather, 1.0)


def work(*ops: OpCost) -> PassWork:
    """Ops of which each reads the one before it."""
    names = tuple(f"op{place}" for place in range(len(ops)))
    return PassWork(names, ops, tuple((place - 1,) if place else () for place in range(len(ops))))


def starts(made: PassProgram, queue: str) -> list[int]:
    return [int(at) for at in run(made.program).start_fs[QUEUES.index(queue)]]


def test_loads_run_ahead_of_the_computation_they_wait_for() -> None:
    """Two ops of two slots each (4 fs a load, 2 fs of latency) that compute for 3 fs a slot.

    load    [0   4)[4   8)[8  12)[12 16)
    compute         [6 9)  [10 13) [14 17) [18 21)
    """
    made = pass_program(
        [Stream("verify", (work(op(6, dram=8), op(6, dram=8)),))], STORES, "proportional", "out-of-order"
    )
    assert starts(made, "dram") == [0, 4, 8, 12]
    assert starts(made, "compute") == [6, 10, 14, 18]


def test_in_order_a_load_waits_for_the_computation_before_it_to_issue() -> None:
    made = pass_program([Stream("verify", (work(op(6, dram=8), op(6, dram=8)),))], STORES, "proportional", "in-order")
    assert starts(made, "dram") == [0, 6, 12, 18]
    assert starts(made, "compute") == [6, 12, 18, 24]


def test_slots_end_the_running_ahead() -> None:
    """A first op that computes for 100 fs holds its slot: eight loads fit, the ninth waits for it."""
    made = pass_program(
        [Stream("verify", (work(op(100, dram=4), op(9, dram=36)),))], STORES, "proportional", "out-of-order"
    )
    assert starts(made, "dram") == [0, 4, 8, 12, 16, 20, 24, 28, 106, 110]


def test_a_gather_holds_up_only_what_reads_it() -> None:
    """op0 computes until 5, its gather arrives at 5 + 3 + 1; op1 reads op0, op2 reads nothing and comes before it."""
    ops = (op(5, gather=3), op(1), op(1))
    apart = PassWork(("a", "b", "c"), ops, ((), (), (0,)))
    made = pass_program([Stream("verify", (apart,))], STORES, "proportional", "out-of-order")
    assert starts(made, "transceiver") == [5]
    assert starts(made, "compute") == [0, 5, 9]


def test_a_step_waits_for_the_gathers_of_the_step_before() -> None:
    step = work(op(5), op(5, gather=3))
    made = pass_program([Stream("draft", (step, step))], STORES, "proportional", "out-of-order")
    assert starts(made, "compute") == [0, 5, 14, 19]


def test_a_store_stands_behind_the_loads_that_may_run_ahead() -> None:
    """Eight slots: eight loads after op0 go before its store, although they stand behind it in program order."""
    ops = work(op(50, dram=4, stored=4), op(9, dram=36))
    ahead = pass_program([Stream("verify", (ops,))], STORES, "proportional", "out-of-order")
    assert starts(ahead, "dram") == [0, 4, 8, 12, 16, 20, 24, 28, 56, 60, 64]
    behind = pass_program([Stream("verify", (ops,))], STORES, "proportional", "in-order")
    assert starts(behind, "dram")[:3] == [0, 56, 60]


def test_pipelined_loads_stand_slots_earlier() -> None:
    """In order, each load waits for the computation before it to issue; moved up, eight go first.

    Computations wait behind them at first, and none for a load's latency later on.
    """
    stream = [Stream("verify", (work(*[op(3, dram=4)] * 12),))]
    made = {issue: pass_program(stream, STORES, "proportional", issue) for issue in ISSUES}
    assert starts(made["in-order"], "dram")[:4] == [0, 6, 12, 18]  # two of latency between two loads
    assert starts(made["pipelined"], "dram")[:8] == [0, 4, 8, 12, 16, 20, 24, 28]
    ends = {issue: run(each.program).makespan_fs for issue, each in made.items()}
    assert ends["out-of-order"] <= ends["pipelined"] < ends["in-order"]


def test_tiles_are_those_of_the_mapping() -> None:
    """With a buffer for each, the tiles of inputs and result are all that the mapping asks of their buffers."""
    arch = load_arch("apsq_llm_ws")
    machine = build_machine(arch)
    trace = load_template("llama_160m").bind("verify", Binding(40, 300, 4, 8, 8))
    outcomes = Outcomes(machine, arch)
    kinds = Counter[type]()
    for each in trace.phases[0].ops[:40]:
        lowered = lower(each, trace.tensor_by_id(), machine)
        outcome = outcomes.of(lowered, each.name)
        assert isinstance(outcome, Outcome)
        tiles = op_tiles(lowered, outcome, machine)
        if isinstance(lowered, MacWork):
            assert outcome.nest is not None
            needed = demands(lowered.problem, outcome.nest, machine)
            assert (tiles.inputs, tiles.outputs) == (needed["ifmap_buffer"], needed["psum_buffer"])
        else:
            slots = [slot_bits(lowered, machine, buffer) for buffer in (machine.ifmap_buffer, machine.psum_buffer)]
            assert [tiles.inputs, tiles.outputs] == slots
        kinds[type(lowered)] += 1
        assert tiles.outputs > 0
    assert min(kinds.values()) > 5


def test_only_the_last_part_of_a_prompt_has_a_head() -> None:
    passes = Passes(load_arch("apsq_llm_ws"), LanguageModel(load_template("llama_160m")), None)
    heads = [
        sum("lm_head" in name for name in passes.work("verify", "prefill", 64, context, whole).names)
        for context, whole in ((0, False), (64, True))
    ]
    assert heads == [0, 1]
    parts = passes.cost([Stream("verify", (passes.work("verify", "prefill", 64, 0, False),))])
    last = passes.cost([Stream("verify", (passes.work("verify", "prefill", 70, 64, True),))])
    np.testing.assert_allclose(passes.prefill(134, 64), parts + last)  # six at the end go with the chunk before


def test_both_owners_proceed_at_the_same_share() -> None:
    verify, draft = work(*[op(4, dram=4)] * 6), work(*[op(1, reram=4)] * 2)
    streams = [Stream("verify", (verify,)), Stream("draft", (draft,))]
    made = pass_program(streams, STORES, "proportional", "out-of-order")
    assert "".join("vd"[owner] for owner in made.runs.owner) == "vvdvvvdv"
    last = pass_program(streams, STORES, "verify_first", "out-of-order")
    assert list(last.runs.owner) == [0] * 6 + [1] * 2
    first = pass_program(streams, STORES, "draft_first", "out-of-order")
    assert list(first.runs.owner) == [1] * 2 + [0] * 6


def _random_streams(rng: random.Random) -> list[Stream]:
    def some_work() -> PassWork:
        ops, after = [], []
        for place in range(rng.randint(1, 6)):
            sizes = [rng.choice([0, rng.randint(1, 30)]) for _ in range(4)]
            ops.append(op(rng.randint(0, 9), *sizes))
            after.append(tuple(earlier for earlier in range(place) if rng.random() < 0.5))
        return PassWork(tuple(f"op{place}" for place in range(len(ops))), tuple(ops), tuple(after))

    streams = [Stream("verify", (some_work(),)), Stream("draft", tuple(some_work() for _ in range(rng.randint(1, 3))))]
    return rng.choice([streams, streams[:1], streams[1:]])


def _program_order(made: PassProgram, timeline: Timeline) -> list[int]:
    """Starts of all instructions in program order, loads of a run first."""
    rank = {"dram": 0, "reram": 1, "compute": 2, "transceiver": 3}
    placed = []
    for name, runs, queue, at in zip(QUEUES, made.run_of, made.program.queues, timeline.start_fs, strict=True):
        stores = next((use.count for use in queue.waits if use.channel == "results"), np.zeros(len(queue), np.int64))
        for run_, store, start in zip(runs, stores, at, strict=True):
            placed.append((int(run_), 4 if store else rank[name], int(start)))
    return [start for _, _, start in sorted(placed)]


@pytest.mark.parametrize("interleave", INTERLEAVES)
@pytest.mark.parametrize("issue", ISSUES)
def test_random_passes(interleave: Interleave, issue: Issue) -> None:
    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(st.integers(0, 2**40))
    def check(seed: int) -> None:
        streams = _random_streams(random.Random(seed))
        made = pass_program(streams, STORES, interleave, issue)
        timeline = run(made.program)
        assert timeline.deadlock == ()
        slow = step_through(made.program)
        assert [at.tolist() for at in timeline.start_fs] == slow.start
        assert timeline.makespan_fs >= max(use.busy_fs for use in timeline.resources)
        ops = [op for stream in streams for op in stream.ops]
        moved = {queue.name: int(queue.bits.sum()) for queue in made.program.queues}
        assert moved["dram"] == sum(one.dram_bits + one.stored_bits for one in ops)
        assert moved["reram"] == sum(one.reram_bits for one in ops)
        assert moved["transceiver"] == sum(one.gather_bits for one in ops)
        busy = {use.name: use.busy_fs for use in timeline.resources}
        assert busy["compute"] == sum(one.compute_fs for one in ops)
        if issue == "in-order":
            issued = _program_order(made, timeline)
            assert all(before <= after for before, after in itertools.pairwise(issued))
            assert (
                timeline.makespan_fs
                >= run(pass_program(streams, STORES, interleave, "out-of-order").program).makespan_fs
            )

    check()


def test_bytes_are_the_simulators() -> None:
    """What a pass streams is what the report of the same trace moves, but for activations that stay on the chip."""
    arch = load_arch("apsq_llm_ws")
    machine = build_machine(arch)
    trace = load_template("llama_160m").bind("verify", Binding(4, 300, 4, 8, 8))
    passed = PassLowering(machine, arch).of(trace, "verify")
    report = simulate(arch, trace)
    moved = [row for row in report.rows if row.block == "dram" and row.action in ("read", "write")]
    streamed = [row for row in moved if row.operand not in ("ifmap", "ofmap", "psum")]
    assert passed.dram_bits == sum(row.bits_moved for row in streamed)
    assert sum(row.bits_moved for row in moved) > passed.dram_bits
    cache = 2 * 12 * 12 * 64 * 304 * 8
    assert (
        cache <= sum(row.bits_useful for row in streamed if row.operand == "kv" and row.action == "read") < 1.1 * cache
    )
    stores = build_stores(machine)
    timeline = run(pass_program([Stream("verify", (passed,))], stores, "proportional", "out-of-order").program)
    busy = {use.name: use.busy_fs for use in timeline.resources}
    assert timeline.makespan_fs >= max(busy.values())
    assert busy["compute"] >= -(-trace.macs // machine.peak_macs_per_cycle) * machine.period_fs
    assert busy["dram"] >= passed.dram_bits // 8 * machine.dram.fs_per_byte
