"""One line of a validation: a number of somebody else's, ours, and how far apart they are."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """`what` of `case`, in `unit`: the reference's value and ours.

    `tolerance_pct` is the largest deviation accepted, either way; None means the deviation is stated
    and nothing is tuned to it, and `note` says why the two differ. `one_sided`: being less is never wrong.
    """

    dataset: str
    case: str
    what: str
    unit: str
    reference: float
    ours: float
    tolerance_pct: float | None
    note: str = ""
    one_sided: bool = False

    @property
    def deviation_pct(self) -> float:
        """Ours above the reference, percent; infinite where the reference is 0 and we are not."""
        apart = self.ours - self.reference
        if not apart:
            return 0.0
        return apart / self.reference * 100 if self.reference else math.copysign(math.inf, apart)

    @property
    def ok(self) -> bool:
        """Whether the deviation is within the tolerance, or only stated."""
        apart = self.deviation_pct if self.one_sided else abs(self.deviation_pct)
        return self.tolerance_pct is None or apart <= self.tolerance_pct
