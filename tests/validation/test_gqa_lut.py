"""GQA-LUT (DAC 2024): the searched tables against the published ones, and the composed unit against synthesis."""

from __future__ import annotations

import json

import numpy as np
import pytest

from accelsim import load_arch
from accelsim.hardware.machine import build_machine
from accelsim.reproduce.gqa_lut import ErrorRow, base_2_rows, cells, error_rows, unit_rows
from accelsim.schemes.lut_functions import FUNCTIONS
from algos.gqa_lut.genetic import genetic_search
from algos.gqa_lut.searches import base_2_schemes, searches

CELLS = cells()


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, int, str], ErrorRow]:
    found = list(searches(CELLS))
    assert all(one.seconds < 10 for one in found), "each search takes seconds"
    made = error_rows({(one.function, one.entries, one.method): one.scheme for one in found})
    return {(row.function, row.entries, row.method): row for row in made}


def test_published_means_are_those_of_their_columns(rows: dict[tuple[str, int, str], ErrorRow]) -> None:
    assert len(CELLS) == 10
    for function, entries in CELLS:
        authors = rows[function, entries, "authors"]
        assert np.mean(authors.mse) == pytest.approx(authors.mean_mse, rel=0.005)


def test_shared_beats_the_authors_in_all_ten_cells(rows: dict[tuple[str, int, str], ErrorRow]) -> None:
    for function, entries in CELLS:
        assert rows[function, entries, "shared"].gain > 1.5, (function, entries)


def test_per_scale_is_at_most_shared_and_near_the_floor(rows: dict[tuple[str, int, str], ErrorRow]) -> None:
    """The floor has k and b on the 2^-6 grid without bounds: 8-bit formats beat it where 1|0|7 suits, and lose to it
    by up to 4x where the function needs two integer bits."""
    for function, entries in CELLS:
        per_scale, shared = (rows[function, entries, method] for method in ("per_scale", "shared"))
        floor = rows[function, entries, "per_scale, any range"].mean_mse
        assert per_scale.mean_mse <= shared.mean_mse
        assert per_scale.mean_mse < (4 if function in ("reciprocal", "rsqrt") else 1) * floor


def test_genetic_search_is_as_good_as_the_published_one_within_its_spread(
    rows: dict[tuple[str, int, str], ErrorRow],
) -> None:
    """Seeds spread results by up to 3x: the median of three seeds, per cell, against the published mean."""
    ratios = []
    for function, entries in CELLS:
        keys = {(function, entries, f"seed {seed}"): seed for seed in range(2)}
        schemes = {key: genetic_search(FUNCTIONS[function], entries, seed=seed) for key, seed in keys.items()}
        means = [row.mean_mse for row in error_rows(schemes) if row.method.startswith("seed")]
        means.append(rows[function, entries, "genetic"].mean_mse)
        ratios.append(float(np.median(means)) / rows[function, entries, "authors"].mean_mse)
    assert max(ratios) < 3
    assert min(ratios) > 1 / 3
    assert 0.5 < float(np.exp(np.mean(np.log(ratios)))) < 2


def test_base_2_exp_meets_or_beats_the_reference() -> None:
    for row in base_2_rows(base_2_schemes()):
        assert row.mse < 1.02 * row.reference_mse


def test_composed_unit_against_synthesis() -> None:
    """Tolerances state what the parts miss: the FP32 area is half too large, and nothing is fitted."""
    known = {(row.number, row.bits): row for row in unit_rows() if row.area_deviation is not None}
    assert len(known) == 3
    deviations = {key: (row.area_deviation, row.power_deviation) for key, row in known.items()}
    assert deviations["int", 8] == (pytest.approx(0.043, abs=0.005), pytest.approx(-0.126, abs=0.005))
    assert deviations["int", 32] == (pytest.approx(-0.053, abs=0.005), pytest.approx(0.057, abs=0.005))
    assert deviations["float", 32] == (pytest.approx(0.499, abs=0.005), pytest.approx(0.124, abs=0.005))


def test_published_saving_of_the_int8_unit() -> None:
    """81 to 82 % of the area and 79 to 81 % of the power of a 32-bit unit; composed 79.8 and 82.9 % of INT32's."""
    units = {(row.number, row.bits): row for row in unit_rows() if row.entries == 8}
    small, wide = units["int", 8], units["int", 32]
    assert 1 - small.area_um2 / wide.area_um2 == pytest.approx(0.8167, abs=0.03)
    assert 1 - small.power_mw / wide.power_mw == pytest.approx(0.793, abs=0.05)


def test_composed_costs_are_a_choice_of_the_spec() -> None:
    published, composed = (
        build_machine(load_arch("apsq_edge_ws", {"arch.lut_unit.costs": costs})).lut_unit
        for costs in ("published", "composed")
    )
    assert published == build_machine(load_arch("apsq_edge_ws")).lut_unit
    row = next(row for row in unit_rows() if (row.number, row.bits, row.entries) == ("int", 8, 8))
    assert composed.area_mm2.value == pytest.approx(16 * row.area_um2 / 1e6)
    lookup = composed.actions["lookup"].energy_pj
    leakage_mw = composed.leakage_mw.value / 16
    assert lookup.value == pytest.approx((row.power_mw - leakage_mw) * 1e3 / 500)
    assert lookup.confidence == "assumed"
    assert json.dumps(row.parts_um2)
    assert sum(row.parts_um2.values()) == pytest.approx(row.area_um2)
