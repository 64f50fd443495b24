"""The contract of a hardware block: what its actions cost, how big it is, what it leaks.

A block is built once from the spec and the technology and never changes. Its constants each say
where they come from; a block that lacks a number cannot be built (a missing cost is an error, never
a default of 1). Cycle counts are methods of the block's own class.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

# From the strongest to the weakest; a number that rests on several is as weak as the weakest.
Confidence = Literal["user", "published", "computed", "third-party", "derived", "assumed"]
Die = Literal["logic", "stack", "dram"]


def weakest(confidences: Iterable[Confidence]) -> Confidence:
    """The confidence of a number that rests on all of these."""
    return max(confidences, key=get_args(Confidence).index)


@dataclass(frozen=True)
class Cost:
    """One number with its origin. The unit stands in the name of whatever holds it."""

    value: float
    source: str
    confidence: Confidence

    @property
    def assumed(self) -> bool:
        """Whether nothing but an assumption stands behind the number."""
        return self.confidence == "assumed"

    def scaled(self, factor: float, why: str, confidence: Confidence | None = None) -> Cost:
        """This cost times `factor`; `why` (a conversion, with its source) joins the source.

        A unit conversion or a count leaves the confidence alone; a factor that is itself uncertain
        passes its own `confidence`, and the weaker of the two holds.
        """
        weaker = weakest([self.confidence, confidence]) if confidence else self.confidence
        return Cost(self.value * factor, f"{self.source}; {why}", weaker)


def total(costs: Iterable[Cost], why: str) -> Cost:
    """The sum of costs of one unit: every distinct source, the weakest confidence."""
    parts = tuple(costs)
    sources = dict.fromkeys(part.source for part in parts)
    value = math.fsum(part.value for part in parts)
    return Cost(value, f"{why}: {' + '.join(sources)}", weakest(part.confidence for part in parts))


def or_user(value: float | None, computed: Cost) -> Cost:
    """The user's own number if the spec gives one, else the computed cost."""
    return computed if value is None else Cost(value, "spec", "user")


@dataclass(frozen=True)
class Action:
    """Something a block does: `energy_pj` per one `unit` (access, mac, element, bit, psum)."""

    energy_pj: Cost
    unit: str


@dataclass(frozen=True)
class Block:
    """A named part with costed actions; `die` says whether its area counts as accelerator area (logic and stack)."""

    name: str
    actions: Mapping[str, Action]
    area_mm2: Cost
    leakage_mw: Cost
    die: Die = "logic"
