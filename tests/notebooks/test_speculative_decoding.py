"""The notebook runs, shows its figures and says what its numbers say; the pair is fresh."""

from __future__ import annotations

import pytest

from tests.reference.notebooks import Executed, check_figures, check_pair, execute

FRAMES = ("serial", "policies", "gains", "ratios")
FIGURES = 4


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Executed:
    return execute("speculative_decoding", FRAMES, tmp_path_factory.mktemp("notebook"), torch=False)


def test_pair_is_in_sync_and_without_outputs() -> None:
    check_pair("speculative_decoding")


def test_every_figure_is_shown_and_nothing_is_warned_of(executed: Executed) -> None:
    check_figures(executed[0], FIGURES)


def test_text_on_draft_length(executed: Executed) -> None:
    best = executed[1]["serial"].idxmax()
    assert best.is_monotonic_increasing
    assert best.iloc[0] < best.iloc[-1]


def test_text_on_parallel_drafting(executed: Executed) -> None:
    policies, gains, ratios = (executed[1][name] for name in ("policies", "gains", "ratios"))
    assert (policies["vanilla"] > policies[["pearl", "apsd"]].max(axis=1)).all()
    assert gains["1.1 B, DRAM"].idxmax() == "vanilla"
    assert gains["1.1 B, stacked"].idxmin() == "vanilla"
    assert ratios.round(1).tolist() == [0.1, 0.5, 0.5]
