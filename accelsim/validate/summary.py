"""Many rows in a few lines: one per dataset and quantity, checked and merely stated rows apart."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from accelsim.validate.row import Row


@dataclass(frozen=True)
class Line:
    """Rows of one quantity that share a tolerance; deviations in percent."""

    dataset: str
    what: str
    rows: int
    equal: int
    median_pct: float
    mean_absolute_pct: float
    worst_pct: float
    tolerance_pct: float | None
    one_sided: bool
    failed: int


def lines(rows: Iterable[Row]) -> Iterator[Line]:
    """In the order the rows come."""
    groups: dict[tuple[str, str, float | None, bool], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.dataset, row.what, row.tolerance_pct, row.one_sided), []).append(row)
    for (dataset, what, tolerance, one_sided), group in groups.items():
        deviations = [row.deviation_pct for row in group]
        yield Line(
            dataset=dataset,
            what=what,
            rows=len(group),
            equal=sum(deviation == 0 for deviation in deviations),
            median_pct=statistics.median(deviations),
            mean_absolute_pct=statistics.fmean(map(abs, deviations)),
            worst_pct=max(deviations, key=abs),
            tolerance_pct=tolerance,
            one_sided=one_sided,
            failed=sum(not row.ok for row in group),
        )


def notes(rows: Iterable[Row]) -> Counter[str]:
    """Every note, and how many rows carry it."""
    return Counter(row.note for row in rows if row.note)
