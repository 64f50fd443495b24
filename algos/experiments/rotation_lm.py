"""Bits per byte of the byte-level model from W8A8 to W4A4, before and after rotation, and its inputs' peaks."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from algos.compress import compress_
from algos.experiments.registry import Row, Run
from algos.quant import QuantConfig
from algos.rotation.config import RotationConfig
from algos.rotation.measure import input_peaks
from algos.rotation.outliers import inject_outliers_
from algos.scheme_config import SchemeConfig
from algos.token_quant import TokenQuantConfig
from algos.trained import byte_lm, stdlib_text

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

SCORED_EVERY = 5
"""Of the held-out rows every fifth is scored: 65 rows, 33,280 bytes."""
CALIBRATION_ROWS = 16
PEAK_ROWS = 8
OUTLIER_SHARE, OUTLIER_FACTOR = 1 / 64, 32.0


ROTATIONS: Mapping[str, RotationConfig | None] = {
    "none": None,
    "residual and values": RotationConfig(down="none"),
    "and down, full": RotationConfig(down="full"),
    "and down, local": RotationConfig(down="local", max_points=16),
}
WIDTHS: Mapping[str, SchemeConfig | None] = {
    "FP32": None,
    "W8A8 per token": TokenQuantConfig(),
    "W4A8 per token": TokenQuantConfig(weight_bits=4),
    "W4A4 per token": TokenQuantConfig(weight_bits=4, activation_bits=4),
    "W4A8 static": QuantConfig(weight_bits=4, attention=False),
}


def run(run: Run) -> Sequence[Row]:
    """Per network, rotation and width one row; the network as trained and with outlier channels injected."""
    peaks_of = [{"input_ids": torch.from_numpy(_shown()[:PEAK_ROWS]), "use_cache": False}]
    cells = [(network, rotation) for network in ("as trained", "outliers injected") for rotation in ROTATIONS]
    rows: list[Row] = []
    for number in run.track(range(len(cells)), len(cells), 0):
        network, rotation = cells[number]
        model = rotated(network, rotation, run.seed)
        peaks = {_short(path): found for path, found in input_peaks(model, peaks_of).items()}
        shape = {
            f"{name}_{layer}": f"{sum(getattr(peaks[path], name) for path in peaks if layer in path) / count:.2f}"
            for layer in ("q_proj", "gate_proj", "o_proj", "down_proj")
            for count in [sum(layer in path for path in peaks)]
            for name in ("kurtosis", "max_over_rms")
        }
        for width in WIDTHS:
            bits = f"{score(copy.deepcopy(model), width):.5f}"
            rows.append({"network": network, "rotation": rotation, "width": width, "bits_per_byte": bits} | shape)
    return rows


def rotated(network: str, rotation: str, seed: int) -> LlamaForCausalLM:
    """The model in float32, as trained or with outliers injected, rotated by a row of `ROTATIONS`."""
    model, config = byte_lm.load("target"), ROTATIONS[rotation]
    if network != "as trained":
        inject_outliers_(model, share=OUTLIER_SHARE, factor=OUTLIER_FACTOR, seed=seed)
    if config is not None:
        compress_(model, config)
    return model


def score(model: LlamaForCausalLM, width: str) -> float:
    """Bits per byte of the model, which is quantised in place as a row of `WIDTHS` says."""
    scored = stdlib_text.windows(stdlib_text.held_out_text("score"), byte_lm.CONTEXT_BYTES)[::SCORED_EVERY]
    quant = WIDTHS[width]
    if quant is not None:
        compress_(model, quant, [{"input_ids": torch.from_numpy(_shown()), "use_cache": False}])
    return float(byte_lm.bits_per_byte(model, scored).mean())


def _shown() -> NDArray[np.int64]:
    return stdlib_text.windows(stdlib_text.held_out_text("calibrate"), byte_lm.CONTEXT_BYTES)[:CALIBRATION_ROWS]


def _short(path: str) -> str:
    return path.removeprefix("model.layers.").removesuffix(".linear")
