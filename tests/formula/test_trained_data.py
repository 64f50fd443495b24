"""The data that trained models are scored on: checked text, windows of it, and rank agreement."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import UserError
from algos.trained import sentence_pairs, stdlib_text
from algos.trained.checkpoint import FOLDER


def test_held_out_text_is_what_the_recipe_lists() -> None:
    sizes = dict.fromkeys(("train", "calibrate", "score"), 0)
    for file in stdlib_text.recipe():
        sizes[file.split] += file.size_bytes
    assert len(stdlib_text.held_out_text("score")) == sizes["score"] > 160_000
    assert len(stdlib_text.held_out_text("calibrate")) == sizes["calibrate"] > 48_000
    assert stdlib_text.HELD_OUT.stat().st_size == sizes["score"] + sizes["calibrate"] < 300_000
    assert sizes["train"] > 9_000_000
    assert "PYTHON SOFTWARE FOUNDATION LICENSE" in (FOLDER / "stdlib_licence.txt").read_text()


def test_no_file_is_in_two_splits() -> None:
    paths = [file.path for file in stdlib_text.recipe()]
    assert len(paths) == len(set(paths))
    hashes = {split: {f.sha256 for f in stdlib_text.recipe() if f.split == split} for split in ("train", "score")}
    assert not hashes["train"] & hashes["score"]


def test_one_changed_byte_is_an_error_that_names_the_file(tmp_path, monkeypatch) -> None:
    data = bytearray(stdlib_text.HELD_OUT.read_bytes())
    data[-1] ^= 1
    (tmp_path / "text").write_bytes(data)
    monkeypatch.setattr(stdlib_text, "HELD_OUT", tmp_path / "text")
    last = [file for file in stdlib_text.recipe() if file.split != "train"][-1]
    assert last.split == "score"
    with pytest.raises(UserError, match=rf"1 of 11 files .* differ from the recipe: {last.path}\n"):
        stdlib_text.held_out_text("score")


def test_another_python_is_an_error_that_counts_the_files(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(stdlib_text.sysconfig, "get_path", lambda _: str(tmp_path))
    (tmp_path / "abc.py").write_text("pass\n")
    files = sum(file.split == "train" for file in stdlib_text.recipe())
    with pytest.raises(UserError, match=rf"{files} of {files} files .*__future__\.py.*\n.*CPython 3\.11\.7"):
        stdlib_text.training_text()


@given(st.integers(2, 200), st.integers(1, 40))
def test_windows_predict_every_byte_but_the_first_once(size: int, length: int) -> None:
    text = (np.arange(size) % 251).astype(np.uint8)
    if size <= length:
        return
    rows = stdlib_text.windows(text, length)
    predicted = rows[:, 1:].reshape(-1)
    assert predicted.tolist() == text[1 : 1 + len(predicted)].tolist()
    assert len(text) - 1 - len(predicted) < length
    assert np.array_equal(rows[1:, 0], rows[:-1, -1])


@given(st.lists(st.tuples(st.integers(-5, 5), st.sampled_from((0, 1, 2))), min_size=6, max_size=40))
def test_agreement_is_spearmans_and_the_share_of_ordered_pairs(cases: list[tuple[int, int]]) -> None:
    cases = [*cases, (6, 0), (-6, 2), (7, 1)]
    similarity, level = (np.array(column) for column in zip(*cases, strict=True))

    def rank(values: np.ndarray, value: int) -> float:
        return sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2

    ranks = [[rank(values, value) for value in values] for values in (similarity, level)]
    near = [s for s, grade in cases if grade == 2]
    far = [s for s, grade in cases if grade == 0]
    wins = sum((a > b) + (a == b) / 2 for a in near for b in far) / (len(near) * len(far))
    found = sentence_pairs.agreement(similarity.astype(float), level)
    assert found.spearman == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert found.auc == pytest.approx(wins)


def test_sentence_pairs_are_balanced_and_distinct() -> None:
    score, calibrate = (sentence_pairs.sentence_pairs(split) for split in ("score", "calibrate"))
    assert np.bincount(score.level).tolist() == [300, 300, 300]
    assert np.bincount(calibrate.level).tolist() == [20, 20, 20]
    assert len(set(score.first)) == len(score.first)
    assert not set(score.first) & set(calibrate.first)
    with sentence_pairs.PAIRS.open(encoding="utf-8") as file:
        assert next(csv.reader(file)) == ["split", "level", "first", "second"]
