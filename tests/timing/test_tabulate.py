"""Tables of pass costs against engine runs that they do not hold."""

from __future__ import annotations

import numpy as np
import pytest

from accelsim import load_arch
from accelsim.decoding.costs import COLUMNS, PassCosts
from accelsim.decoding.model import TWO_BITS, LanguageModel
from accelsim.decoding.passes.refine import COMPARED
from accelsim.decoding.passes.tabulate import Grid, Passes, grid_of, tabulate
from accelsim.decoding.policies import make_policy
from accelsim.decoding.policies.lengths import fixed
from accelsim.workload.template import load_template

WITHIN = 0.01
GRID = Grid(contexts=(64, 512, 1024), prompts=(32, 128), most_verified=8, most_together=6)


@pytest.fixture(scope="module")
def passes() -> Passes:
    target = LanguageModel(load_template("vicuna_1b_like"), rotation=True)
    draft = LanguageModel(load_template("llama_160m"), codebook=TWO_BITS)
    sizes = {f"arch.buffers.{name}.capacity_kib": "1024" for name in ("ifmap", "weight", "psum_ofmap")}
    return Passes(load_arch("apsq_llm_ws", sizes), target, draft)


@pytest.fixture(scope="module")
def costs(passes: Passes) -> PassCosts:
    return tabulate(passes, GRID)


@pytest.mark.parametrize("context", [100, 300, 800])
def test_draft_and_verify_between_contexts(passes: Passes, costs: PassCosts, context: int) -> None:
    np.testing.assert_allclose(costs.draft_at(0, context), passes.cost(passes.streams(0, 1, context)), rtol=WITHIN)
    for tokens in (1, 3, 8):
        found = passes.cost(passes.streams(tokens, 0, context))
        np.testing.assert_allclose(costs.verify_at(tokens, context), found, rtol=WITHIN)


@pytest.mark.parametrize(
    ("tokens", "drafts", "context"), [(1, 3, 300), (3, 5, 700), (5, 4, 100), (7, 6, 800), (6, 1, 64)]
)
def test_together_between_knots(passes: Passes, costs: PassCosts, tokens: int, drafts: int, context: int) -> None:
    found = passes.cost(passes.streams(tokens, drafts, context))
    np.testing.assert_allclose(costs.together_at(tokens, drafts, context), found, rtol=WITHIN)


def test_together_costs_the_sum_and_takes_no_less_than_each(costs: PassCosts) -> None:
    column = {name: place for place, name in enumerate(COLUMNS)}
    for tokens in (1, 8):
        for drafts in (1, 6):
            alone = costs.verify[tokens - 1], drafts * costs.draft[0]
            both = costs.together[tokens - 1, drafts - 1]
            for name in ("energy_pj", "dram_bits", "reram_bits", "compute_busy_fs", "dram_busy_fs"):
                at = column[name]
                np.testing.assert_allclose(both[:, at], alone[0][:, at] + alone[1][:, at], rtol=1e-3)
            latency = column["latency_fs"]
            assert (both[:, latency] >= alone[0][:, latency]).all()
            assert (both[:, latency] >= both[:, column["dram_busy_fs"]]).all()


@pytest.mark.parametrize(("arch", "prompts"), [("reram_logic_55nm_x4", 1024), ("apsq_llm_ws", 400)])
def test_prompts_between_those_that_are_run(arch: str, prompts: int) -> None:
    """What reading a prompt moves is a staircase; of answers to 150 prompts at random every one is close."""
    passes = Passes(load_arch(arch), LanguageModel(load_template("llama_160m")), None)
    asked = np.unique(np.random.default_rng(4).integers(16, prompts, 150))
    made = tabulate(passes, Grid((64,), tuple(asked.tolist()), 1, 0))
    assert len(made.prompts) < 0.8 * len(asked)
    off, chunk = [], passes.best_chunk(int(asked[-1]))
    for prompt in asked[::5].tolist():
        exact = passes.prefill(prompt, chunk)[COMPARED]
        off.append(np.abs(made.prefill_at(prompt)[COMPARED] / exact - 1))
    assert np.max(off) < WITHIN
    assert np.mean(off) < WITHIN / 10


def test_few_prompts_are_all_run(passes: Passes) -> None:
    made = tabulate(passes, Grid((64,), (3, 40, 41, 200), 1, 0))
    assert made.prompts.tolist() == [3, 40, 41, 200]


def test_a_tree_step_reads_all_nodes_of_a_depth(passes: Passes) -> None:
    policy = make_policy("tree", fixed(1), widths=(4, 2, 1))
    grid = grid_of(policy, np.array([128]), np.array([64]))
    assert grid.draft_tokens == (1, 4, 8)
    made = tabulate(passes, grid)
    for step, tokens in enumerate(grid.draft_tokens):
        found = passes.cost(passes.streams(0, 1, 128, tokens))
        np.testing.assert_allclose(made.draft_at(step, 128), found, rtol=1e-12)
    assert (made.draft_at(2, 128)[:2] > made.draft_at(0, 128)[:2]).all()
    assert (made.draft_at(9, 128) == made.draft_at(2, 128)).all()


def test_a_grid_of_one() -> None:
    assert Grid((5,), (5,), 1, 1).verified == (1,)
    assert Grid((5,), (5,), 8, 0).drafted == ()
    assert Grid((5,), (5,), 6, 3).verified == (1, 2, 4, 6)
