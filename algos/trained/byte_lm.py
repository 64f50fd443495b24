"""A byte-level causal language model of Python source and its draft: LLaMA blocks, 256 symbols, no tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from algos.trained import checkpoint

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

Name = Literal["target", "draft"]
CONTEXT_BYTES = 512
"""The length both models were trained at and are scored at."""

SIZES: dict[Name, dict[str, int]] = {
    "target": {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 8},
    "draft": {"hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 3},
}


def create(sizes: dict[str, int]) -> LlamaForCausalLM:
    """A model with fresh weights drawn from torch's current random state; `sizes` as in `SIZES`."""
    from transformers import LlamaConfig, LlamaForCausalLM

    # Untied, so that the head is a linear layer of its own that can be compressed.
    config = LlamaConfig(
        vocab_size=256,
        max_position_embeddings=CONTEXT_BYTES,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        attn_implementation="eager",
        **sizes,
    )
    return LlamaForCausalLM(config)


def load(name: Name) -> LlamaForCausalLM:
    """The trained model in float32 and eval mode; UserError if its checkpoint is missing or damaged."""
    sizes, tensors = checkpoint.read(checkpoint.checkpoint_path(f"byte_lm_{name}"))
    model = create(sizes)
    model.load_state_dict(tensors)
    return model.eval()


def bits_per_byte(model: LlamaForCausalLM, rows: NDArray[np.int64], batch: int = 16) -> NDArray[np.float64]:
    """Mean -log2 p(next byte) of each row of `stdlib_text.windows`, shape (rows,).

    The mean over rows is the score: a byte sees at most `CONTEXT_BYTES` - 1 bytes before it, the first
    bytes of a row few, and every row weighs the same because all have one length.
    """
    import torch

    scores = []
    with torch.inference_mode():
        for start in range(0, len(rows), batch):
            ids = torch.from_numpy(rows[start : start + batch])
            logits = model(input_ids=ids[:, :-1], use_cache=False).logits.double()
            nats = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
            scores.append(nats.mean(dim=1).numpy() / np.log(2))
    return np.concatenate(scores)
