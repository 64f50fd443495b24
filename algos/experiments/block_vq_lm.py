"""Bits per byte of the byte-level model with 2, 3 and 4-bit weights, calibrated alone: codebooks, round to nearest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from algos.block_vq.config import BlockVqConfig, second_moments, storage
from algos.block_vq.nearest import GridLinear
from algos.compress import compress_
from algos.experiments.registry import Row, Run
from algos.layers import candidates, replace_
from algos.scheme_config import Batch
from algos.trained import byte_lm, stdlib_text

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

SCORED_EVERY = 5
"""Of the held-out rows every fifth is scored: 65 rows, 33,280 bytes."""
CALIBRATION_ROWS = 16
LAYERS = ("*layers.*",)
"""Embedding and head stay as they are."""
BITS = (2, 3, 4)

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
    cells = [(method, bits) for method in METHODS for bits in BITS]
    rows = [_row("none", 32, byte_lm.load("target"))]
    for number in run.track(range(len(cells)), len(cells), 0):
        model, per_value = compressed(*cells[number])
        rows.append(_row(cells[number][0], per_value, model))
    return rows


def _row(method: str, per_value: float, model: LlamaForCausalLM) -> Row:
    return {"method": method, "bits_per_value": f"{per_value:.4f}", "bits_per_byte": f"{score(model):.5f}"}


def score(model: LlamaForCausalLM) -> float:
    """Bits per byte of the rows that are scored here."""
    scored = stdlib_text.windows(stdlib_text.held_out_text("score"), byte_lm.CONTEXT_BYTES)[::SCORED_EVERY]
    return float(byte_lm.bits_per_byte(model, scored).mean())


def compressed(method: str, bits: int) -> tuple[LlamaForCausalLM, float]:
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
