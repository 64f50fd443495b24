"""Fused groups on a tiny machine, every cycle counted by hand.

The machine of `test_hand_timing`: 2 x 2 x 2 adder tree without pipeline, 1 ns clock, DRAM of 8 bytes per
cycle with 1-byte bursts and no latency; here 4 vector lanes and 1 look-up a cycle.
"""

from __future__ import annotations

from accelsim.engine.engine import run
from accelsim.fuse import shares
from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping.dataflow import map_fixed
from accelsim.mapping.fused import FusedPlan, VectorStage
from accelsim.mapping.fused_attention import attention_plans
from accelsim.mapping.fused_chain import chain_plan
from accelsim.mapping.lower import MacWork
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.problem import matmul_problem
from accelsim.mapping.vector import VectorProblem, VectorWork
from accelsim.program.fused import fused_program
from accelsim.schemes import PsumScheme
from accelsim.workload import MatmulDims
from tests.timing.test_hand_timing import MATMUL, NS, spec


def machine() -> Machine:
    arch = spec(8.0)
    lanes = arch.vector_unit.model_copy(update={"lanes": 4})
    return build_machine(arch.model_copy(update={"vector_unit": lanes}))


def vector(rows: int, cols: int, kind: str, function: str, work: VectorWork) -> VectorStage:
    operand = (("x", rows * cols, 8),)
    return VectorStage(VectorProblem(kind, function, rows, cols, operand, operand), work, 8, 8, ())


def timeline(plan: FusedPlan, here: Machine) -> dict[str, list[tuple[int, int]]]:
    result = run(fused_program(plan, here).program)
    return {
        queue.name: [(int(a) // NS, int(b) // NS) for a, b in zip(start, finish, strict=True)]
        for queue, start, finish in zip(result.program.queues, result.start_fs, result.finish_fs, strict=True)
    }


def attention() -> tuple[FusedPlan, ...]:
    # One head, 4 queries of 4, 4 keys, 4 values: row tiles of 2 or 4.
    first = MacWork(matmul_problem(MatmulDims(1, 1, 4, 4, 4), 8, 8, 8, PsumScheme(32)), "weight")
    plans = attention_plans(first, (vector(4, 4, "softmax", "softmax", VectorWork(4, 1, 0, 1)),), first, machine())
    assert not isinstance(plans, Infeasible)
    return plans


def test_attention_in_two_row_tiles() -> None:
    # A row tile is 2 queries (8 B). QK: 2 key chunks x 2 reduction chunks = 4 cycles, PV as many. Softmax
    # of 2 x 4 scores: 32 lane operations / 4 lanes = 8 cycles; 8 + 2 look-ups at 1 a cycle = 10. Moving 8
    # probabilities: 1 cycle at either port. K and V (16 B, 2 cycles) come once, each Q (1 cycle) when its
    # turn comes: everything is ready at 0, so in the queues' order.
    plan = attention()[0]
    assert (len(plan.kept.classes), plan.kept.tiles, plan.kept_slots, plan.moved_slots) == (1, 2, 2, 2)
    assert timeline(plan, machine()) == {
        "load_q": [(0, 1), (1, 2)],
        "load_k": [(2, 4)],
        "load_v": [(4, 6)],
        "array_qk": [(4, 8), (8, 12)],
        "units": [(8, 18), (18, 28)],
        "move": [(18, 19), (28, 29)],
        "array_pv": [(19, 23), (29, 33)],
        "store": [(23, 24), (33, 34)],
    }


def test_attention_in_one_row_tile() -> None:
    # Q is 2 cycles; K and V come in two tiles of 2 columns, 1 cycle each. QK of a K tile: 2 reduction x 2
    # row chunks = 4 cycles. Softmax of 16 scores: 16 + 4 look-ups. The move: 16 B at 512 B a cycle.
    plan = attention()[-1]
    assert (plan.kept.tiles, plan.kept_slots) == (1, 1)
    assert timeline(plan, machine()) == {
        "load_q": [(0, 2)],
        "load_k": [(2, 3), (4, 5)],  # the first V has waited longer than the second K
        "load_v": [(3, 4), (5, 6)],
        "array_qk": [(3, 7), (7, 11)],
        "units": [(11, 31)],
        "move": [(31, 32)],
        "array_pv": [(32, 36), (36, 40)],
        "store": [(40, 42)],
    }


def test_a_chain_works_on_each_output_tile() -> None:
    # The matmul of test_compute_bound, whose two output tiles of 8 values take 8 look-ups each.
    here = machine()
    mapping = map_fixed(MATMUL, here, "through")
    assert not isinstance(mapping, Infeasible)
    gelu = vector(4, 4, "nonlinear", "gelu", VectorWork(0, 1))
    plan = chain_plan(MacWork(MATMUL, "weight"), mapping, (gelu,), here)
    assert not isinstance(plan, Infeasible)
    assert timeline(plan, here) == {
        "load_ifmap": [(0, 2)],
        "load_weight": [(2, 3), (3, 4)],
        "array": [(3, 7), (7, 11)],
        "units": [(7, 15), (15, 23)],
        "store": [(15, 16), (23, 24)],
    }


def test_shares_sum_to_the_whole() -> None:
    assert shares(33, [8, 20, 8]) == [7, 18, 8]
    assert shares(10, [0, 0]) == [10, 0]
    assert all(sum(shares(total, [3, 1, 7, 0])) == total for total in range(50))
