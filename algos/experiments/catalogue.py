"""Every experiment by name: one file each, one row here."""

from __future__ import annotations

from algos.experiments import byte_lm_draft, byte_lm_target, digits_vit
from algos.experiments.registry import Experiment

EXPERIMENTS: dict[str, Experiment] = {
    "byte_lm_draft": Experiment(byte_lm_draft.run, "train the language model's draft (10 CPU-minutes)"),
    "byte_lm_target": Experiment(byte_lm_target.run, "train the byte-level language model (35 CPU-minutes)"),
    "digits_vit": Experiment(digits_vit.run, "train the vision transformer on digits (3 CPU-minutes)"),
}
