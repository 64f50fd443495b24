"""Train the byte-level target model on the standard library's source and ship it as float16."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from algos.experiments.registry import Row, Run
from algos.experiments.training import CurvePoint, Rates, batches, pretraining_optimizers, train
from algos.trained import byte_lm, checkpoint, stdlib_text

STEPS = 3000
BATCH = 8
RATES = Rates(hidden=1e-2, other=3e-3)


def run(run: Run) -> Sequence[Row]:
    """The loss curve in bits per byte; the last row also scores the shipped float16 checkpoint."""
    torch.manual_seed(run.seed)
    sizes = byte_lm.SIZES["target"]
    model = byte_lm.create(sizes)
    model.set_attn_implementation("sdpa")
    rows = training_rows(run.seed, BATCH)

    def loss(step: int) -> torch.Tensor:
        ids = rows(step)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        return torch.nn.functional.cross_entropy(logits.float().transpose(1, 2), ids[:, 1:])

    curve = train(model, loss, STEPS, pretraining_optimizers(model, RATES), run)
    checkpoint.save(checkpoint.checkpoint_path("byte_lm_target"), model, sizes, torch.float16)
    return curve_rows(curve, "target")


def training_rows(seed: int, batch: int) -> Callable[[int], torch.Tensor]:
    """A step's token ids, shape (batch, CONTEXT_BYTES + 1), cut from the training files at random offsets."""
    text = stdlib_text.training_text()
    length = byte_lm.CONTEXT_BYTES + 1
    offsets = batches(len(text), length, batch, seed)

    def rows(step: int) -> torch.Tensor:
        return torch.from_numpy(np.stack([text[start : start + length] for start in offsets(step)]).astype(np.int64))

    return rows


def curve_rows(curve: Sequence[CurvePoint], name: byte_lm.Name) -> list[Row]:
    """One row per point of the curve, the held-out score of the shipped checkpoint in the last."""
    held_out = stdlib_text.windows(stdlib_text.held_out_text("score"), byte_lm.CONTEXT_BYTES)
    score = float(byte_lm.bits_per_byte(byte_lm.load(name), held_out).mean())
    return [
        {
            "step": point.step,
            "bytes_seen": point.step * BATCH * byte_lm.CONTEXT_BYTES,
            "train_bits_per_byte": f"{point.loss / np.log(2):.4f}",
            "cpu_s": f"{point.cpu_s:.1f}",
            "held_out_bits_per_byte": f"{score:.5f}" if point is curve[-1] else "",
        }
        for point in curve
    ]
