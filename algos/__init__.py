"""PyTorch compression algorithms (need the extra `torch`); their shared definitions are in `accelsim.schemes`.

`compress_(model, config)` compresses in place, `plan(model, config)` says what it would do,
`calibrate_(model, data)` learns scales from data, `load_recipe(name)` reads a config from YAML. Of
accelsim, this package knows `accelsim.schemes` and the errors of `accelsim.errors`. Importing it
imports no torch; its functions do, at first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from algos.apsq import ApsqConfig
    from algos.block_vq.config import BlockVqConfig
    from algos.calibrate import calibrate_
    from algos.changes import CompressionReport, LayerChange
    from algos.compress import compress_, plan
    from algos.gqa_lut.config import GqaLutConfig
    from algos.kv_quant import KvQuantConfig
    from algos.quant import QuantConfig
    from algos.recipe import load_recipe, recipe_names
    from algos.rotation.config import RotationConfig
    from algos.token_quant import TokenQuantConfig

_HOME = {
    "ApsqConfig": "algos.apsq",
    "BlockVqConfig": "algos.block_vq.config",
    "CompressionReport": "algos.changes",
    "GqaLutConfig": "algos.gqa_lut.config",
    "KvQuantConfig": "algos.kv_quant",
    "LayerChange": "algos.changes",
    "QuantConfig": "algos.quant",
    "RotationConfig": "algos.rotation.config",
    "TokenQuantConfig": "algos.token_quant",
    "calibrate_": "algos.calibrate",
    "compress_": "algos.compress",
    "load_recipe": "algos.recipe",
    "plan": "algos.compress",
    "recipe_names": "algos.recipe",
}

__all__ = [
    "ApsqConfig", "BlockVqConfig", "CompressionReport", "GqaLutConfig", "KvQuantConfig", "LayerChange", "QuantConfig",
    "RotationConfig", "TokenQuantConfig",
    "calibrate_", "compress_", "load_recipe", "plan", "recipe_names",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'algos' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
