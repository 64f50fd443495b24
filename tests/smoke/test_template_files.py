"""`accelsim trace --template`: models of other families, where a model ends, and configs that give none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from accelsim.cli import cli
from accelsim.workload.template import Binding, load_template

pytest.importorskip("transformers")


def invoke(*args: str) -> Result:
    return CliRunner().invoke(cli, args)


def test_a_template_of_a_config_decodes(tmp_path: Path) -> None:
    config, path = tmp_path / "mine.json", tmp_path / "mine.template.json.gz"
    config.write_text(
        '{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,'
        ' "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,'
        ' "vocab_size": 256}'
    )
    made = invoke("trace", "--template", "--config", str(config), "--out", str(path))
    assert made.exit_code == 0, made.output
    table = tmp_path / "out.json"
    models = ("--target", str(path), "--draft", str(path), "--draft-length", "2", "--acceptance", "1")
    ran = invoke("decode", "reram_logic_55nm", *models, "--outputs", "16", "--json", str(table))
    assert ran.exit_code == 0, ran.output
    assert 2 < json.loads(table.read_text())["summary"]["tokens_per_target_pass"] <= 3


SMALL = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 64,
}  # fmt: skip


def small_config(path: Path, architecture: str, model_type: str, **more: object) -> str:
    path.write_text(json.dumps({"architectures": [architecture], "model_type": model_type, **SMALL, **more}))
    return str(path)


@pytest.mark.parametrize(
    ("architecture", "model_type", "more"),
    [
        ("GPTNeoXForCausalLM", "gpt_neox", {}),  # half of a head is rotated
        ("Phi3ForCausalLM", "phi3", {"pad_token_id": 0, "sliding_window": None}),  # all of it, onto an empty rest
        ("BloomForCausalLM", "bloom", {"n_layer": 1, "n_head": 2}),
    ],
)
def test_templates_of_other_families(
    tmp_path: Path, architecture: str, model_type: str, more: dict[str, object]
) -> None:
    config, path = small_config(tmp_path / "c.json", architecture, model_type, **more), tmp_path / "t.template.json.gz"
    made = invoke("trace", "--template", "--config", config, "--out", str(path))
    assert made.exit_code == 0, made.output
    (phase,) = load_template(str(path)).bind("decode", Binding(1, 100)).phases
    appended = [op.outputs[0] for op in phase.ops if op.kind == "kv_append"]
    products = [op for op in phase.ops if op.name.endswith((".qk", ".pv"))]
    assert len(appended) == len(products) == 2
    assert [op.inputs[1] for op in products] == appended
    assert [op.dims.macs for op in products] == [32 * 101] * 2


@pytest.mark.parametrize(
    ("architecture", "model_type", "more", "ends"),
    [
        ("OPTForCausalLM", "opt", {"max_position_embeddings": 100, "ffn_dim": 64, "word_embed_proj_dim": 32}, 100),
        ("MistralForCausalLM", "mistral", {"sliding_window": 90, "num_key_value_heads": 1}, 90),
        ("MistralForCausalLM", "mistral", {"sliding_window": None, "num_key_value_heads": 1}, None),
    ],
)
def test_a_template_ends_with_its_model(
    tmp_path: Path, architecture: str, model_type: str, more: dict[str, object], ends: int | None
) -> None:
    """Learned positions and windows of attention: decoding goes up to there and no further."""
    config, path = small_config(tmp_path / "c.json", architecture, model_type, **more), tmp_path / "t.template.json.gz"
    made = invoke("trace", "--template", "--config", config, "--out", str(path))
    assert made.exit_code == 0, made.output
    assert load_template(str(path)).max_tokens == ends
    asked = ("--target", str(path), "--policy", "autoregressive", "--requests", "1", "--prompts", "60", "--outputs")
    assert invoke("decode", "reram_logic_55nm", *asked, "20").exit_code == 0
    ran = invoke("decode", "reram_logic_55nm", *asked, "60")
    assert ran.exit_code == (2 if ends else 0)
    assert not ends or f"end at {ends}" in ran.stderr


@pytest.mark.parametrize(
    ("policy", "code", "said"),
    [
        (("--policy", "tree", "--tree", "8,8", "--acceptance", "0.6,0.2"), 2, "a pass would read 73 tokens at once"),
        (("--policy", "vanilla", "--draft-length", "9", "--gantt", "round.png"), 0, "tokens per second"),
    ],
)
def test_drafts_near_the_end_of_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: tuple[str, ...], code: int, said: str
) -> None:
    """Answers up to the last position; passes, and the round that is drawn, stay within."""
    monkeypatch.chdir(tmp_path)
    config = small_config(
        tmp_path / "c.json", "GPT2LMHeadModel", "gpt2", n_positions=45, n_embd=32, n_layer=1, n_head=2
    )
    assert invoke("trace", "--template", "--config", config, "--out", "t.template.json.gz").exit_code == 0
    models = ("--target", "t.template.json.gz", "--draft", "t.template.json.gz")
    ran = invoke("decode", "apsq_llm_ws", *models, "--prompts", "25", "--outputs", "20", "--requests", "2", *policy)
    assert ran.exit_code == code, ran.output
    assert said in ran.output + ran.stderr


MIXTURE = {"num_local_experts": 8, "num_key_value_heads": 1}


@pytest.mark.parametrize(
    ("architecture", "model_type", "more", "said"),
    [
        ("MixtralForCausalLM", "mixtral", MIXTURE, "is no template: the traces of c differ in more than numbers"),
        ("MambaForCausalLM", "mamba", {}, "keeps no KV cache"),
        ("LlamaForCausalLM", "llama", {"intermediate_size": 0}, "gate_proj.weight: has no elements: 0 x 32"),
        ("LlamaForCausalLM", "llama", {"num_hidden_layers": 0}, "num_hidden_layers: 0"),
        ("LlamaForCausalLM", "llama", {"num_key_value_heads": 3}, "correct the config"),
        ("LlamaForCausalLM", None, {}, 'add it, like "model_type": "llama"'),
    ],
)
def test_configs_without_a_template(
    tmp_path: Path, architecture: str, model_type: str, more: dict[str, object], said: str
) -> None:
    config, path = small_config(tmp_path / "c.json", architecture, model_type, **more), tmp_path / "t.template.json.gz"
    made = invoke("trace", "--template", "--config", config, "--out", str(path))
    assert made.exit_code == 2, made.output
    assert said in made.stderr
    assert not path.exists()


def test_a_trace_is_no_template(tmp_path: Path) -> None:
    path = tmp_path / "t.template.json.gz"
    made = invoke("trace", "bert-base", "--seq", "8", "--out", str(path))
    assert made.exit_code == 2
    assert "give --template" in made.stderr
    assert not path.exists()


@pytest.mark.parametrize(
    ("more", "config", "said"),
    [
        (("--seq", "8"), '{"model_type": "llama"}', "is of any tokens and context"),
        ((), '{"model_type": "bert", "num_hidden_layers": 1}', "is no causal language model"),
        ((), '{"model_type": "llama", "num_hidden_layers": 1}', '"architectures": ["LlamaForCausalLM"]'),
        (("--out", "t.json.gz"), '{"architectures": ["LlamaForCausalLM"], "model_type": "llama"}', "end the name in"),
    ],
)
def test_mistakes_about_a_template(tmp_path: Path, more: tuple[str, ...], config: str, said: str) -> None:
    file = tmp_path / "mine.json"
    file.write_text(config)
    out = str(tmp_path / "t.template.json.gz")
    made = invoke("trace", "--template", "--config", str(file), "--out", out, *more)
    assert made.exit_code == 2
    assert said in made.stderr
    assert sorted(tmp_path.iterdir()) == [file]
