"""The experiment on acceptance runs from end to end on tiny models; its committed table follows from its traces."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from algos.experiments import acceptance_byte_lm, results  # noqa: E402
from algos.experiments.registry import Run  # noqa: E402
from algos.trained import byte_lm, stdlib_text  # noqa: E402

SIZES = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
MOST_BYTES = 300_000


def test_tiny_models(monkeypatch, tmp_path):
    def load(name: str) -> torch.nn.Module:
        torch.manual_seed(len(name))
        return byte_lm.create(SIZES).eval()

    text = np.arange(4 * 17, dtype=np.int64).reshape(4, 17)
    monkeypatch.setattr(byte_lm, "load", load)
    monkeypatch.setattr(stdlib_text, "held_out_text", lambda split: None)
    monkeypatch.setattr(stdlib_text, "windows", lambda text_, length: text)
    for name, value in (("PROMPTS", 2), ("PROMPT_BYTES", 5), ("ANSWER_BYTES", 12), ("FOLDER", tmp_path)):
        monkeypatch.setattr(acceptance_byte_lm, name, value)
    rows = acceptance_byte_lm.run(Run("tiny", 0, tmp_path, lambda steps, total, done: iter(steps)))
    assert {row["text"] for row in rows} == {"sampled", "greedy"}
    assert [row["recorded_tokens_per_pass"] != "" for row in rows].count(True) == 2
    assert all(1 <= float(row["tokens_per_pass"]) <= 17 for row in rows)


@pytest.mark.parametrize("name", sorted(acceptance_byte_lm.TEMPERATURES))
def test_the_committed_table_is_that_of_the_committed_trace(name):
    assert acceptance_byte_lm.trace_path(name).stat().st_size < MOST_BYTES / 2
    committed = [row for row in results.read("acceptance_byte_lm") if row["text"] == name]
    replayed = acceptance_byte_lm.recorded_table(name, 0)
    assert [{key: row[key] for key in replayed[0]} for row in committed] == replayed


@pytest.mark.parametrize("name", sorted(acceptance_byte_lm.TEMPERATURES))
def test_replays_emit_as_many_tokens_a_pass_as_the_recording(name):
    """Within 4 standard errors; a pass emits 1 to 5 tokens, so it spreads by 2 at most."""
    (row,) = (
        row
        for row in results.read("acceptance_byte_lm")
        if row["text"] == name and row["recorded_tokens_per_pass"]
    )  # fmt: skip
    recorded = float(row["recorded_tokens_per_pass"])
    passes = acceptance_byte_lm.PROMPTS * acceptance_byte_lm.ANSWER_BYTES / recorded
    assert float(row["tokens_per_pass"]) == pytest.approx(recorded, abs=4 * 2 / np.sqrt(passes))
