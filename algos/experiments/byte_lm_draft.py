"""Train the small draft of the byte-level model, half on the text, half on the target's distribution."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from algos.experiments.byte_lm_target import BATCH, curve_rows, training_rows
from algos.experiments.registry import Row, Run
from algos.experiments.training import Rates, pretraining_optimizers, train
from algos.trained import byte_lm, checkpoint

STEPS = 700
RATES = Rates(hidden=1e-2, other=4e-3)


def run(run: Run) -> Sequence[Row]:
    """The curve of the cross entropy with the mean of text and target, and the score of the checkpoint."""
    torch.manual_seed(run.seed)
    sizes = byte_lm.SIZES["draft"]
    model, target = byte_lm.create(sizes), byte_lm.load("target")
    model.set_attn_implementation("sdpa")
    target.set_attn_implementation("sdpa")
    rows = training_rows(run.seed, BATCH)

    def loss(step: int) -> torch.Tensor:
        ids = rows(step)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(input_ids=ids[:, :-1], use_cache=False).logits
            with torch.no_grad():
                wanted = target(input_ids=ids[:, :-1], use_cache=False).logits
        text = torch.nn.functional.one_hot(ids[:, 1:], logits.shape[-1])
        aim = (wanted.float().softmax(dim=-1) + text) / 2
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), aim.flatten(0, 1))

    curve = train(model, loss, STEPS, pretraining_optimizers(model, RATES), run)
    checkpoint.save(checkpoint.checkpoint_path("byte_lm_draft"), model, sizes, torch.float16)
    return curve_rows(curve, "draft")
