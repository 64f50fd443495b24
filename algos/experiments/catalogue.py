"""Every experiment by name: one file each, one row or one family of rows here."""

from __future__ import annotations

from algos.experiments import (
    acceptance_byte_lm,
    apsq_tuned,
    block_vq_lm,
    block_vq_trained,
    byte_lm_draft,
    byte_lm_target,
    digits_vit,
    lut,
    post_training,
    rotation_kv_lm,
    rotation_lm,
)
from algos.experiments.registry import Experiment

EXPERIMENTS: dict[str, Experiment] = {
    "byte_lm_target": Experiment(byte_lm_target.run, "train the byte-level language model (40 CPU-minutes)"),
    "byte_lm_draft": Experiment(byte_lm_draft.run, "train the language model's draft (5 CPU-minutes)"),
    "digits_vit": Experiment(digits_vit.run, "train the vision transformer on digits (2 CPU-minutes)"),
    "baselines": Experiment(post_training.baselines, "every model in FP32 and W8A8"),
    **{
        f"apsq_{model}": Experiment(post_training.apsq(model), f"{model} with APSQ, calibrated only")
        for model in ("minilm", "byte_lm_target", "digits_vit")
    },
    **{
        f"apsq_tuned_{model}": Experiment(apsq_tuned.tuned(model), f"{model} with APSQ, trained on")
        for model in ("byte_lm_target", "digits_vit", "minilm")
    },
    **{
        f"lut_{model}": Experiment(lut.lut(model), f"{model} with functions by table, calibrated only")
        for model in ("minilm", "byte_lm_target_tenth", "digits_vit")
    },
    "block_vq_lm": Experiment(block_vq_lm.run, "codebook weights of the byte-level model, by k-means (6 CPU-minutes)"),
    "block_vq_qat_lm": Experiment(block_vq_trained.run, "the same, trained (20 CPU-minutes)"),
    "rotation_kv_lm": Experiment(
        rotation_kv_lm.run, "cached keys and values in 8 to 2 bits, rotated or not (6 CPU-minutes)"
    ),
    "acceptance_byte_lm": Experiment(
        acceptance_byte_lm.run, "acceptance of the byte-level model's draft by its target (2 CPU-minutes)"
    ),
    "rotation_lm": Experiment(rotation_lm.run, "W8A8 to W4A4 of the byte-level model, rotated or not (15 CPU-minutes)"),
}
