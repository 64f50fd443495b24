"""Bits per byte of the byte-level model with 2, 3 and 4-bit weights: codebooks and round to nearest, PTQ and QAT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from algos.block_vq.config import BlockVqConfig, second_moments, storage
from algos.block_vq.layer import CodebookLinear
from algos.block_vq.nearest import GridLinear
from algos.compress import compress_
from algos.experiments.byte_lm_target import BATCH, training_rows
from algos.experiments.registry import Row, Run
from algos.layers import candidates, replace_
from algos.scheme_config import Batch
from algos.trained import byte_lm, stdlib_text

SCORED_EVERY = 5
"""Of the held-out rows every fifth is scored: 65 rows, 33,280 bytes."""
CALIBRATION_ROWS = 16
LAYERS = ("*layers.*",)
"""Embedding and head stay as they are."""
QAT_BITS = (2,)
QAT_STEPS = 100
WARM_UP_STEPS = 10

_CHIP = {bits: BlockVqConfig(layers=LAYERS, entries=2 * bits) for bits in (2, 3, 4)}
_SMALL = {
    bits: BlockVqConfig(layers=LAYERS, block_rows=4, block_cols=4, group=128, entries=entries)
    for bits, entries in ((2, 50), (3, 82), (4, 112))
}
_CLASSIC = {
    bits: BlockVqConfig(layers=LAYERS, block_rows=1, block_cols=cols, group=None, entries=entries, value_bits=8)
    for bits, cols, entries in ((2, 4, 256), (3, 2, 64), (4, 2, 256))
}
# Bits per value without scales: the chip's blocks, smaller blocks in longer groups, one codebook of short vectors.
METHODS: Mapping[str, Mapping[int, BlockVqConfig] | None] = {
    "round to nearest": None,
    "block codebooks 16 x 16, 8 share": _CHIP,
    "block codebooks 4 x 4, 128 share": _SMALL,
    "classic VQ": _CLASSIC,
}


def run(run: Run) -> Sequence[Row]:
    """One row per method and bits, after rounding or k-means."""
    cells = [(method, bits) for method in METHODS for bits in (2, 3, 4)]
    rows = [_row("none", 0, 32, byte_lm.load("target"))]
    for number in run.track(range(len(cells)), len(cells), 0):
        model, per_value = _compressed(*cells[number])
        rows.append(_row(cells[number][0], 0, per_value, model))
    return rows


def run_trained(run: Run) -> Sequence[Row]:
    """One row per method and bits of `QAT_BITS`, after a short training; the uncompressed model trained alike first."""
    cells = [("none", 32), *((method, bits) for bits in QAT_BITS for method in METHODS)]
    rows: list[Row] = []
    for number in run.track(range(len(cells)), len(cells), 0):
        method, bits = cells[number]
        torch.manual_seed(run.seed)
        model, per_value = (byte_lm.load("target"), 32.0) if method == "none" else _compressed(method, bits)
        _train_(model, run.seed)
        rows.append(_row(method, QAT_STEPS, per_value, model))
    return rows


def _row(method: str, steps: int, per_value: float, model: torch.nn.Module) -> Row:
    scored = stdlib_text.windows(stdlib_text.held_out_text("score"), byte_lm.CONTEXT_BYTES)[::SCORED_EVERY]
    score = float(byte_lm.bits_per_byte(model, scored).mean())
    return {
        "method": method, "training_steps": steps, "bits_per_value": f"{per_value:.4f}", "bits_per_byte": f"{score:.5f}"
    }  # fmt: skip


def _compressed(method: str, bits: int) -> tuple[torch.nn.Module, float]:
    """The model with weights of so many bits, and its bits per value with everything counted."""
    shown = stdlib_text.windows(stdlib_text.held_out_text("calibrate"), byte_lm.CONTEXT_BYTES)[:CALIBRATION_ROWS]
    calibration = [{"input_ids": torch.from_numpy(shown), "use_cache": False}]
    model, configs = byte_lm.load("target"), METHODS[method]
    if configs is None:
        return model, _round_(model, bits, calibration)
    compress_(model, configs[bits], calibration)
    return model, storage(model).per_value


def _round_(model: torch.nn.Module, bits: int, calibration: Sequence[Batch]) -> float:
    """Round the weights of the layers to nearest; bits per value."""
    found = [linear for _, linear, _ in candidates(model, (torch.nn.Linear,), LAYERS, ())]
    linears = [linear for linear in found if isinstance(linear, torch.nn.Linear)]
    moments = second_moments(model, linears, calibration)
    stored = values = 0
    for linear in linears:
        layer = GridLinear(linear, bits, moments.get(linear))
        stored, values = stored + layer.stored_bits, values + linear.weight.numel()
        replace_(model, linear, layer)
    return stored / values


def _train_(model: torch.nn.Module, seed: int) -> None:
    """A short training of everything the method has, on the model's own training text."""
    model.train()
    rows = training_rows(seed, BATCH)
    optimiser = torch.optim.Adam(_groups(model), betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _rate)
    for step in range(QAT_STEPS):
        for module in model.modules():
            if isinstance(module, CodebookLinear):
                module.temperature = 1.0 - 0.9 * step / QAT_STEPS
        ids = rows(step)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.float().transpose(1, 2), ids[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
    model.eval()


def _rate(step: int) -> float:
    return min(1.0, (step + 1) / WARM_UP_STEPS, (QAT_STEPS - step) / (0.5 * QAT_STEPS))


def _groups(model: torch.nn.Module) -> list[dict[str, object]]:
    """Rates by what a parameter is: entries count in integers, logits in nats, scales and steps are small."""
    rates = {"codebook": 2e-2, "logits": 5e-2, "scale": 3e-4, "step": 3e-4, "low": 3e-4, "raw": 1e-3}
    groups: dict[float, list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        groups.setdefault(rates.get(name.rpartition(".")[2], 5e-4), []).append(parameter)
    return [{"params": parameters, "lr": rate} for rate, parameters in groups.items()]
