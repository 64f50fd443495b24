"""Checkpoints as package data: safetensors whose header carries the model's configuration, never pickle."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.errors import user_error

if TYPE_CHECKING:
    import torch

FOLDER = Path(__file__).parent / "data"


def checkpoint_path(name: str) -> Path:
    """Where the shipped checkpoint of that name lies, whether or not it exists yet."""
    return FOLDER / f"{name}.safetensors"


def save(path: Path, model: torch.nn.Module, config: Mapping[str, int], dtype: torch.dtype) -> None:
    """Write the model's tensors as `dtype` and `config` in the header, whole or not at all."""
    from safetensors.torch import save as to_bytes

    tensors = {name: tensor.detach().to(dtype).contiguous() for name, tensor in model.state_dict().items()}
    write_whole(path, to_bytes(tensors, metadata={"config": json.dumps(dict(config), sort_keys=True)}))


def read(path: Path) -> tuple[dict[str, int], dict[str, torch.Tensor]]:
    """The configuration and the float32 tensors of a checkpoint.

    Raises UserError for a file that is missing, is no safetensors or carries no configuration.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    retrain = "train it again: `python -m algos.experiments` lists the experiments that do"
    if not path.is_file():
        raise user_error(str(path), "checkpoint", "no such file", retrain)
    try:
        with safe_open(path, framework="pt") as file:
            config: dict[str, int] = json.loads((file.metadata() or {})["config"])
            tensors = {name: file.get_tensor(name).to(torch.float32) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
        raise user_error(str(path), "checkpoint", f"not one of ours: {error}", retrain) from None
    return config, tensors


def write_whole(path: Path, data: bytes) -> None:
    """Write a file through a temporary one beside it, so that a reader never meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)  # mkstemp makes it private
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
