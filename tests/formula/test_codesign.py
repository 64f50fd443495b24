"""A co-design's rows against the same model compressed, scored and simulated by hand; its front against all pairs."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.explore.charged import charged_as
from accelsim.explore.pareto import on_front
from accelsim.schemes import PsumScheme
from accelsim.workload import load_trace, with_psum

NUMBERS = st.sampled_from([0.0, 1.0, 2.0, 3.0, math.nan, math.inf])


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=12))
def test_the_front_is_what_no_other_point_beats(points: list[tuple[float, float]]) -> None:
    finite = [point for point in points if all(map(math.isfinite, point))]
    expected = [
        point in finite and not any(a <= point[0] and b <= point[1] and (a, b) != point for a, b in finite)
        for point in points
    ]
    assert on_front(points) == expected


def test_what_a_trace_is_charged_for_in_words() -> None:
    trace = load_trace("matmul:16x64x32")
    assert charged_as(trace, 32) == "W8 A8, psums INT32"
    assert charged_as(trace, 24) == "W8 A8, psums INT24"
    assert charged_as(with_psum(trace, PsumScheme(6, 2)), 32) == "W8 A8, psums INT6 gs 2"
    assert charged_as(with_psum(trace, PsumScheme(16)), 32) == "W8 A8, psums INT16"
    assert charged_as(with_psum(load_trace("matmul:16x1x32"), PsumScheme(6, 2)), 32) == "W8 A8, psums none"


torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import algos  # noqa: E402
from accelsim import codesign, load_arch, simulate  # noqa: E402
from accelsim.explore.codesign import with_scores  # noqa: E402
from accelsim.report.codesign_plot import METRICS  # noqa: E402
from algos.experiments.subjects import SUBJECTS  # noqa: E402
from algos.trained import digits_vit  # noqa: E402
from workloads import export_trace  # noqa: E402

BITS, GROUP, FLOW = "recipe.apsq.bits", "recipe.apsq.group_size", "arch.array.dataflow"
FLOWS = ["weight_stationary", "input_stationary"]
ROWS = 40


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Two widths in two group sizes on two accelerators, measured."""
    over = {BITS: [4, 8], GROUP: [1, 2], FLOW: FLOWS}
    return codesign("apsq_int8_gs1", "apsq_edge_ws", over, model="digits_vit", batch=3, score_rows=ROWS)


def _by_hand(steps: tuple[algos.QuantConfig, ...]) -> tuple[float, float, list[tuple[float, int, float]]]:
    """Accuracy and loss on some images, and energy, cycles and psum energy on each accelerator."""
    network = digits_vit.load()
    if steps:
        algos.compress_(network, steps, [{"pixel_values": digits_vit.calibration_set().images}])
    data = digits_vit.held_out_set()
    chosen = [round(number * (len(data.labels) - 1) / (ROWS - 1)) for number in range(ROWS)]
    with torch.no_grad():
        logits = network(pixel_values=data.images[chosen]).logits.double()
    right = 100 * float((logits.argmax(1) == data.labels[chosen]).double().mean())
    nats = float(torch.nn.functional.cross_entropy(logits, data.labels[chosen]))
    trace = export_trace(network, [torch.zeros(3, 1, 8, 8)], "encode")
    costs = []
    for name in ("apsq_edge_ws", "apsq_edge_is"):
        report = simulate(load_arch(name), trace)
        psums = math.fsum(row.energy_pj for row in report.rows if row.operand == "psum")
        costs.append((report.totals.energy_pj, report.totals.cycles, psums))
    return right, nats, costs


def test_every_row_is_the_model_compressed_scored_and_simulated(table: pd.DataFrame) -> None:
    variants = [(), (algos.QuantConfig(),)]
    variants += [(algos.ApsqConfig(bits=bits, group_size=group),) for bits in (4, 8) for group in (1, 2)]
    rows = iter(table.to_dict("records"))
    for steps in variants:
        right, nats, costs = _by_hand(steps)
        for flow, (energy_pj, cycles, psum_energy_pj) in zip(FLOWS, costs, strict=True):
            row = next(rows)
            assert (row[FLOW], row["status"], row["reason"]) == (flow, "ok", "")
            assert row["accuracy_pct"] == pytest.approx(right, abs=1e-5)
            assert row["loss_nats"] == pytest.approx(nats, abs=2e-5)
            assert (row["energy_pj"], row["cycles"], row["psum_energy_pj"]) == (energy_pj, cycles, psum_energy_pj)
    assert next(rows, None) is None


def test_every_row_says_what_it_is(table: pd.DataFrame) -> None:
    named = table[["recipe", "scheme", BITS, GROUP, FLOW, "charged_as"]].iloc[::2].to_dict("records")
    words = [(row["recipe"], row["scheme"], row[BITS], row[GROUP], row["charged_as"]) for row in named]
    assert words == [
        ("", "fp32", None, None, "W8 A8, psums INT32"),
        ("", "w8a8_psum_int32", None, None, "W8 A8, psums INT32"),
        ("apsq_int8_gs1", "w8a8_apsq_int4_gs1", 4, 1, "W8 A8, psums INT4 gs 1"),
        ("apsq_int8_gs1", "", 4, 2, "W8 A8, psums INT4 gs 2"),
        ("apsq_int8_gs1", "w8a8_apsq_int8_gs1", 8, 1, "W8 A8, psums INT8 gs 1"),
        ("apsq_int8_gs1", "w8a8_apsq_int8_gs2", 8, 2, "W8 A8, psums INT8 gs 2"),
    ]
    assert set(table["score_rows"]) == {ROWS}
    assert set(table["scores"]) == {"measured"}
    assert set(table["batch"]) == {3}


def _front(table: pd.DataFrame, metric: str) -> list[bool]:
    """By comparing every point with every other; more of the metric is better."""
    points = list(zip(table["energy_pj"], table[metric], table["scheme"], strict=True))
    rivals = [(energy, score) for energy, score, scheme in points if scheme != "fp32"]
    return [
        scheme != "fp32" and not any(e <= energy and s >= score and (e, s) != (energy, score) for e, s in rivals)
        for energy, score, scheme in points
    ]


def test_the_front_is_of_all_points_but_the_uncompressed_one(table: pd.DataFrame) -> None:
    assert list(table["pareto_front"]) == _front(table, "accuracy_pct")
    assert not table.loc[table["scheme"] == "fp32", "pareto_front"].any()


def test_other_scores_are_joined_by_the_scheme(table: pd.DataFrame) -> None:
    scores = {"w8a8_psum_int32": 90.0, "w8a8_apsq_int8_gs2": 91.0, "not here": 99.0}
    joined = with_scores(table, scores, "elsewhere")
    assert list(joined["scheme"].unique()) == ["fp32", "w8a8_psum_int32", "w8a8_apsq_int8_gs2"]
    again = joined.set_index("scheme")
    assert (again.loc["fp32", "accuracy_pct"] == table["accuracy_pct"].iloc[0]).all()
    assert (again.loc["w8a8_apsq_int8_gs2", "accuracy_pct"] == 91.0).all()
    assert list(again.loc["fp32", "scores"]) == ["measured"] * 2
    assert list(joined["pareto_front"]) == _front(joined, "accuracy_pct")
    assert list(joined["energy_pj"]) == [
        energy
        for energy, scheme in zip(table["energy_pj"], table["scheme"], strict=True)
        if scheme in set(joined["scheme"])
    ]


def test_committed_scores_cost_the_same_energy(table: pd.DataFrame) -> None:
    """The trace is then exported from a model whose scales nobody calibrated: that changes no cost."""
    over = {BITS: [4, 8], GROUP: [1, 2], FLOW: FLOWS}
    read = codesign("apsq_int8_gs1", "apsq_edge_ws", over, model="digits_vit", batch=3, scores="apsq_digits_vit")
    missing = table["scheme"] == ""
    assert list(read.loc[missing, "status"]) == ["error"] * 2
    assert read.loc[missing, "reason"].str.contains("apsq_digits_vit has no row for these settings").all()
    for name in ("energy_pj", "cycles", "psum_energy_pj", "charged_as"):
        assert list(read.loc[~missing, name]) == list(table.loc[~missing, name])
    scores = read.groupby("scheme")["accuracy_pct"].first()
    assert (scores["fp32"], scores["w8a8_apsq_int4_gs1"]) == (98.49435, 94.85571)


def test_every_model_is_judged_by_a_score_that_has_a_direction() -> None:
    assert {subject.metric for subject in SUBJECTS.values()} == set(METRICS)
