"""Activations, softmaxes and norms by table on the trained models, calibrated only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

from accelsim.schemes.lut import Mode
from algos.compress import Config
from algos.experiments.post_training import table
from algos.experiments.registry import Row, Run
from algos.experiments.schemes import PLAIN
from algos.gqa_lut.config import GqaLutConfig
from algos.quant import QuantConfig

Width = Literal[8, 16]

# Widths of the codes of activations, and of those of 1/x and 1/sqrt(x).
_WIDTHS: Mapping[str, tuple[Width, Width]] = {"int8": (8, 8), "int8_rows_int16": (8, 16), "int16": (16, 16)}


def _tables(width: str, entries: int, mode: Mode) -> GqaLutConfig:
    bits, row_bits = _WIDTHS[width]
    return GqaLutConfig(entries=entries, mode=mode, bits=bits, row_bits=row_bits)


WHOLE: dict[str, Config | None] = {
    f"{base}lut{entries}_{mode}_{width}": (*configs, _tables(width, entries, mode))
    for base, configs in (("", ()), ("w8a8_", (QuantConfig(),)))
    for width in _WIDTHS
    for entries in (8, 16)
    for mode in get_args(Mode)
}
"""Every function replaced, alone and with 8-bit weights and activations."""

PARTS: dict[str, Config | None] = {
    f"lut8_per_scale_int{bits}_{part}_only": GqaLutConfig(
        bits=bits, row_bits=bits, activations=part == "activations", softmax=part == "softmax", norms=part == "norms"
    )
    for bits in get_args(Width)
    for part in ("activations", "softmax", "norms")
}
"""One kind of function replaced: which of them it is that costs."""

_FEWER = {
    "minilm": ("lut8_per_scale_int8", "lut8_per_scale_int8_rows_int16", "w8a8_lut8_per_scale_int8_rows_int16"),
    "byte_lm_target_tenth": (
        *(f"lut8_per_scale_{width}" for width in _WIDTHS),
        *(f"w8a8_lut8_per_scale_{width}" for width in ("int8", "int8_rows_int16")),
        *(name for name in PARTS if "int8" in name),
    ),
}
"""Cells of the models that take minutes each."""


def lut(model: str) -> Callable[[Run], Sequence[Row]]:
    """One model's table, the baselines above it."""
    cells = WHOLE | PARTS
    return lambda run: table(run, (model,), PLAIN | {name: cells[name] for name in _FEWER.get(model, cells)})
