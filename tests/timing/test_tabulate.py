"""Tables of pass costs against engine runs that they do not hold."""

from __future__ import annotations

import numpy as np
import pytest

from accelsim import load_arch
from accelsim.decoding.costs import COLUMNS, PassCosts
from accelsim.decoding.model import TWO_BITS, LanguageModel
from accelsim.decoding.passes.tabulate import Grid, Passes, tabulate
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
    np.testing.assert_allclose(costs.draft_at(context), passes.cost(passes.streams(0, 1, context)), rtol=WITHIN)
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
            alone = costs.verify[tokens - 1], drafts * costs.draft
            both = costs.together[tokens - 1, drafts - 1]
            for name in ("energy_pj", "dram_bits", "reram_bits", "compute_busy_fs", "dram_busy_fs"):
                at = column[name]
                np.testing.assert_allclose(both[:, at], alone[0][:, at] + alone[1][:, at], rtol=1e-3)
            latency = column["latency_fs"]
            assert (both[:, latency] >= alone[0][:, latency]).all()
            assert (both[:, latency] >= both[:, column["dram_busy_fs"]]).all()


def test_a_grid_of_one() -> None:
    assert Grid((5,), (5,), 1, 1).verified == (1,)
    assert Grid((5,), (5,), 8, 0).drafted == ()
    assert Grid((5,), (5,), 6, 3).verified == (1, 2, 4, 6)
