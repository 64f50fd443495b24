"""A million generated tokens under every policy, draws included, in one process."""

from __future__ import annotations

import numpy as np
import pytest

from accelsim.decoding.acceptance import Independent, Runs
from accelsim.decoding.costs import COLUMNS, PassCosts
from accelsim.decoding.policies import POLICIES, make_policy
from accelsim.decoding.policies.lengths import fixed
from accelsim.decoding.serving import serve
from tests.benchmarks.measuring import cpu_seconds
from tests.benchmarks.results import Results

SECONDS = 10.0
REQUESTS, OUTPUT = 4000, 250


def eight_contexts() -> PassCosts:
    rng = np.random.default_rng(0)
    points, tokens, drafts, width = 8, 16, 8, len(COLUMNS)
    shapes = ((1, points, width), (tokens, points, width), (tokens, drafts, points, width), (points, width))
    draft, verify, together, prefill = (rng.uniform(1, 2, shape) for shape in shapes)
    contexts = np.arange(points) * 300 + 1
    return PassCosts(contexts, draft, verify, together, contexts, prefill, 1.0)


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_a_million_tokens(policy: str, results: Results) -> None:
    prompts, outputs = np.full(REQUESTS, 128), np.full(REQUESTS, OUTPUT)
    made = make_policy(policy, fixed(5), widths=(3, 2))
    costs, acceptance = eight_contexts(), Independent((0.8, 0.1))
    serve(made, acceptance, costs, prompts, outputs)
    seconds = cpu_seconds(lambda: serve(made, acceptance, costs, prompts, outputs))
    results.at_most(f"a million tokens decoded, {policy}", seconds, SECONDS, "s")


def test_a_million_tokens_by_depth(results: Results) -> None:
    prompts, outputs = np.full(REQUESTS, 128), np.full(REQUESTS, OUTPUT)
    made, costs = make_policy("apsd", fixed(5)), eight_contexts()
    seconds = cpu_seconds(lambda: serve(made, Runs((0.9, 0.8, 0.7)), costs, prompts, outputs))
    results.at_most("a million tokens decoded, apsd, acceptance by depth", seconds, SECONDS, "s")
