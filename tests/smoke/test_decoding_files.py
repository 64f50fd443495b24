"""Acceptance traces as files, lengths as text, and what a serving run writes."""

import gzip
import json

import numpy as np
import pytest

from accelsim.decoding.acceptance import Independent, Recorded, Runs
from accelsim.decoding.costs import COLUMNS, PassCosts
from accelsim.decoding.lengths import draw_lengths
from accelsim.decoding.policies import make_policy
from accelsim.decoding.policies.lengths import DraftLength, fixed
from accelsim.decoding.recorded import AcceptanceTrace, read_acceptance, write_acceptance
from accelsim.decoding.serving import serve
from accelsim.errors import UserError

GOOD = "# accelsim acceptance trace 1, a and b\nprompt,rank,accept_probability,target_entropy_bits,draft_entropy_bits\n"


def costs(tokens=9, beside=4):
    width = len(COLUMNS)
    one = np.arange(1, width + 1, dtype=float)
    return PassCosts(
        np.array([0, 100]), np.stack([one, 2 * one])[None], np.ones((tokens, 2, width)),
        np.ones((tokens, beside, 2, width)), np.array([1]), np.ones((1, width)), 2.0,
    )  # fmt: skip


def test_a_trace_comes_back_and_has_the_same_bytes(tmp_path):
    trace = AcceptanceTrace(
        "a and b", np.array([0, 0, 2], np.int32), np.array([0, 3, 1], np.int16),
        np.array([0.5, 1.0, 0.25]), np.array([1.5, 0.0, 2.0]), np.array([1.0, 0.125, 7.0]),
    )  # fmt: skip
    paths = [tmp_path / "a.acceptance.csv.gz", tmp_path / "b.acceptance.csv.gz"]
    for path in paths:
        write_acceptance(trace, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    back = read_acceptance(paths[0])
    assert back.source == trace.source
    for name in ("prompt", "rank", "accept_probability", "target_entropy_bits", "draft_entropy_bits"):
        assert np.array_equal(getattr(back, name), getattr(trace, name))
    assert Recorded(back).mean == pytest.approx(1.75 / 3)
    assert Recorded(back, greedy=True).mean == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "header"),
        (GOOD, "holds no token"),
        (GOOD + "0,0,1.5,0,0\n", "t.gz:3:1"),
        (GOOD + "0,0,0.5,0,0\n0,x,0.5,0,0\n", "t.gz:4:1"),
        (GOOD + "0,0.5,0.5,0,0\n", "whole numbers"),
        (GOOD + "0,-1,0.5,0,0\n", "nothing is negative"),
        (GOOD + "0,0,nan,0,0\n", "not five numbers"),
        (GOOD + "1,0,0.5,0,0\n0,0,0.5,0,0\n", "numbers fall"),
    ],
)
def test_a_bad_trace_is_answered_with_its_line(tmp_path, text, said):
    path = tmp_path / "t.gz"
    path.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(UserError, match=said):
        read_acceptance(path)


def test_a_trace_that_is_no_gzip_is_answered(tmp_path):
    path = tmp_path / "t.gz"
    path.write_bytes(b"plain")
    with pytest.raises(UserError, match="cannot be read"):
        read_acceptance(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_acceptance(tmp_path / "none.gz")


def test_lengths():
    assert draw_lengths("128", 3, 0, "outputs").tolist() == [128] * 3
    uniform = draw_lengths("32:64", 5000, 0, "outputs")
    assert (uniform.min(), uniform.max()) == (32, 64)
    geometric = draw_lengths("~200", 20_000, 0, "outputs")
    assert geometric.mean() == pytest.approx(200, rel=0.03)
    assert geometric.min() >= 1


@pytest.mark.parametrize("text", ["", "0", "-4", "5:", "9:5", "~", "~0.5", "nan", "~nan", "1e3", "99999999", "a:b"])
def test_bad_lengths(text):
    with pytest.raises(UserError, match="outputs: length"):
        draw_lengths(text, 1, 0, "outputs")


def test_a_serving_run_adds_up(tmp_path):
    prompts, outputs = np.array([10, 20, 30]), np.array([40, 1, 80])
    result = serve(make_policy("apsd", fixed(4)), Independent((0.8,)), costs(), prompts, outputs, seed=1)
    summary = result.summary()
    assert summary["tokens_per_s"] * summary["ms_per_token"] == pytest.approx(1000)
    assert summary["mj_per_token"] * 121 == pytest.approx(3 * summary["mj_per_answer"])
    assert summary["ms_per_token_p50"] <= summary["ms_per_token_p99"]
    frame = result.to_frame()
    assert frame.latency_ms.sum() / 121 == pytest.approx(summary["ms_per_token"])
    result.save(tmp_path / "a.json")
    result.save(tmp_path / "a.csv")
    assert json.loads((tmp_path / "a.json").read_text())["summary"] == pytest.approx(summary)
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 4
    with pytest.raises(UserError, match=r"use \.json or \.csv"):
        result.save(tmp_path / "a.txt")


def test_shorter_answers_cost_less():
    prompts = np.full(50, 20)
    long, short = (
        serve(make_policy("vanilla", fixed(3)), Independent((0.7,)), costs(), prompts, np.full(50, n)).summary()
        for n in (300, 90)
    )
    assert short["mj_per_answer"] < 0.4 * long["mj_per_answer"]


@pytest.mark.parametrize("make", [Independent, Runs])
@pytest.mark.parametrize("shares", [(), (float("nan"),), (0.5, float("nan")), (-0.1,), (1.1,)])
def test_acceptances_are_probabilities(make, shares):
    with pytest.raises(ValueError, match="not probabilities"):
        make(shares)


def test_what_cannot_run_says_why():
    prompts = outputs = np.array([10])
    with pytest.raises(UserError, match="did you mean 'vanilla'"):
        make_policy("vanila", fixed(2))
    with pytest.raises(UserError, match="tabulate more passes"):
        serve(make_policy("vanilla", fixed(12)), Independent((0.7,)), costs(), prompts, outputs)
    with pytest.raises(UserError, match="no entropies"):
        serve(make_policy("vanilla", DraftLength("entropy", 1, 4, 2.0)), Runs((0.7,)), costs(), prompts, outputs)
    with pytest.raises(ValueError, match="sum to at most 1"):
        Independent((0.7, 0.4))
    with pytest.raises(ValueError, match=r"not in 1\.\.4"):
        DraftLength("heuristic", 5, 4)
    with pytest.raises(ValueError, match="ascend"):
        PassCosts(
            np.array([5, 5]),
            *(getattr(costs(), name) for name in ("draft", "verify", "together", "prompts", "prefill")),
            0.0,
        )
