"""The compression schemes there are, by the word that recipes use."""

from __future__ import annotations

from algos.apsq import ApsqConfig
from algos.quant import QuantConfig
from algos.scheme_config import SchemeConfig

CONFIGS: dict[str, type[SchemeConfig]] = {config.name: config for config in (QuantConfig, ApsqConfig)}
