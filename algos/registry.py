"""The compression schemes there are, by the word that recipes use."""

from __future__ import annotations

from algos.apsq import ApsqConfig
from algos.block_vq.config import BlockVqConfig
from algos.gqa_lut.config import GqaLutConfig
from algos.kv_quant import KvQuantConfig
from algos.quant import QuantConfig
from algos.rotation.config import RotationConfig
from algos.scheme_config import SchemeConfig
from algos.token_quant import TokenQuantConfig

CONFIGS: dict[str, type[SchemeConfig]] = {
    config.name: config
    for config in (
        ApsqConfig,
        BlockVqConfig,
        GqaLutConfig,
        KvQuantConfig,
        QuantConfig,
        RotationConfig,
        TokenQuantConfig,
    )
}
