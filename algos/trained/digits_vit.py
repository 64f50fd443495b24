"""A vision transformer for scikit-learn's 8x8 handwritten digits: 2x2 patches, 10 classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from algos.trained import checkpoint

if TYPE_CHECKING:
    import torch
    from transformers import ViTForImageClassification

NAME = "digits_vit"
SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4}
TRAINING_IMAGES = 1000
CALIBRATION_IMAGES = 200
SPLIT_SEED = 20_25


@dataclass(frozen=True)
class Digits:
    """Images (n, 1, 8, 8) with pixels in -1..1 and their labels (n,)."""

    images: torch.Tensor
    labels: torch.Tensor


@dataclass(frozen=True)
class Score:
    """Share of images classified rightly, and mean cross entropy in nats."""

    accuracy: float
    loss: float


def create(sizes: dict[str, int]) -> ViTForImageClassification:
    """A model with fresh weights drawn from torch's current random state; `sizes` as `SIZES`."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        image_size=8,
        patch_size=2,
        num_channels=1,
        num_labels=10,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager",
        **sizes,
    )
    return ViTForImageClassification(config)


def load() -> ViTForImageClassification:
    """The trained model in float32 and eval mode; UserError if its checkpoint is missing or damaged."""
    sizes, tensors = checkpoint.read(checkpoint.checkpoint_path(NAME))
    model = create(sizes)
    model.load_state_dict(tensors)
    return model.eval()


def training_set() -> Digits:
    """The 1000 images the model was trained on."""
    return _images(slice(0, TRAINING_IMAGES))


def calibration_set() -> Digits:
    """The first 200 training images, for calibrating a compression without labels."""
    return _images(slice(0, CALIBRATION_IMAGES))


def held_out_set() -> Digits:
    """The 797 images the model never saw."""
    return _images(slice(TRAINING_IMAGES, None))


def score(model: torch.nn.Module, data: Digits) -> Score:
    """Accuracy and loss of any model that maps `pixel_values` to an output with `logits` (n, 10)."""
    import torch

    with torch.inference_mode():
        logits = model(pixel_values=data.images).logits.double()
        loss = torch.nn.functional.cross_entropy(logits, data.labels)
        right = (logits.argmax(dim=1) == data.labels).double().mean()
    return Score(float(right), float(loss))


def _images(part: slice) -> Digits:
    import torch
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    chosen = np.random.default_rng(SPLIT_SEED).permutation(len(labels))[part]
    images = torch.tensor(pixels[chosen] / 8 - 1, dtype=torch.float32).reshape(-1, 1, 8, 8)
    return Digits(images, torch.tensor(labels[chosen]))
