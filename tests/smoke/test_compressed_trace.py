"""Rotated and codebook networks: exported, written, read back, simulated."""

from __future__ import annotations

import pytest

from accelsim.errors import UserError
from accelsim.schemes import CodebookScheme, RotationScheme
from accelsim.workload.trace_json import from_json, to_json

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from algos.block_vq.config import BlockVqConfig  # noqa: E402
from algos.compress import compress_  # noqa: E402
from algos.recipe import load_recipe  # noqa: E402
from algos.rotation.config import RotationConfig  # noqa: E402
from workloads import export_trace  # noqa: E402

IDS = torch.zeros(1, 8, dtype=torch.long)


def network(device: str = "cpu") -> torch.nn.Module:
    config = transformers.LlamaConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, vocab_size=50, head_dim=16
    )
    with torch.device(device):
        return transformers.LlamaForCausalLM(config).eval()


def exported(model: torch.nn.Module):
    inputs = {"input_ids": IDS.to(next(model.parameters()).device), "use_cache": False}
    return export_trace(model, inputs, "prefill", name="compressed")


@pytest.fixture(scope="module")
def compressed():
    """Keys and down projections rotated at run time, feed-forward weights out of codebooks."""
    model = network()
    vq = BlockVqConfig(layers=("*.mlp",), skip=("*.down_proj",), block_rows=8, block_cols=8)
    compress_(model, (RotationConfig(keys=True, down="local", max_points=16), vq))
    return exported(model)


def test_every_scheme_is_in_the_trace(compressed):
    plain = exported(network())
    rotations = [op.rotation for op in compressed.phases[0].ops if op.function == "hadamard"]
    assert len(rotations) == 2 * 3  # queries, keys and the down projection's inputs
    assert RotationScheme.two_stage(96, max_points=16, seed=1) in rotations
    assert rotations.count(RotationScheme(16, 16)) == 4
    codebooks = [tensor for tensor in compressed.tensors if tensor.codebook is not None]
    assert [tensor.shape for tensor in codebooks] == [(96, 64)] * 4
    assert codebooks[0].codebook == CodebookScheme(8, 8, 4, 8)
    assert codebooks[0].bits == 4
    assert compressed.macs == plain.macs == compressed.oracle.macs
    assert not compressed.unknown_ops
    names = {op.name for op in compressed.phases[0].ops}
    assert {"model.layers.0.mlp.down_proj.rotation", "model.layers.0.mlp.up_proj"} <= names


def test_it_comes_back_from_its_file(compressed):
    assert from_json(to_json(compressed), "file") == compressed


def test_adds_are_charged(compressed):
    import accelsim

    report = accelsim.simulate(accelsim.load_arch("apsq_edge_ws"), compressed)
    frame = report.to_frame()
    name = "model.layers.0.mlp.down_proj.rotation"
    lanes = frame[(frame["op"] == name) & (frame["action"] == "operation")]["count"].sum()
    assert lanes == 8 * RotationScheme.two_stage(96, max_points=16).adds


def test_contradictions_are_told(compressed):
    text = to_json(compressed)
    wrong = text.replace('"rotation":{"width":16,', '"rotation":{"width":32,')
    with pytest.raises(UserError, match=r"(?s)rotation\.width.*rows have 16"):
        from_json(wrong, "file")
    missing = text.replace('"function":"hadamard"', '"function":"rope"', 1)
    with pytest.raises(UserError, match="only rotate ops"):
        from_json(missing, "file")
    uncovered = text.replace('"block_rows":8', '"block_rows":9')
    with pytest.raises(UserError, match="9 x 8, shape"):
        from_json(uncovered, "file")
    odd = text.replace('"points":16', '"points":12')
    with pytest.raises(UserError, match="power of two"):
        from_json(odd, "file")


@pytest.mark.parametrize("recipe", ["rotate_w4a4", "rotate_w4a8", "block_vq_2bit", "classic_vq_2bit"])
def test_recipes_run(recipe):
    model = network()
    report = compress_(model, load_recipe(recipe))
    assert report.changed
    with torch.no_grad():
        assert model(input_ids=IDS, use_cache=False).logits.isfinite().all()
