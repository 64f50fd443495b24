"""Weights loaded during the op before: two ops counted by hand, random sequences, and what is simulated how often."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import load_arch, load_trace, simulate, simulation
from accelsim import outcomes as outcomes_module
from accelsim import prefetch as prefetching
from accelsim.execute import Outcome, execute
from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping.lower import MacWork, Work
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.vector import VectorProblem
from accelsim.prefetch import Prefetcher, Step
from accelsim.report import Report
from accelsim.spec.models import ArchSpec, MappingRules
from accelsim.validate.random_nests import problem_of
from accelsim.workload import Trace
from tests.reference.cases import chain_machine_of, machine_of, rules_of
from tests.timing.test_hand_timing import spec


def with_prefetch(arch: ArchSpec) -> ArchSpec:
    return arch.model_copy(update={"mapping": arch.mapping.model_copy(update={"prefetch": "weights"})})


def two_matmuls(kind: str = "weight", phases: int = 1) -> Trace:
    """4 x 4 x 4 twice, in one phase or each in its own, the second operand of the given kind."""
    trace = load_trace("matmul:4x4x4")
    (phase,) = trace.phases
    first, second = (dataclasses.replace(phase.ops[0], id=i, name=f"matmul_{i}") for i in range(2))
    weight = first.inputs[1]
    tensors = tuple(
        dataclasses.replace(tensor, kind=kind) if tensor.id == weight else tensor for tensor in trace.tensors
    )
    if phases == 1:
        split = (dataclasses.replace(phase, ops=(first, second)),)
    else:
        split = tuple(dataclasses.replace(phase, name=op.name, ops=(op,)) for op in (first, second))
    return dataclasses.replace(trace, tensors=tensors, phases=split)


def cycles(report: Report) -> list[tuple[int, int]]:
    return [(op.cycles, op.prefetch_saved_cycles) for op in report.ops]


def test_hidden_behind_the_array() -> None:
    # Alone (see test_compute_bound): ifmap (0, 2), weights (2, 3), (3, 4), array (3, 7), (7, 11), store until 12.
    # The next op's first weights come at (4, 5). There weight 1 comes at (2, 3), array (2, 6), (6, 10), end 11.
    arch = spec(8.0)
    assert cycles(simulate(arch, two_matmuls())) == [(12, 0), (12, 0)]
    report = simulate(with_prefetch(arch), two_matmuls())
    assert cycles(report) == [(12, 0), (11, 1)]
    # 48 B each and 8 a cycle, but 8 B of the second move in the first: the bound counts them there.
    assert [dict(op.lower_bounds)["dram"] for op in report.ops] == [7, 5]


def test_not_where_the_dram_has_no_time() -> None:
    # The stores have to wait as long for the prefetch as the next op for its weights: 56 + 40 = 48 + 48.
    assert cycles(simulate(with_prefetch(spec(1.0)), two_matmuls())) == [(48, 0), (48, 0)]


@pytest.mark.parametrize(("capacity_bits", "saved"), [(128, 0), (191, 0), (192, 1)])
def test_only_where_there_is_room(capacity_bits: int, saved: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two slots of a 64-bit tile, and one more for the tile of the next op."""

    def small(arch: ArchSpec) -> Machine:
        machine = build_machine(arch)
        return machine.with_memory(dataclasses.replace(machine.weight_buffer, capacity_bits=capacity_bits))

    monkeypatch.setattr(simulation, "build_machine", small)
    assert cycles(simulate(with_prefetch(spec(8.0)), two_matmuls())) == [(12, 0), (12 - saved, saved)]


@pytest.mark.parametrize("trace", [two_matmuls("activation"), two_matmuls("kv"), two_matmuls(phases=2)])
def test_only_weights_and_only_within_a_phase(trace: Trace) -> None:
    assert cycles(simulate(with_prefetch(spec(8.0)), trace)) == [(12, 0), (12, 0)]


def works_of(rng: random.Random, arch: ArchSpec) -> list[Work]:
    works: list[Work] = []
    for _ in range(rng.randint(2, 5)):
        if rng.random() < 0.3:
            rows, cols, bits = rng.randint(1, 40), rng.randint(1, 40), rng.choice([4, 8, 16])
            ifmap, ofmap = ((("ifmap", rows * cols, bits),), (("ofmap", rows * cols, bits),))
            works.append(VectorProblem("softmax", "softmax", rows, cols, ifmap, ofmap))
        else:
            works.append(MacWork(problem_of(rng, 12, rules_of(arch)), "weight"))
    return works


def dram_bits(outcome: Outcome) -> int:
    own = sum(flow.bits_useful for flow in outcome.flows if flow.block == "dram")
    return own + outcome.timing.next_bits - outcome.timing.preloaded_bits


@pytest.mark.parametrize("draw", [machine_of, chain_machine_of])
def test_random_sequences(draw: Callable[[random.Random], tuple[ArchSpec, Machine]]) -> None:
    saved: list[int] = []

    @settings(max_examples=400, deadline=None, derandomize=True)
    @given(st.integers(0, 2**48))
    def check(seed: int) -> None:
        rng = random.Random(seed)
        arch, machine = draw(rng)
        works = works_of(rng, arch)
        steps = [Step(work, execute(work, machine, arch.mapping), rng.random() < 0.8) for work in works]
        alone = [step.outcome for step in steps if isinstance(step.outcome, Outcome)]
        found = [outcome for outcome in Prefetcher(machine).run(steps) if isinstance(outcome, Outcome)]
        assert len(found) == len(alone)
        assert [outcome.flows for outcome in found] == [outcome.flows for outcome in alone]
        total = sum(outcome.prefetch_saved_cycles for outcome in found)
        assert sum(outcome.cycles for outcome in found) == sum(outcome.cycles for outcome in alone) - total
        assert all(outcome.prefetch_saved_cycles >= 0 for outcome in found)
        for outcomes in zip(*([outcome.timing for outcome in part] for part in (found, alone)), strict=True):
            assert len({timing.compute_cycles for timing in outcomes}) == 1
        for outcome in found:
            macs = outcome.timing.macs
            assert outcome.cycles >= macs / machine.peak_macs_per_cycle
            assert outcome.timing.makespan_fs >= dram_bits(outcome) // 8 * machine.dram.fs_per_byte
            stalls = sum(fs for _, fs in outcome.timing.stalls)
            assert stalls == outcome.timing.makespan_fs - outcome.timing.compute_cycles * machine.period_fs
        assert sum(map(dram_bits, found)) == sum(map(dram_bits, alone))
        busy = [sum(outcome.timing.resources[0].busy_fs for outcome in part) for part in (found, alone)]
        assert busy[0] == busy[1]
        saved.append(total)

    check()
    assert sum(map(bool, saved)) > len(saved) / 10


@pytest.mark.parametrize(
    ("arch", "workload"), [("apsq_edge_is", "bert_base"), ("apsq_llm_ws", "llama2_7b_decode_2048")]
)
def test_whole_models(arch: str, workload: str) -> None:
    plain, trace = load_arch(arch), load_trace(workload)
    without, with_ = simulate(plain, trace), simulate(with_prefetch(plain), trace)
    saved = sum(op.prefetch_saved_cycles for op in with_.ops)
    assert with_.totals.cycles == without.totals.cycles - saved < without.totals.cycles
    dynamic = [[row for row in report.rows if row.action != "leakage"] for report in (with_, without)]
    assert dynamic[0] == dynamic[1]


@pytest.mark.parametrize("rule", ["none", "weights"])
def test_equal_ops_are_simulated_once(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """12 equal layers: as many simulations as there are kinds of op, and every op's outcome is its own."""
    executed: list[Work] = []
    retimed: list[object] = []

    def execute_counted(work: Work, *rest: object) -> Outcome | Infeasible:
        executed.append(work)
        return execute(work, *rest)  # type: ignore[arg-type]

    def retime_counted(work: Work, outcome: Outcome, machine: Machine, prefetch: object) -> Outcome:
        retimed.append((work, prefetch))
        return retime(work, outcome, machine, prefetch)  # type: ignore[arg-type]

    retime = prefetching.retime
    monkeypatch.setattr(outcomes_module, "execute", execute_counted)
    monkeypatch.setattr(prefetching, "retime", retime_counted)
    arch = load_arch("apsq_edge_ws", {"arch.mapping.prefetch": rule})
    report = simulate(arch, load_trace("bert_base"))
    assert len(executed) == len(set(executed)) < len(report.ops) / 8
    assert len(retimed) == len(set(retimed)) < len(report.ops) / 3
    if rule == "none":
        assert not retimed
        machine = build_machine(arch)
        again = {work: execute(work, machine, MappingRules()) for work in executed}
        layers = [[op for op in report.ops if f".{layer}." in op.name] for layer in range(12)]
        for first, *others in zip(*layers, strict=True):
            assert {(op.cycles, op.energy_pj, op.stalls) for op in others} == {
                (first.cycles, first.energy_pj, first.stalls)
            }
        assert {outcome.cycles for outcome in again.values() if isinstance(outcome, Outcome)} == {
            op.cycles for op in report.ops
        }
