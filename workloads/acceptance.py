"""A real draft and a real target decode together, and what each said at every position is recorded.

The text comes from speculative sampling itself (Y. Leviathan et al., arXiv 2211.17192, algorithm 1, with
the proof in its appendix A.1 that its distribution is the target's): the draft samples x from p, it is
accepted with probability min(1, q(x) / p(x)), and in place of the first rejected one a token is drawn
from max(0, q - p), normalised. Then both read the text once more and every position is recorded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from accelsim.decoding.draws import MISS
from accelsim.decoding.recorded import AcceptanceTrace, write_acceptance
from accelsim.errors import user_error

Track = Callable[[range], Iterator[int]]


@dataclass(frozen=True)
class Sampling:
    """`temperature` 0 is greedy: all the probability on the likeliest token, the first of equals."""

    temperature: float = 1.0

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Of logits (..., vocabulary), in float64."""
        if self.temperature == 0:
            chosen = torch.nn.functional.one_hot(logits.argmax(dim=-1), logits.shape[-1])
            return chosen.double()
        return torch.softmax(logits.double() / self.temperature, dim=-1)


class _Reader:
    """A causal language model of the HuggingFace kind with its KV cache, which can be cut back."""

    def __init__(self, model: torch.nn.Module) -> None:
        from transformers import DynamicCache

        self.model, self.cache = model, DynamicCache(config=model.config)

    def logits(self, text: Sequence[int], last: int) -> torch.Tensor:
        """Of the next token after each of the `last` last ones, (last, vocabulary)."""
        held = self.cache.get_seq_length()
        kept = min(held, len(text) - last)
        if kept < held:
            self.cache.crop(kept - held)  # negative: so many fewer
        ids = torch.tensor([list(text[kept:])])
        with torch.inference_mode():
            logits = self.model(input_ids=ids, past_key_values=self.cache, use_cache=True).logits
        found: torch.Tensor = logits[0, -last:]
        return found


@dataclass(frozen=True)
class Written:
    """Tokens that follow a prompt, the target's passes that it took, and the draft tokens accepted in them."""

    tokens: tuple[int, ...]
    passes: int
    accepted: int


def speculative_text(
    target: torch.nn.Module,
    draft: torch.nn.Module,
    prompt: Sequence[int],
    tokens: int,
    length: int,
    sampling: Sampling,
    generator: torch.Generator,
) -> Written:
    """`tokens` tokens that follow a prompt, drafted `length` at a time and accepted or corrected by the target.

    Their distribution is the target's own. ValueError for an empty prompt.
    """
    if not prompt:
        raise ValueError("a prompt of at least one token")
    readers = [_Reader(model) for model in (draft, target)]
    text, passes = list(prompt), 0
    while len(text) < len(prompt) + tokens:
        written, guesses = list(text), []
        for _ in range(length):
            guess = sampling.probabilities(readers[0].logits(written, 1)[0])
            written.append(int(torch.multinomial(guess, 1, generator=generator)))
            guesses.append(guess)
        passes += 1
        wanted = sampling.probabilities(readers[1].logits(written, length + 1))
        for step, guess in enumerate(guesses):
            token, right = written[len(text)], wanted[step]
            if torch.rand((), generator=generator, dtype=torch.float64) * guess[token] >= right[token]:
                text.append(int(torch.multinomial((right - guess).clamp_min(0), 1, generator=generator)))
                break
            text.append(token)
        else:
            text.append(int(torch.multinomial(wanted[-1], 1, generator=generator)))
    made = text[len(prompt) :]
    return Written(tuple(made[:tokens]), passes, len(made) - passes)


@dataclass(frozen=True)
class Recording:
    """A trace, and how many tokens each of the target's passes emitted while its text was written."""

    trace: AcceptanceTrace
    tokens_per_pass: float

    def save(self, path: Path) -> None:
        """Write the trace, whole."""
        write_acceptance(self.trace, path)


def record_acceptance(
    target: torch.nn.Module,
    draft: torch.nn.Module,
    prompts: Sequence[Sequence[int]],
    tokens: int,
    source: str,
    *,
    length: int = 4,
    temperature: float = 1.0,
    seed: int = 0,
    track: Track = iter,
) -> Recording:
    """The acceptance trace of both models over `tokens` tokens after each prompt, one entry a token.

    The text is drafted `length` tokens at a time. The accept probability is that at this temperature, ranks and
    entropies are those at temperature 1. UserError for models of different vocabularies or an empty prompt.
    """
    sizes = [int(model.config.vocab_size) for model in (target, draft)]
    if sizes[0] != sizes[1]:
        raise user_error("draft", "vocabulary", f"{sizes[1]} tokens, the target has {sizes[0]}", "give them the same")
    if not prompts or not all(prompts):
        raise user_error("prompts", "prompt", "one is empty, or there is none", "give every prompt a token")
    sampling, generator = Sampling(temperature), torch.Generator().manual_seed(seed)
    parts, passes, accepted = [], 0, 0
    for number in track(range(len(prompts))):
        prompt = list(prompts[number])
        written = speculative_text(target, draft, prompt, tokens, length, sampling, generator)
        passes, accepted = passes + written.passes, accepted + written.accepted
        parts.append(_recorded(target, draft, prompt, written.tokens, sampling))
    prompt_ids = np.repeat(np.arange(len(prompts), dtype=np.int32), tokens)
    rank, *numbers = (np.concatenate(column) for column in zip(*parts, strict=True))
    trace = AcceptanceTrace(source, prompt_ids, rank.astype(np.int16), *numbers)
    return Recording(trace, (accepted + passes) / passes)


def _recorded(
    target: torch.nn.Module, draft: torch.nn.Module, prompt: list[int], text: Sequence[int], sampling: Sampling
) -> tuple[np.ndarray, ...]:
    whole, emitted = [*prompt, *text[:-1]], torch.tensor(text)[:, None]
    wanted, guess = (_Reader(model).logits(whole, len(text)) for model in (target, draft))
    rank = (guess > guess.gather(1, emitted)).sum(dim=1).clamp_max(MISS - 1)
    right, drafted = (sampling.probabilities(logits).gather(1, emitted)[:, 0] for logits in (wanted, guess))
    # Read at once, the logits round otherwise than token by token: what was emitted may just miss the maximum.
    accepted = (drafted / right.clamp_min(torch.finfo(torch.float64).tiny)).clamp_max(1)
    return tuple(part.numpy() for part in (rank, accepted, _entropy_bits(wanted), _entropy_bits(guess)))


def _entropy_bits(logits: torch.Tensor) -> torch.Tensor:
    return torch.special.entr(torch.softmax(logits.double(), dim=-1)).sum(dim=1) / math.log(2)
