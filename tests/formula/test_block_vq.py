"""Codebook weights: decoding is bit-exact, k-means is as good as brute force, training learns indices."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.functional.codebook import decode, fused_product
from accelsim.schemes import CodebookScheme

torch = pytest.importorskip("torch")

from algos.block_vq.blocks import from_blocks, to_blocks  # noqa: E402
from algos.block_vq.config import BlockVqConfig, storage  # noqa: E402
from algos.block_vq.kmeans import cluster, nearest  # noqa: E402
from algos.block_vq.layer import CodebookLinear, row_scales  # noqa: E402
from algos.compress import compress_, plan  # noqa: E402

CASES = 1000


def random_scheme(rng: np.random.Generator) -> tuple[CodebookScheme, int, int]:
    block_rows, block_cols = (int(rng.integers(1, 5)) for _ in range(2))
    rows, cols = block_rows * int(rng.integers(1, 5)), block_cols * int(rng.integers(1, 7))
    blocks = rows * cols // (block_rows * block_cols)
    entries = int(rng.integers(1, min(blocks, 9) + 1))
    group = None if rng.random() < 0.3 else int(rng.integers(entries, 12))
    return CodebookScheme(block_rows, block_cols, entries, group, int(rng.integers(2, 9))), rows, cols


def random_layer(scheme: CodebookScheme, rows: int, cols: int, rng: np.random.Generator) -> CodebookLinear:
    """Random entries, a good share of them beyond the width of an entry, and random logits."""
    layer = CodebookLinear(scheme, torch.nn.Linear(cols, rows)).eval()
    with torch.no_grad():
        layer.codebook.copy_(torch.from_numpy(rng.normal(0, scheme.largest, layer.codebook.shape)))
        layer.logits.copy_(torch.from_numpy(rng.normal(size=layer.logits.shape)))
    return layer


def test_torch_module_and_decoder_agree():
    rng = np.random.default_rng(0)
    saturated = values = 0
    for _ in range(CASES):
        scheme, rows, cols = random_scheme(rng)
        layer = random_layer(scheme, rows, cols, rng)
        codebooks = layer.integer_codebook().numpy()
        indices = layer.indices.flatten()[: scheme.blocks(rows, cols)].numpy()
        weight = decode(scheme, codebooks, indices, rows, cols)
        assert np.array_equal(layer.integer_weight().numpy(), weight)
        ifmap = rng.integers(-128, 128, (3, cols))
        fused = fused_product(scheme, codebooks, indices, ifmap)
        assert np.array_equal(fused.outputs, ifmap @ weight.T)
        saturated += int((np.abs(codebooks) == scheme.largest).sum())
        values += codebooks.size
    assert saturated / values > 0.01


def test_decoding_places_blocks():
    """Two codebooks of two 1 x 2 entries, written down by hand."""
    scheme = CodebookScheme(1, 2, entries=2, group=2)
    books = np.array([[[1, 2], [3, 4]], [[5, 6], [-7, 7]]])
    assert decode(scheme, books, np.array([1, 0, 1, 0]), 2, 4).tolist() == [[3, 4, 1, 2], [-7, 7, 5, 6]]


def test_fusion_halves_the_fetches_of_equal_blocks():
    """Eight blocks along the reduction out of 4 entries, each used twice: 4 fetches, half the MACs, one more bit."""
    scheme = CodebookScheme(2, 2, entries=4, group=8)
    books = np.arange(-8, 8).clip(-7, 7).reshape(1, 4, 4)
    ifmap = np.full((3, 16), -128)
    found = fused_product(scheme, books, np.array([0, 1, 2, 3, 3, 2, 1, 0]), ifmap)
    assert (found.fetches, found.multiplies, found.adds) == (4, 4 * 4 * 3, 4 * 2 * 3)
    assert found.ifmap_bits == 9
    thrice = fused_product(scheme, books, np.array([0, 0, 0, 1, 1, 1, 1, 2]), ifmap)
    assert thrice.fetches == 2 + 2 + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [({"indices": [0, 2]}, "index is outside"), ({"indices": [0]}, "2 indices"), ({"books": [[[9], [1]]]}, "beyond")],
)
def test_bad_codebooks_are_refused(change, message):
    given = {"indices": [0, 1], "books": [[[2], [1]]]} | change
    with pytest.raises(ValueError, match=message):
        decode(CodebookScheme(1, 1, 2, 2), np.array(given["books"]), np.array(given["indices"]), 1, 2)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6))
def test_blocks_come_back(seed):
    rng = np.random.default_rng(seed)
    scheme, rows, cols = random_scheme(rng)
    weight = torch.from_numpy(rng.normal(size=(rows, cols)))
    blocks = to_blocks(weight, scheme)
    assert torch.equal(from_blocks(blocks, scheme, rows, cols), weight)
    first = weight[: scheme.block_rows, : scheme.block_cols].flatten()
    assert torch.equal(blocks[0, 0], first)


def best_error(points: np.ndarray, weights: np.ndarray, entries: int) -> float:
    """Over every assignment of points to centres, centres at their weighted means."""
    least = np.inf
    for choice in itertools.product(range(entries), repeat=len(points)):
        error = 0.0
        for entry in set(choice):
            mine = np.array(choice) == entry
            total = weights[mine].sum(0)
            mean = (weights[mine] * points[mine]).sum(0) / total
            error += float((weights[mine] * (points[mine] - mean) ** 2).sum())
        least = min(least, error)
    return least


def test_kmeans_is_near_the_optimum_of_small_problems():
    """The best of forty starts against every assignment; rounding is made harmless by a large range."""
    rng = np.random.default_rng(5)
    for _ in range(4):
        points, weights = rng.normal(0, 1e4, (7, 2)), rng.uniform(0.1, 3, (7, 2))
        given = torch.from_numpy(points)[None], torch.from_numpy(weights)[None]
        found = min(cluster(*given, 3, 10**6, seed=seed).error for seed in range(40))
        assert found == pytest.approx(best_error(points, weights, 3), rel=1e-6)


def test_kmeans_reports_its_own_error():
    rng = np.random.default_rng(6)
    points, weights = torch.from_numpy(rng.normal(0, 3, (4, 30, 5))), torch.from_numpy(rng.uniform(0, 2, (4, 30, 5)))
    found = cluster(points, weights, 6, 7, seed=1)
    chosen = found.centres.gather(1, found.choices[..., None].expand_as(points))
    assert found.error == pytest.approx(float((weights * (points - chosen) ** 2).sum()))
    assert torch.equal(found.centres, found.centres.round().clamp(-7, 7))
    every = (weights[:, :, None] * (points[:, :, None] - found.centres[:, None]) ** 2).sum(-1)
    assert torch.allclose(nearest(points, weights, found.centres)[1], every.min(-1).values)
    assert torch.equal(found.centres, cluster(points, weights, 6, 7, seed=1).centres)


def test_as_many_entries_as_blocks_is_rounding_to_nearest():
    """A codebook that need not share anything stores every block rounded."""
    weight = torch.randn(8, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    layer = CodebookLinear(CodebookScheme(4, 4, entries=8, group=8), torch.nn.Linear(16, 8).double()).eval()
    layer.fit_(weight, None)
    scale = row_scales(weight, torch.ones(16, dtype=torch.float64), 7)[:, None]
    assert torch.equal(layer.integer_weight(), torch.floor(weight / scale + 0.5).clamp(-7, 7).long())
    assert torch.equal(layer.weight(), layer.integer_weight() * scale)


def test_important_channels_are_served_first():
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(32, 64, generator=generator)
    moment = torch.ones(64)
    moment[:8] = 400.0
    errors = []
    for second_moment in (None, moment):
        layer = CodebookLinear(CodebookScheme(1, 8, entries=16), torch.nn.Linear(64, 32)).eval()
        layer.fit_(weight, second_moment)
        errors.append(float(((layer.weight() - weight)[:, :8] ** 2).mean().detach()))
    assert errors[1] < 0.7 * errors[0]


@pytest.mark.parametrize("learned", ["logits", "codebook"])
def test_training_learns_indices_and_entries(learned):
    """From nothing known of one part and the other one given, training finds a weight the codebooks can hold."""
    torch.manual_seed(0)
    scheme = CodebookScheme(2, 2, entries=4, group=8)
    target = random_layer(scheme, 8, 16, np.random.default_rng(1))
    target.bias = None
    with torch.no_grad():
        target.logits.mul_(30)  # decided, whatever the draw
    inputs = torch.randn(256, 16)
    wanted = target(inputs).detach()
    layer = CodebookLinear(scheme, torch.nn.Linear(16, 8, bias=False)).train()
    layer.load_state_dict(target.state_dict(), strict=False)
    with torch.no_grad():
        getattr(layer, learned).zero_()
    assert not torch.equal(layer.integer_weight(), target.integer_weight())
    optimiser = torch.optim.Adam([getattr(layer, learned)], lr=0.1)
    rate = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, 500)
    for step in range(500):
        layer.temperature = max(0.1, 1.0 - step / 400)
        (layer(inputs) - wanted).square().mean().backward()
        optimiser.step()
        rate.step()
        optimiser.zero_grad()
    assert torch.equal(layer.eval().integer_weight(), target.integer_weight())


def test_compress_and_its_report():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(32, 32), torch.nn.ReLU(), torch.nn.Linear(32, 6)).eval()
    config = BlockVqConfig(block_rows=4, block_cols=4, seed=1)
    report = plan(model, config)
    assert [change.path for change in report.changed] == ["0"]
    assert "2.625 bits a value (2048 b of codebooks, 128 b of indices, 512 b of scales)" in report.changed[0].change
    assert report.skipped[0].skipped == "blocks of 4 x 4 do not cover its 6 x 32 weight"
    inputs = torch.randn(64, 32)
    assert compress_(model, config, [inputs]) == report
    assert storage(model).per_value == 2.625
    again = torch.nn.Sequential(torch.nn.Linear(32, 32), torch.nn.Linear(8, 8))
    tied = torch.nn.Embedding(32, 32)
    again[0].weight = tied.weight
    again.append(tied)
    reasons = [change.skipped for change in plan(again, BlockVqConfig(), strict=False).skipped]
    assert reasons[0] == "its weight is also an embedding's"
    with pytest.raises(ValueError, match="no codebook layer"):
        storage(torch.nn.Linear(2, 2))


def test_meta_device_needs_no_weights():
    with torch.device("meta"):
        model = torch.nn.Sequential(torch.nn.Linear(64, 64))
    compress_(model, BlockVqConfig())
    assert model[0].codebook.is_meta
