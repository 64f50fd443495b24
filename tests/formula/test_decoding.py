"""Decoding policies: the fast run against the state machine, closed forms, invariants, bounds."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.decoding.acceptance import Independent, Recorded, Runs
from accelsim.decoding.costs import COLUMNS, PassCosts
from accelsim.decoding.counts import COUNTS
from accelsim.decoding.draws import Draws
from accelsim.decoding.policies import POLICIES, after, check_invariants, make_policy, start
from accelsim.decoding.policies.lengths import DraftLength, fixed
from accelsim.decoding.recorded import AcceptanceTrace
from accelsim.decoding.run import draws_needed, run
from tests.reference.play import play

MOST_TOKENS, MOST_BESIDE = 40, 8


def random_costs(seed: int, points: int, steps: int = 1) -> PassCosts:
    rng = np.random.default_rng(seed)
    width = len(COLUMNS)
    contexts = np.sort(rng.choice(3000, points, replace=False))
    return PassCosts(
        contexts,
        rng.uniform(1, 2, (steps, points, width)),
        rng.uniform(5, 9, (MOST_TOKENS, points, width)),
        rng.uniform(6, 20, (MOST_TOKENS, MOST_BESIDE, points, width)),
        np.array([1, 4000]),
        rng.uniform(3, 8, (2, width)),
        1.0,
    )


def plain_costs(draft: float, verify: float) -> PassCosts:
    """Latency and energy of a draft step and of a token verified; beside each other the longer one counts."""
    steps = np.arange(1, MOST_BESIDE + 1)
    tokens = np.arange(1, MOST_TOKENS + 1)
    columns = np.zeros(len(COLUMNS))
    columns[0] = 1
    alone = np.multiply.outer(np.full((MOST_TOKENS, 1), verify), columns)
    alone[:, 0, 1] = 10.0 * tokens
    beside = np.zeros((MOST_TOKENS, MOST_BESIDE, 1, len(COLUMNS)))
    beside[..., 0, 0] = np.maximum(verify, draft * steps)
    beside[..., 0, 1] = 10.0 * tokens[:, None] + 3.0 * steps
    one = np.zeros((1, 1, len(COLUMNS)))
    one[0, 0, :2] = draft, 3.0
    return PassCosts(np.array([0]), one, alone, beside, np.array([1]), np.zeros((1, len(COLUMNS))), 0.0)


lengths = st.one_of(
    st.integers(1, 5).map(fixed),
    st.tuples(st.integers(1, 4), st.integers(4, 8)).map(lambda x: DraftLength("heuristic", *x)),
    st.tuples(st.integers(4, 8), st.floats(0.5, 3)).map(lambda x: DraftLength("entropy", 1, *x)),
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(POLICIES)), lengths, st.integers(1, 3), st.lists(st.integers(1, 3), min_size=1, max_size=3),
    st.floats(0, 1), st.lists(st.tuples(st.integers(1, 2000), st.integers(1, 60)), min_size=1, max_size=4),
    st.integers(1, 3), st.integers(0, 2**31),
)  # fmt: skip
def test_the_fast_run_is_the_state_machine(name, length, short, widths, alpha, requests, points, seed):
    policy = make_policy(name, length, short=short, widths=tuple(widths))
    costs = random_costs(seed, points, len(policy.draft_tokens))
    prompts, outputs = np.array(requests).T
    rank = Independent((alpha, (1 - alpha) / 2)).draw(draws_needed(policy, outputs), seed).rank
    entropy = np.random.default_rng(seed).uniform(0, 4, len(rank))
    made = run(policy, Draws(rank, entropy), costs, prompts, outputs)
    base = 0
    for i, (prompt, output) in enumerate(requests):
        counts, spent = play(policy, Draws(rank[base:], entropy[base:]), costs, prompt, output)
        assert [getattr(counts, key) for key in COUNTS] == made.counts[i].tolist()
        np.testing.assert_allclose(spent, made.costs[i], rtol=1e-12)
        assert counts.rejected_pj == pytest.approx(made.rejected_pj[i], rel=1e-12, abs=1e-9)
        base += output


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_invariants_hold_over_a_hundred_thousand_random_events(name):
    rng = np.random.default_rng(5)
    policy = make_policy(name, DraftLength("heuristic", 3, 8), short=2, widths=(3, 2))
    state = start(17, policy.length.first)
    emitted, made, accounted = 1, 0, 0
    for right in rng.integers(0, 10, 100_000).tolist():
        round_ = policy.next_round(state, ())
        assert round_.depth >= state.pending  # what is drafted is verified by the very next pass: the queue drains
        chain = round_.depth + round_.concurrent
        known = min(right, chain)
        outcome = after(state, round_, known, policy.length.following(state.length, known == chain))
        assert outcome.state.emitted == state.emitted + outcome.emitted  # nothing twice, nothing lost
        assert outcome.state.target_kv - state.target_kv == outcome.emitted
        emitted += outcome.emitted
        made += round_.serial + round_.concurrent
        accounted += outcome.accepted + outcome.rejected_drafts + int(outcome.stayed)
        state = outcome.state
        check_invariants(state)
        assert 1 <= state.length <= policy.length.most
    assert state.emitted == emitted
    assert made == accounted + state.pending


def mean_per_pass(policy, alpha, tokens=400_000):
    outputs = np.array([tokens])
    draws = Independent((alpha,)).draw(draws_needed(policy, outputs), 7)
    return run(policy, draws, random_costs(0, 1), np.array([1]), outputs).total.tokens_per_pass


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.6, 0.85, 0.95])
@pytest.mark.parametrize("drafted", [1, 3, 6])
def test_vanilla_emits_what_its_closed_form_says(alpha, drafted):
    """(1 - a^(g+1)) / (1 - a) tokens a pass: Leviathan et al. (arXiv 2211.17192), equation 1."""
    expected = (1 - alpha ** (drafted + 1)) / (1 - alpha)
    per_pass = [alpha**i * (1 - alpha) for i in range(drafted)] + [alpha**drafted]
    spread = math.sqrt(sum(p * (i + 1) ** 2 for i, p in enumerate(per_pass)) - expected**2)
    error = spread / math.sqrt(400_000 / expected)
    assert mean_per_pass(make_policy("vanilla", fixed(drafted)), alpha) == pytest.approx(expected, abs=4 * error + 1e-4)


@pytest.mark.parametrize("alpha", [0.3, 0.6, 0.85, 0.95])
@pytest.mark.parametrize(("name", "short"), [("pearl", 0), ("apsd", 2), ("apsd", 3)])
@pytest.mark.parametrize("drafted", [2, 4, 7])
def test_parallel_policies_emit_what_their_two_states_say(name, short, alpha, drafted):
    """Serial rounds verify `short` tokens and stay with a^(short+1), parallel ones g - 1 and a^g."""

    def emitted(verified):
        return (1 - alpha ** (verified + 1)) / (1 - alpha)

    enter, stay = alpha ** (short + 1), alpha**drafted
    parallel = enter / (1 - stay + enter)
    expected = (1 - parallel) * emitted(short) + parallel * emitted(drafted - 1)
    policy = make_policy(name, fixed(drafted), short=short or 1)
    assert mean_per_pass(policy, alpha) == pytest.approx(expected, rel=0.015)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("name", ["pearl", "apsd"])
@pytest.mark.parametrize(("draft", "verify"), [(1.0, 5.0), (2.0, 3.0), (1.0, 1.0)])
def test_parallel_policies_never_beat_their_bound(alpha, name, draft, verify):
    """g tokens take at least max(g t_draft, t_verify): the ideal of SpecBranch (arXiv 2506.01979, equation 2)."""
    drafted, tokens = 4, 4000
    policy, outputs = make_policy(name, fixed(drafted), short=2), np.array([tokens])
    draws = Independent((alpha,)).draw(draws_needed(policy, outputs), 3)
    made = run(policy, draws, plain_costs(draft, verify), np.array([1]), outputs)
    per_round = max(drafted * draft, verify)
    spent, bound = made.costs[0, 0], (tokens - 1) / drafted * per_round
    assert spent >= bound - 2 * per_round
    if alpha == 1:
        assert spent <= bound + 2 * per_round + 2 * draft


@pytest.mark.parametrize("alpha", [0.3, 0.6, 0.8, 0.95])
@pytest.mark.parametrize("drafted", [2, 4, 7])
def test_every_rejection_ends_a_run_of_the_length_pearl_states(alpha, drafted):
    """1 / (1 - a) tokens from one rejection to the next whatever the draft length: PEARL (arXiv 2408.11850, its
    1 / (1 - a) + 1 also counts the token that the target says before the first draft)."""
    outputs = np.array([400_000])
    policy = make_policy("pearl", fixed(drafted))
    draws = Independent((alpha,)).draw(draws_needed(policy, outputs), 7)
    counts = run(policy, draws, random_costs(0, 1), np.array([1]), outputs).total
    rejections = counts.passes - counts.stays
    assert (counts.accepted + counts.passes) / rejections == pytest.approx(1 / (1 - alpha), rel=0.02)


@pytest.mark.parametrize("alpha", [0.95, 0.98])
@pytest.mark.parametrize("drafted", [2, 4, 7])
def test_pearl_is_near_the_estimate_with_rollback_where_little_is_rolled_back(alpha, drafted):
    """(1 + a^g) a (1 - a^g) / (1 - a) tokens in two rounds (SpecBranch, arXiv 2506.01979).

    It leaves out what the target says in place of a rejected draft, so at a = 0.5 it is two fifths of what is emitted.
    """
    estimate = (1 + alpha**drafted) * alpha * (1 - alpha**drafted) / (1 - alpha) / 2
    assert mean_per_pass(make_policy("pearl", fixed(drafted)), alpha) == pytest.approx(estimate, rel=0.06)


@pytest.mark.parametrize("name", ["pearl", "apsd"])
def test_where_all_is_right_a_parallel_round_emits_its_drafts(name):
    assert mean_per_pass(make_policy(name, fixed(4)), 1.0) == pytest.approx(4, rel=1e-3)


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_rejected_energy_is_that_of_the_rejected_passes(name):
    outputs = np.array([900, 50])
    policy = make_policy(name, fixed(4), short=2)
    draws = Independent((0.7, 0.1, 0.05)).draw(draws_needed(policy, outputs), 3)
    made = run(policy, draws, plain_costs(1.0, 5.0), np.array([1, 9]), outputs).total
    assert made.rejected_pj == pytest.approx(3.0 * made.rejected_drafts + 10.0 * made.rejected_nodes)
    if name not in ("autoregressive", "tree"):
        drafts = made.serial_drafts + made.concurrent_drafts
        assert drafts == made.accepted + made.stays + made.rejected_drafts + made.unverified


def test_a_run_by_hand():
    # Ranks of text positions 1..: right, right, wrong, right, wrong, right ...
    draws = Draws(np.array([0, 0, 0, 9, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0], np.int16))
    # APSD, 1 serial and 2 beside: emits token 0 by prefill.
    # Round 1 at 1: serial 1, right; the first beside (position 2) is right too: emits 1, 2; stays with 1 pending (3).
    # Round 2 at 3: verifies position 3, wrong: emits 3, drops 2. Round 3 at 4: serial, right; position 5 wrong:
    # emits 4, 5; drops 2. Round 4 at 6: serial, right, 7 right: emits 6, 7, which is the answer of 8 tokens.
    made = run(make_policy("apsd", fixed(2), short=1), draws, plain_costs(1.0, 5.0), np.array([3]), np.array([8])).total
    assert (made.passes, made.stays, made.accepted, made.surplus) == (4, 2, 3, 0)
    assert (made.serial_drafts, made.concurrent_drafts, made.rejected_drafts, made.unverified) == (3, 8, 5, 1)


def test_runs_have_the_mean_they_say():
    for depths in ((0.7,), (0.9, 0.5), (0.2, 0.8, 1.0), (0.0, 1.0), (0.5, 0.4, 0.0)):
        model = Runs(depths)
        drawn = float((model.draw(300_000, 1).rank == 0).mean())
        if depths[-1] == 1:
            assert drawn == pytest.approx(model.mean, abs=2e-2)  # once in, it stays
        else:
            assert drawn == pytest.approx(model.mean, abs=4e-3)


def test_recorded_positions_keep_their_prompt_together():
    n = 30
    prompt = np.repeat(np.arange(3, dtype=np.int32), 10)
    rank, chance = np.arange(n).astype(np.int16), np.linspace(0, 1, n)
    trace = AcceptanceTrace("x", prompt, rank, chance, np.ones(n), np.arange(n) * 1.0)
    draws = Recorded(trace, greedy=True).draw(60, 4)
    for block in draws.rank.reshape(6, 10):
        assert np.array_equal(block, np.arange(block[0], block[0] + 10))
        assert block[0] % 10 == 0
    assert sorted(draws.rank[:30]) == list(range(n))
    assert np.array_equal(draws.entropy_bits, draws.rank)
    sampled = [Recorded(trace).draw(30, seed).rank == 0 for seed in range(2000)]
    assert np.mean(sampled) == pytest.approx(0.5, abs=0.01)
