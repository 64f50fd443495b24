"""The experiments on rotation and codebooks run from end to end on a tiny network and short texts."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from algos.experiments import (  # noqa: E402
    block_vq_lm,
    block_vq_trained,
    pictures,
    results,
    rotation_kv_lm,
    rotation_lm,
    tuning_losses,
)
from algos.experiments.__main__ import main  # noqa: E402
from algos.experiments.catalogue import EXPERIMENTS  # noqa: E402
from algos.experiments.registry import Run  # noqa: E402
from algos.trained import byte_lm, stdlib_text  # noqa: E402

SIZES = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}


@pytest.fixture
def run(monkeypatch, tmp_path) -> Run:
    def load(name: str) -> torch.nn.Module:
        torch.manual_seed(0)
        return byte_lm.create(SIZES).eval()

    text = np.arange(20 * 17, dtype=np.int64).reshape(20, 17) % 251
    monkeypatch.setattr(byte_lm, "load", load)
    monkeypatch.setattr(stdlib_text, "held_out_text", lambda split: None)
    monkeypatch.setattr(stdlib_text, "windows", lambda text_, length: text)
    monkeypatch.setattr(tuning_losses, "training_rows", lambda seed, batch: lambda step: torch.from_numpy(text[:2]))
    monkeypatch.setattr(block_vq_trained, "STEPS", dict.fromkeys((2, 3, 4), 4))
    return Run("tiny", 0, tmp_path, lambda steps, total, done: iter(steps))


def test_rotation(run):
    rows = rotation_lm.run(run)
    assert len(rows) == 2 * len(rotation_lm.ROTATIONS) * len(rotation_lm.WIDTHS)
    unquantised = {row["bits_per_byte"] for row in rows if row["width"] == "FP32"}
    assert max(map(float, unquantised)) - min(map(float, unquantised)) < 1e-3
    peaked = {(row["network"], row["rotation"]): float(row["kurtosis_q_proj"]) for row in rows}
    assert peaked["outliers injected", "none"] > 2 * peaked["as trained", "none"]
    assert peaked["outliers injected", "and down, full"] < 5


def test_rotation_of_cached_keys_and_values(run):
    rows = rotation_kv_lm.run(run)
    assert len(rows) == 2 * len(rotation_kv_lm.ROTATIONS) * (len(rotation_kv_lm.CACHES) + len(rotation_kv_lm.WITH_W4A8))
    unquantised = [float(row["bits_per_byte"]) for row in rows if row["width"] == row["cache"] == "FP32"]
    assert max(unquantised) - min(unquantised) < 1e-3
    peaked = {(row["network"], row["rotation"]): float(row["kurtosis_value"]) for row in rows}
    assert peaked["outliers injected", "none"] > peaked["outliers injected", "keys and values"]


def test_block_vq(run):
    rows = block_vq_lm.run(run)
    assert len(rows) == 1 + 3 * len(block_vq_lm.METHODS)
    assert rows[0]["bits_per_value"] == "32.0000"
    chip = next(row for row in rows if "8 share" in str(row["method"]))
    assert float(chip["bits_per_value"]) == pytest.approx(2 + 2 / 256 + 16 / 64, abs=1e-3)


def test_block_vq_trained(run):
    rows = block_vq_trained.run(run)
    cells = len(block_vq_lm.METHODS) * len(block_vq_trained.BITS)
    first, last = ([row for row in rows if row["step"] == step] for step in (0, 4))
    assert len(first) == len(last) == cells
    assert all(before["bits_per_byte"] != after["bits_per_byte"] for before, after in zip(first, last, strict=True))
    assert {before["bits_per_byte"] for before in first} <= {row["bits_per_byte"] for row in block_vq_lm.run(run)}
    assert block_vq_trained.run(run) == rows  # from what the run kept


def test_they_are_listed():
    assert {"rotation_lm", "rotation_kv_lm", "block_vq_lm", "block_vq_qat_lm"} <= set(EXPERIMENTS)


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_pictures_are_drawn_from_the_committed_tables(name, tmp_path):
    """The same bytes every time; the committed picture is of the same size."""
    pytest.importorskip("matplotlib")
    drawn = CliRunner().invoke(main, [name, "--draw", "--output", str(tmp_path / "a.png")])
    assert drawn.exit_code == 0, drawn.output
    pictures.save(name, tmp_path / "b.png")
    data = (tmp_path / "a.png").read_bytes()
    assert data == (tmp_path / "b.png").read_bytes()
    committed = (results.FOLDER / f"{name}.png").read_bytes()
    assert data[:24] == committed[:24]  # the file's signature, width and height


def test_what_has_no_picture_is_told():
    told = CliRunner().invoke(main, ["byte_lm_draft", "--draw"])
    assert told.exit_code == 2
    assert "no picture of 'byte_lm_draft'" in told.output
