"""Rotated networks compute what they did, and their activations lose their peaks."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from accelsim.schemes import RotationScheme  # noqa: E402
from accelsim.schemes.hadamard import hadamard  # noqa: E402
from algos.compress import compress_, plan  # noqa: E402
from algos.rotation.config import RotationConfig  # noqa: E402
from algos.rotation.fuse import RotatedLinear, fold_norms_, stream_width  # noqa: E402
from algos.rotation.measure import input_peaks  # noqa: E402
from algos.rotation.outliers import inject_outliers_  # noqa: E402
from algos.rotation.rotate import OnlineRotation, fwht, rotate, unrotate  # noqa: E402
from algos.rotation.stream import find_base  # noqa: E402

TOLERANCE = 1e-9
IDS = torch.arange(18).reshape(2, 9) * 7 % 50
IMAGES = torch.linspace(-1, 1, 128, dtype=torch.float64).sin().reshape(2, 1, 8, 8)


def llama(kind: str = "Llama", **changes: object) -> torch.nn.Module:
    """A small LLaMA-like network in float64 with weights far from their start, heads of 12, FFN 80 = 4 x 20."""
    sizes = {
        "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 12, "vocab_size": 50,
    }  # fmt: skip
    config = getattr(transformers, f"{kind}Config")(**(sizes | changes))
    torch.manual_seed(0)
    return shaken(getattr(transformers, f"{kind}ForCausalLM")(config))


def vit(kind: str = "ViTForImageClassification") -> torch.nn.Module:
    config = transformers.ViTConfig(
        hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4,
        image_size=8, patch_size=4, num_channels=1, num_labels=5,
    )  # fmt: skip
    torch.manual_seed(0)
    return shaken(getattr(transformers, kind)(config))


def shaken(model: torch.nn.Module) -> torch.nn.Module:
    """Every parameter moved, gains and biases too; norms in float64, which HuggingFace's round to float32."""
    generator = torch.Generator().manual_seed(1)
    model = model.double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return with_exact_norms(model)


def with_exact_norms(model: torch.nn.Module) -> torch.nn.Module:
    """RMS norms that stay in float64."""
    for path, module in list(model.named_modules()):
        if type(module).__name__.endswith("RMSNorm"):
            norm = torch.nn.RMSNorm(len(module.weight), eps=module.variance_epsilon)
            norm.weight = module.weight
            model.set_submodule(path, norm)
    return model


def outputs(model: torch.nn.Module) -> list[torch.Tensor]:
    image = "ViT" in type(model).__name__
    with torch.no_grad():
        found = model(pixel_values=IMAGES) if image else model(input_ids=IDS, use_cache=False)
    return [value for value in found.values() if isinstance(value, torch.Tensor)]


def difference(before: list[torch.Tensor], after: list[torch.Tensor]) -> float:
    """Relative to the largest output."""
    assert len(before) == len(after) > 0
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(before, after, strict=True))


MODELS = {
    "llama": llama,
    "tied, with biases": lambda: llama(tie_word_embeddings=True, attention_bias=True, mlp_bias=True),
    "mistral": lambda: llama("Mistral"),
    "qwen2": lambda: llama("Qwen2"),
    "vit": vit,
    "vit without head": lambda: vit("ViTModel"),
}
CONFIGS = {
    "residual": RotationConfig(values=False, down="none", seed=3),
    "values": RotationConfig(residual=False, down="none"),
    "down": RotationConfig(residual=False, values=False),
    "local": RotationConfig(residual=False, values=False, down="local", max_points=8),
    "all": RotationConfig(down="local", max_points=16, seed=9),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
@pytest.mark.parametrize("build", MODELS.values(), ids=list(MODELS))
def test_function_is_kept(build, config):
    model = build()
    before, state = outputs(model), copy.deepcopy(model.state_dict())
    report = compress_(model, config)
    assert report.changed
    assert not report.skipped
    assert difference(before, outputs(model)) <= TOLERANCE
    after = {name.replace(".linear.", "."): value for name, value in model.state_dict().items()}
    assert any(not torch.equal(value, state[name]) for name, value in after.items() if name in state)


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("down", ["full", "local"])
def test_function_of_the_trained_language_model_is_kept(down, seed):
    """The shipped checkpoint in float64, everything rotated that there is to rotate."""
    from algos.trained import byte_lm

    model = with_exact_norms(byte_lm.load("target").double())
    model.set_attn_implementation("sdpa")  # HuggingFace's own attention takes its softmax in float32
    ids = torch.arange(96).reshape(2, 48) * 5 % 128
    with torch.no_grad():
        before = model(input_ids=ids, use_cache=False).logits
        compress_(model, RotationConfig(down=down, max_points=16, keys=True, seed=seed))
        after = model(input_ids=ids, use_cache=False).logits
    assert difference([before], [after]) <= TOLERANCE


@pytest.mark.parametrize("kind", ["Llama", "Mistral"])
def test_keys_keep_the_scores(kind):
    model = llama(kind)
    before = outputs(model)
    report = compress_(model, RotationConfig(keys=True))
    assert sum("queries and keys" in change.change for change in report.changed) == 2
    assert difference(before, outputs(model)) <= TOLERANCE


def test_keys_are_rotated_where_they_meet():
    """What the attention multiplies is q Q and k Q: their products are those of q and k, they are not."""
    model = llama()
    seen = []
    compress_(model, RotationConfig(residual=False, values=False, down="none", keys=True))
    rotation = model.model.layers[0].self_attn.key_query_rotation
    rotation.register_forward_hook(lambda _, given, made: seen.append((given[0], made)))
    outputs(model)
    (query, rotated_query), (key, rotated_key) = seen[:2]
    key, rotated_key = (x.repeat_interleave(2, 1) for x in (key, rotated_key))
    assert torch.allclose(query @ key.mT, rotated_query @ rotated_key.mT, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(query, rotated_query)


def test_a_cache_gives_the_same_tokens():
    model = llama()
    reference = model.generate(IDS[:, :4], max_new_tokens=6, do_sample=False)
    compress_(model, RotationConfig(keys=True))
    assert torch.equal(model.generate(IDS[:, :4], max_new_tokens=6, do_sample=False), reference)


def test_float32_huggingface_norms():
    """An untouched HuggingFace network, whose norms work in float32: equal to float32's rounding."""
    config = transformers.LlamaConfig(
        hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4, vocab_size=50
    )
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config).eval()
    before = outputs(model)
    compress_(model, RotationConfig())
    assert difference(before, outputs(model)) < 1e-4


def test_folding_alone_keeps_the_function():
    for build in MODELS.values():
        model = build()
        before = outputs(model)
        base = find_base(model)
        fold_norms_(model, base)
        assert difference(before, outputs(model)) <= TOLERANCE
        assert stream_width(base) == 48


def test_post_norm_networks_keep_their_stream():
    config = transformers.BertConfig(
        hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4, vocab_size=50
    )
    torch.manual_seed(0)
    model = shaken(transformers.BertModel(config))
    before = outputs(model)
    report = compress_(model, RotationConfig(keys=True, seed=2))
    skipped = {change.path: change.skipped for change in report.skipped}
    assert "post-norm" in skipped[""]
    assert "rotary" in skipped["encoder.layer.0.attention.self"]
    assert len(report.changed) == 4
    assert difference(before, outputs(model)) <= TOLERANCE


def test_what_is_unknown_is_skipped():
    report = plan(torch.nn.Sequential(torch.nn.Linear(4, 4)), RotationConfig(), strict=False)
    assert "none of the networks" in report.skipped[0].skipped
    odd = llama(intermediate_size=81)
    reasons = [change.skipped for change in plan(odd, RotationConfig()).skipped]
    assert reasons == ["81 channels have no full rotation here"] * 2
    model = llama()
    compress_(model, RotationConfig())
    again = plan(model, RotationConfig(residual=False, values=False), strict=False)
    assert {change.skipped for change in again.skipped} == {"rotated already"}


def test_plan_touches_nothing_and_needs_no_weights():
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(num_hidden_layers=2))
    names = [name for name, _ in model.named_modules()]
    report = plan(model, RotationConfig(down="local", keys=True))
    assert names == [name for name, _ in model.named_modules()]
    texts = [change.change for change in report.changed]
    assert texts[0] == "residual stream, 4096 wide: 4096 points, folded"
    assert any("11008 wide: two overlapping stages of 64 points x order 96" in text for text in texts)


@pytest.mark.parametrize("points", [1, 2, 8, 64, 128, 512])
def test_fast_transform_is_the_matrix(points):
    x = torch.randn(3, points, dtype=torch.float64, generator=torch.Generator().manual_seed(points))
    expected = x.numpy() @ hadamard(points).astype(float)
    assert np.allclose(fwht(x).numpy(), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "scheme",
    [
        RotationScheme.full(768, seed=1), RotationScheme(96, 8, 12, seed=2), RotationScheme.two_stage(224, seed=3),
        RotationScheme.two_stage(96, max_points=8),
    ],
    ids=str,
)  # fmt: skip
def test_rotations_are_orthogonal(scheme):
    matrix = rotate(torch.eye(scheme.width, dtype=torch.float64), scheme)
    assert torch.allclose(matrix @ matrix.mT, torch.eye(scheme.width, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(unrotate(matrix, scheme), torch.eye(scheme.width, dtype=torch.float64), atol=1e-12)
    first, last = scheme.stages[0][0], scheme.stages[-1][-1]
    if scheme.local:  # a channel of the first window reaches every channel of the second through the overlap
        assert (matrix[first.start, last.start :].abs() > 1e-12).any()


def test_wide_rotations():
    """LLaMA3-8B's feed-forward width, 2^9 x 28: in one stage as its two Hadamard matrices say, and the chip's two."""
    x = torch.randn(2, 14336, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    scheme = RotationScheme.full(14336, seed=5)
    assert (scheme.points, scheme.order) == (512, 28)
    square = (x.numpy() * np.array(scheme.signs)).reshape(2, 28, 512)
    expected = hadamard(28) @ square @ hadamard(512).T / 14336**0.5
    assert np.allclose(rotate(x, scheme).numpy(), expected.reshape(2, 14336), rtol=0, atol=1e-12)
    for either in (scheme, RotationScheme.two_stage(14336, seed=6)):
        y = rotate(x, either)
        assert torch.allclose(y.norm(dim=-1), x.norm(dim=-1), rtol=1e-12)
        assert torch.allclose(unrotate(y, either), x, rtol=0, atol=1e-12)
        assert (rotate(x, dataclasses.replace(either, seed=9)) - y).abs().max() > 0.1


def test_injected_outliers_keep_the_function_and_rotation_removes_them():
    model = llama(hidden_size=192, num_attention_heads=4, num_key_value_heads=4, head_dim=48, intermediate_size=256)
    plain, before = input_peaks(model, [IDS]), outputs(model)
    inject_outliers_(model, share=0.02, factor=32.0, seed=0)
    assert difference(before, outputs(model)) <= 1e-12
    peaked = input_peaks(model, [IDS])
    compress_(model, RotationConfig())
    rotated = input_peaks(model, [IDS])
    down = "model.layers.0.mlp.down_proj"
    assert isinstance(model.model.layers[0].mlp.down_proj, RotatedLinear)
    for before_path, after_path in ((down, f"{down}.linear"), ("model.layers.0.self_attn.q_proj",) * 2):
        assert peaked[before_path].kurtosis > max(30, 2 * plain[before_path].kurtosis)  # a bell curve has 3
        assert rotated[after_path].kurtosis < 5
        assert rotated[after_path].max_over_rms < 0.6 * peaked[before_path].max_over_rms


def test_peaks_of_a_known_input():
    linear = torch.nn.Sequential(torch.nn.Linear(4, 1, dtype=torch.float64))
    peaks = input_peaks(linear, [torch.tensor([[2.0, 0, 0, 0], [1.0, 1, 1, 1]], dtype=torch.float64)])["0"]
    assert peaks.max_over_rms == pytest.approx((2 / 1 + 1) / 2)
    assert peaks.kurtosis == pytest.approx((4 + 1) / 2)
    with pytest.raises(ValueError, match="no batch"):
        input_peaks(linear, [])


def test_online_rotation_has_no_state():
    module = OnlineRotation(RotationScheme.full(16))
    assert not module.state_dict()
    assert "points=16" in repr(module)


@pytest.mark.parametrize(("bits", "allowed"), [(8, 0.1), (16, 0.1 / 2**7)])
def test_integer_rotation_of_every_down_projection(bits, allowed):
    """Calibrated on data, rotations give the integers of the unit; with more bits they come nearer to the real ones."""
    from accelsim.functional.rotation import rotate_integers

    model = llama()
    reference = outputs(model)[0]
    report = compress_(model, RotationConfig(down="local", max_points=16, down_bits=bits), [{"input_ids": IDS}])
    assert any(f"on INT{bits}" in change.change for change in report.changed)
    seen, limit = [], 2 ** (bits - 1)
    for layer in model.model.layers:
        layer.mlp.down_proj.rotation.register_forward_hook(lambda m, given, made: seen.append((m, given[0], made)))
    quantised = outputs(model)[0]
    assert 0 < difference([reference], [quantised]) < allowed
    for module, given, made in seen:
        input_scale, output_scale = module.scales.tolist()
        integers = torch.floor(given / input_scale + 0.5).clamp(1 - limit, limit - 1).long().numpy()
        assert np.array_equal(np.rint(made.numpy() / output_scale), rotate_integers(module.rotation_scales, integers))
    module.load_state_dict(module.state_dict())
    gradient = torch.ones(2, 80, dtype=torch.float64, requires_grad=True)
    module.train()(gradient).sum().backward()
    assert torch.allclose(gradient.grad, unrotate(torch.ones(2, 80, dtype=torch.float64), module.rotation_scheme))


def test_integer_rotation_says_that_it_has_no_scales():
    model = llama()
    compress_(model, RotationConfig(down_bits=8))
    with pytest.raises(ValueError, match="no scales yet"):
        outputs(model)
