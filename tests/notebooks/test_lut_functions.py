"""The notebook runs, shows its figures and says what its numbers say; the pair is fresh."""

from __future__ import annotations

import pytest

from tests.reference.notebooks import Executed, check_figures, check_pair, execute

FRAMES = ("means", "scales", "relative", "units", "parts")
FIGURES = 5


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Executed:
    return execute("lut_functions", FRAMES, tmp_path_factory.mktemp("notebook"), torch=False)


def test_pair_is_in_sync_and_without_outputs() -> None:
    check_pair("lut_functions")


def test_every_figure_is_shown_and_nothing_is_warned_of(executed: Executed) -> None:
    check_figures(executed[0], FIGURES)


def test_text_on_errors(executed: Executed) -> None:
    means = executed[1]["means"]
    assert len(means) == 10
    assert (means["shared"] < means["authors"]).all()
    assert (means["shared"] < means["genetic"]).all()
    assert (means["per_scale"] <= means["shared"]).all()
    assert (executed[1]["scales"]["shared"] < executed[1]["scales"]["authors"]).all()


def test_text_on_exp(executed: Executed) -> None:
    worst = executed[1]["relative"].abs().max()
    assert worst["exp table"] > 50
    assert worst["2^x and shift"] < 0.5


def test_text_on_the_unit(executed: Executed) -> None:
    units, parts = executed[1]["units"], executed[1]["parts"]
    assert parts.loc["INT8, 8", "table"] == pytest.approx(0.52 * units.loc["INT8, 8", "area_um2"], rel=0.02)
    assert units.loc["FP32, 8", "area_deviation"] == pytest.approx(0.5, abs=0.01)
