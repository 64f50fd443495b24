"""Queries and keys rotated per head after their rotary embedding, where no weight can take the rotation."""

from __future__ import annotations

import torch

from accelsim.schemes import RotationScheme
from algos.kv_cache import cache_obstacle, change_cached_
from algos.rotation.rotate import OnlineRotation
from algos.rotation.stream import Base


def key_obstacle(base: Base, attention: torch.nn.Module) -> str:
    """Why the keys of this attention cannot be rotated, or ""."""
    if not base.family.rotary:
        return "keys without rotary embedding or cache; fold a rotation into their projections instead"
    return "rotated already" if hasattr(attention, "key_query_rotation") else cache_obstacle(base, attention)


def rotate_keys_(attention: torch.nn.Module, scheme: RotationScheme) -> None:
    """Let the attention multiply rotated queries with rotated keys, and cache those; scores stay what they were."""
    attention.key_query_rotation = OnlineRotation(scheme)
    change_cached_(attention)
