"""How many instructions a second the event engine runs on one core, `run` whole."""

from __future__ import annotations

import time

import numpy as np
import pytest

from accelsim import load_arch, load_trace
from accelsim.engine.engine import run
from accelsim.hardware.machine import build_machine
from accelsim.mapping.dataflow import map_fixed
from accelsim.mapping.lower import MacWork, lower
from accelsim.mapping.placement import Infeasible
from accelsim.program.mac import mac_program
from accelsim.program.program import Channel, Program, Queue, Resource, TokenUse
from tests.benchmarks.results import Results

INSTRUCTIONS_PER_SECOND = 10e6
ROUNDS = 7


def double_buffered(tiles: int) -> Program:
    """Two loads, an array and a store, two slots each, with durations that keep DRAM and array both busy."""
    rng = np.random.default_rng(0)
    one, zero, latency = np.ones(tiles, np.int64), np.zeros(tiles, np.int64), np.full(tiles, 100, np.int64)
    ends = {"ifmap": ("load_ifmap", "array"), "weight": ("load_weight", "array"), "output": ("array", "store")}
    waits: dict[str, list[TokenUse]] = {"load_ifmap": [], "load_weight": [], "array": [], "store": []}
    signals: dict[str, list[TokenUse]] = {name: [] for name in waits}
    channels = []
    for tile, (producer, consumer) in ends.items():
        channels += [
            Channel(f"{tile}_full", producer, consumer), Channel(f"{tile}_free", consumer, producer, 2)
        ]  # fmt: skip
        for name, giver, taker in ((f"{tile}_full", producer, consumer), (f"{tile}_free", consumer, producer)):
            signals[giver].append(TokenUse(name, one))
            waits[taker].append(TokenUse(name, one))
    lasts = {"load_ifmap": (10, 40), "load_weight": (10, 40), "array": (40, 90), "store": (5, 20)}
    queues = tuple(
        Queue(
            name, ("array" if name == "array" else "dram",), rng.integers(low, high, tiles),
            zero if name == "array" else latency, one, tuple(waits[name]), tuple(signals[name]),
        )
        for name, (low, high) in lasts.items()
    )  # fmt: skip
    return Program(queues, (Resource("dram"), Resource("array")), tuple(channels))


def per_second(program: Program) -> float:
    """Instructions by the processor time of the fastest of some rounds: what else runs here is left out."""
    run(program)
    seconds = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        timeline = run(program)
        seconds.append(time.process_time() - begin)
        assert timeline.deadlock == ()
    return program.instructions / min(seconds)


def at_least(results: Results, what: str, speed: float) -> None:
    results.at_least(f"engine instructions a second: {what}", speed / 1e6, INSTRUCTIONS_PER_SECOND / 1e6, "million")


def test_a_million_instructions(results: Results) -> None:
    speed = per_second(double_buffered(250_000))
    at_least(results, "double buffered, 4 queues", speed)


@pytest.mark.parametrize(
    ("workload", "name"), [("llama2_7b_prefill_2048", "gate_proj"), ("llama2_7b_decode_2048", "lm_head")]
)
def test_a_layer(workload: str, name: str, results: Results) -> None:
    trace = load_trace(workload)
    machine = build_machine(load_arch("apsq_llm_ws"))
    op = next(op for phase in trace.phases for op in phase.ops if name in op.name)
    work = lower(op, trace.tensor_by_id(), machine)
    assert isinstance(work, MacWork)
    mapping = map_fixed(work.problem, machine, "through")
    assert not isinstance(mapping, Infeasible)
    program = mac_program(work.problem, mapping, machine).program
    speed = per_second(program)
    at_least(results, f"{program.instructions:,} of {op.name}", speed)
