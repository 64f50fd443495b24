"""What a compressed model is trained on: the uncompressed one's answers to training text or, of digits, labels."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch

from algos.experiments import digits_vit
from algos.experiments.byte_lm_target import training_rows
from algos.experiments.training import LossOfStep, batches
from algos.trained import byte_lm, minilm, sentence_pairs, stdlib_text

TEXTS = 2
"""Rows of 512 bytes in a step of the language model."""
SENTENCES = 16
"""Sentences in a step of the encoder."""
SENTENCE = re.compile(r"[A-Z][a-z][A-Za-z0-9 ,'\"()\-]{28,160}[.]")


def byte_lm_loss(model: torch.nn.Module, seed: int) -> LossOfStep:
    """Kullback-Leibler divergence of the next byte's distribution from the uncompressed model's, nats a byte."""
    teacher, texts = byte_lm.load("target"), training_rows(seed, TEXTS)

    def logs(network: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
        return torch.log_softmax(network(input_ids=ids, use_cache=False).logits, dim=-1)

    def loss(step: int) -> torch.Tensor:
        ids = texts(step)[:, :-1]
        with torch.no_grad():
            wanted = logs(teacher, ids)
        answered = logs(model, ids)
        divergence = torch.nn.functional.kl_div(answered, wanted, log_target=True, reduction="none")
        return divergence.sum(dim=-1).mean()

    return loss


def minilm_loss(model: torch.nn.Module, seed: int) -> LossOfStep:
    """1 - cosine of every token's last hidden state to the uncompressed encoder's, on sentences not scored."""
    teacher, sentences = minilm.load(), _training_sentences()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # the teacher drops nothing either
    chosen = batches(len(sentences), 1, SENTENCES, seed)

    def loss(step: int) -> torch.Tensor:
        (batch,) = minilm.tokens([sentences[int(row)] for row in chosen(step)])
        with torch.no_grad():
            wanted = teacher(**batch).last_hidden_state
        likeness = torch.cosine_similarity(model(**batch).last_hidden_state, wanted, dim=-1)
        mask = batch["attention_mask"]
        return ((1 - likeness) * mask).sum() / mask.sum()

    return loss


def _training_sentences() -> list[str]:
    """Sentences on one line of the language model's training text, in order of the alphabet."""
    pairs = sentence_pairs.sentence_pairs("score")
    scored = {*pairs.first, *pairs.second}
    found = SENTENCE.findall(bytes(stdlib_text.training_text()).decode("utf-8", errors="replace"))
    return sorted(set(found) - scored)


LOSSES: dict[str, Callable[[torch.nn.Module, int], LossOfStep]] = {
    "byte_lm_target": byte_lm_loss,
    "minilm": minilm_loss,
    "digits_vit": digits_vit.loss_of_step,
}
