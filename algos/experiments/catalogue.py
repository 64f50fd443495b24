"""Every experiment by name: one file each, one row or one family of rows here."""

from __future__ import annotations

from algos.experiments import apsq_tuned, byte_lm_draft, byte_lm_target, digits_vit, post_training
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
        for model in ("byte_lm_target", "digits_vit")
    },
}
