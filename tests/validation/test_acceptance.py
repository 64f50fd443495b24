"""The recorder decodes losslessly: its text has the target's distribution, and greedy text is the target's own."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from transformers import LlamaConfig, LlamaForCausalLM

from accelsim.decoding.acceptance import Recorded
from accelsim.decoding.policies import make_policy
from accelsim.decoding.policies.lengths import fixed
from accelsim.decoding.replay import replay
from accelsim.errors import UserError
from workloads import acceptance
from workloads.acceptance import Sampling, record_acceptance, speculative_text

VOCABULARY, TOKENS, SAMPLES = 4, 2, 700
PROMPT = [1, 3, 2]
LIKELY = 1e-3
"""Below this p-value the distributions differ; the seed is fixed, so the test does not flicker."""


def model(seed, vocabulary=VOCABULARY):
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        initializer_range=0.6, max_position_embeddings=64,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def exact(target):
    """The probability of every text of two tokens, from the target alone."""
    sampling, probabilities = Sampling(), {}
    for text in itertools.product(range(VOCABULARY), repeat=TOKENS):
        logits = target(input_ids=torch.tensor([[*PROMPT, *text]])).logits[0].detach()
        after = sampling.probabilities(logits)[len(PROMPT) - 1 :]
        probabilities[text] = float(after[0, text[0]] * after[1, text[1]])
    return probabilities


def p_value(target, draft):
    generator = torch.Generator().manual_seed(11)
    texts = [speculative_text(target, draft, PROMPT, TOKENS, 2, Sampling(), generator).tokens for _ in range(SAMPLES)]
    wanted = exact(target)
    assert sum(wanted.values()) == pytest.approx(1)
    seen = np.array([texts.count(text) for text in wanted])
    return stats.chisquare(seen, SAMPLES * np.array(list(wanted.values()))).pvalue


def test_the_text_has_the_targets_distribution():
    assert p_value(model(1), model(2)) > LIKELY


def test_accepting_everything_would_be_seen(monkeypatch):
    monkeypatch.setattr(acceptance.torch, "rand", lambda *size, **options: torch.zeros(()))
    assert p_value(model(1), model(2)) < LIKELY


@pytest.mark.parametrize("length", [1, 3, 5])
def test_greedy_text_is_the_targets_own(length):
    target, draft = model(1, 32), model(2, 32)
    text = speculative_text(target, draft, PROMPT, 20, length, Sampling(0), torch.Generator().manual_seed(0))
    with torch.inference_mode():
        alone = target.generate(torch.tensor([PROMPT]), max_new_tokens=20, do_sample=False, eos_token_id=None)
    assert list(text.tokens) == alone[0, len(PROMPT) :].tolist()
    assert text.accepted + text.passes >= 20


def test_what_is_recorded_is_what_both_models_say():
    target, draft = model(1, 32), model(2, 32)
    trace = record_acceptance(target, draft, [PROMPT, [5]], 12, "tiny", temperature=0.7, seed=3).trace
    assert trace.prompt.tolist() == [0] * 12 + [1] * 12
    assert np.all((trace.accept_probability > 0) & (trace.accept_probability <= 1))
    text = speculative_text(target, draft, PROMPT, 12, 4, Sampling(0.7), torch.Generator().manual_seed(3)).tokens
    for position in (0, 5, 11):  # each position by a pass of its own, without a cache
        ids = torch.tensor([[*PROMPT, *text[:position]]])
        p, q = (network(input_ids=ids).logits[0, -1].detach().double() for network in (target, draft))
        accept = ((q / 0.7).softmax(0) / (p / 0.7).softmax(0))[text[position]].clamp_max(1)
        assert trace.accept_probability[position] == pytest.approx(float(accept), abs=1e-5)
        assert trace.rank[position] == int((q > q[text[position]]).sum())
        entropy = float(-(p.softmax(0) * p.softmax(0).log2()).sum())
        assert trace.target_entropy_bits[position] == pytest.approx(entropy, abs=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 0.0])
def test_a_replay_emits_as_many_tokens_a_pass_as_the_models_did(temperature):
    target, draft = model(1, 32), model(4, 32)
    prompts = [[first, 5] for first in range(12)]
    tokens, length = 40, 3
    made = record_acceptance(
        target, draft, prompts, tokens, "tiny", length=length, temperature=temperature, seed=2
    )  # fmt: skip
    replayed = replay(make_policy("vanilla", fixed(length)), Recorded(made.trace), 100_000, 0).tokens_per_pass
    passes = len(made.trace) / made.tokens_per_pass
    spread = length / 2 / math.sqrt(passes)  # a count in 1..1+length spreads by half its range at most
    assert made.tokens_per_pass == pytest.approx(replayed, abs=4 * spread)
    if temperature == 0:
        assert set(made.trace.accept_probability) <= {0.0, 1.0}
        assert np.array_equal(made.trace.accept_probability == 1, made.trace.rank == 0)


def test_models_of_two_vocabularies_are_refused():
    with pytest.raises(UserError, match="vocabulary"):
        record_acceptance(model(1, 32), model(2, 16), [PROMPT], 2, "x")
    with pytest.raises(UserError, match="prompt"):
        record_acceptance(model(1), model(2), [[]], 2, "x")
