"""Train the vision transformer on scikit-learn's digits and ship it as float32."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from algos.experiments.registry import Row, Run
from algos.experiments.training import LossOfStep, Rates, pretraining_optimizers, train
from algos.trained import checkpoint, digits_vit

STEPS = 3000
BATCH = 64
RATES = Rates(hidden=3e-3, other=2e-3)


def run(run: Run) -> Sequence[Row]:
    """The loss curve; the last row also scores the checkpoint on the images it never saw."""
    torch.manual_seed(run.seed)
    model = digits_vit.create(digits_vit.SIZES)
    curve = train(model, loss_of_step(model, run.seed), STEPS, pretraining_optimizers(model, RATES), run)
    checkpoint.save(checkpoint.checkpoint_path(digits_vit.NAME), model, digits_vit.SIZES, torch.float32)
    score = digits_vit.score(digits_vit.load(), digits_vit.held_out_set())
    return [
        {
            "step": point.step,
            "train_loss": f"{point.loss:.5f}",
            "cpu_s": f"{point.cpu_s:.1f}",
            "held_out_accuracy_pct": f"{100 * score.accuracy:.3f}" if point is curve[-1] else "",
            "held_out_loss": f"{score.loss:.5f}" if point is curve[-1] else "",
        }
        for point in curve
    ]


def loss_of_step(model: torch.nn.Module, seed: int) -> LossOfStep:
    """Cross entropy of a step's training images, each moved by -1..1 pixels along both axes."""
    data = digits_vit.training_set()
    padded = torch.nn.functional.pad(data.images, (1, 1, 1, 1), value=-1.0)

    def loss(step: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        chosen = torch.randint(len(padded), (BATCH,), generator=generator)
        rows, columns = (torch.randint(3, (BATCH, 1), generator=generator) + torch.arange(8) for _ in range(2))
        images = padded[chosen[:, None, None], 0, rows[:, :, None], columns[:, None, :]]
        logits = model(pixel_values=images[:, None]).logits
        return torch.nn.functional.cross_entropy(logits, data.labels[chosen])

    return loss
