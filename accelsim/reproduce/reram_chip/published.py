"""The published numbers, as the comparison reads them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import yaml

METRICS = ("tokens_per_s", "speedup", "mj_per_token", "saving", "reram_mb_per_token", "dram_mb_per_token")


@dataclass(frozen=True)
class Number:
    """A published number and how sure it is."""

    value: float
    confidence: str


@dataclass(frozen=True)
class PublishedPair:
    """A target and its draft, with METRICS and the gain of the parallel policy and scheduler together."""

    target: str
    draft: str
    numbers: dict[str, Number]
    parallel_gain: Number
    gain_range: tuple[float, float]


@dataclass(frozen=True)
class PublishedStage:
    """One step of the LLaMA3-8B ablation."""

    stage: str
    tokens_per_s: float
    mj_per_token: float
    dram_mb_per_token: float
    confidence: str


@lru_cache(maxsize=1)
def _document() -> dict[str, list[dict[str, object]]]:
    text = (files("accelsim.reproduce") / "data" / "reram_chip_published.yaml").read_text()
    document: dict[str, list[dict[str, object]]] = yaml.safe_load(text)
    return document


def published_pairs() -> list[PublishedPair]:
    """The three model pairs."""
    pairs = []
    for entry in _document()["pairs"]:
        numbers = {name: _number(entry[name]) for name in METRICS}
        gain = entry["parallel_gain"]
        assert isinstance(gain, dict)
        bounds = float(gain["low"]), float(gain["high"])
        pairs.append(PublishedPair(str(entry["target"]), str(entry["draft"]), numbers, _number(gain), bounds))
    return pairs


def published_ablation() -> list[PublishedStage]:
    """The steps of the ablation, from the BF16 base on."""
    return [
        PublishedStage(
            str(entry["stage"]), float(str(entry["tokens_per_s"])), float(str(entry["mj_per_token"])),
            float(str(entry["dram_mb_per_token"])), str(entry["confidence"]),
        )
        for entry in _document()["ablation"]
    ]  # fmt: skip


def _number(entry: object) -> Number:
    assert isinstance(entry, dict)
    return Number(float(entry["value"]), str(entry["confidence"]))
