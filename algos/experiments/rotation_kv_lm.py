"""Bits per byte of the byte-level model with keys and values cached in 8 to 2 bits, before and after rotation."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch

from algos.compress import compress_
from algos.experiments.registry import Row, Run
from algos.experiments.rotation_lm import CALIBRATION_ROWS, PEAK_ROWS, SCORED_EVERY
from algos.kv_quant import CacheQuantiser, KvQuantConfig
from algos.rotation.config import RotationConfig
from algos.rotation.measure import Peaks, input_peaks
from algos.rotation.outliers import inject_cache_outliers_
from algos.scheme_config import SchemeConfig
from algos.token_quant import TokenQuantConfig
from algos.trained import byte_lm, stdlib_text

OUTLIER_SHARE, OUTLIER_FACTOR = 1 / 16, 8.0
"""One pair of channels of a head's key, two of its 32 values."""
ROTATIONS: Mapping[str, RotationConfig | None] = {
    "none": None,
    "keys": RotationConfig(residual=False, values=False, down="none", keys=True),
    "keys and values": RotationConfig(residual=False, down="none", keys=True),
}
CACHES: Mapping[str, KvQuantConfig | None] = {
    "FP32": None,
    **{f"KV{bits}": KvQuantConfig(key_bits=bits, value_bits=bits) for bits in (8, 4, 3, 2)},
}
WITH_W4A8 = ("FP32", "KV8", "KV4")


def run(run: Run) -> Sequence[Row]:
    """Per network, rotation, width of everything else and cache one row."""
    scored = stdlib_text.windows(stdlib_text.held_out_text("score"), byte_lm.CONTEXT_BYTES)[::SCORED_EVERY]
    cells = [(network, rotation) for network in ("as trained", "outliers injected") for rotation in ROTATIONS]
    rows: list[Row] = []
    for number in run.track(range(len(cells)), len(cells), 0):
        network, rotation = cells[number]
        model = byte_lm.load("target")
        if network != "as trained":
            inject_cache_outliers_(model, share=OUTLIER_SHARE, factor=OUTLIER_FACTOR, seed=run.seed)
        config = ROTATIONS[rotation]
        if config is not None:
            compress_(model, config)
        peaks = _peaks(model)
        widths: dict[str, SchemeConfig | None] = {"FP32": None, "W4A8 per token": TokenQuantConfig(weight_bits=4)}
        for width, quant in widths.items():
            for cache in CACHES if quant is None else WITH_W4A8:
                configs = [config for config in (quant, CACHES[cache]) if config is not None]
                compressed = copy.deepcopy(model)
                for step in configs:
                    compress_(compressed, step)
                score = float(byte_lm.bits_per_byte(compressed, scored).mean())
                named = {"network": network, "rotation": rotation, "width": width, "cache": cache}
                rows.append({**named, "bits_per_byte": f"{score:.5f}", **peaks})
    return rows


def _peaks(model: torch.nn.Module) -> dict[str, str]:
    """Kurtosis, and largest magnitude over root mean square, of what is cached: means over layers."""
    shown = stdlib_text.windows(stdlib_text.held_out_text("calibrate"), byte_lm.CONTEXT_BYTES)[:CALIBRATION_ROWS]
    watched = copy.deepcopy(model)
    compress_(watched, KvQuantConfig(key_bits=16, value_bits=16))
    batch = {"input_ids": torch.from_numpy(shown[:PEAK_ROWS]), "use_cache": False}
    found = input_peaks(watched, [batch], CacheQuantiser)
    shape = {}
    for part in ("key", "value"):
        peaks: list[Peaks] = [peak for path, peak in found.items() if path.endswith(f"{part}_quant")]
        for name in ("kurtosis", "max_over_rms"):
            shape[f"{name}_{part}"] = f"{sum(getattr(peak, name) for peak in peaks) / len(peaks):.2f}"
    return shape
