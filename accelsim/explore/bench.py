"""The model of a co-design on the PyTorch side: compressed, exported, scored.

The one file of `accelsim` that calls `algos` and `workloads`, which is why both are imported in here
only when a co-design runs: the rest of it neither needs nor loads torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from accelsim.errors import Fault, UserError, text_of, user_error
from accelsim.explore.joint import Settings, Variant
from accelsim.explore.kept import Kept
from accelsim.workload import Trace

if TYPE_CHECKING:
    import torch

    from algos.experiments.subjects import Subject
    from algos.scheme_config import Batch

MEASURED = "measured"
DIGITS = 5
"""Of a score, as in the experiments' tables: what lies below depends on the order torch sums in."""


@dataclass(frozen=True)
class Scored:
    """Scores by metric, and where they come from: measured, or the name of a committed table."""

    scores: Mapping[str, float]
    source: str


@dataclass(frozen=True)
class Compressed:
    """A variant of the model: its trace, and its scores, which are worked out when asked for.

    `score` raises UserError where there are none.
    """

    trace: Trace
    score: Callable[[], Scored]


class Bench:
    """One model to compress again and again, each time from its checkpoint, unless a variant is in `kept`."""

    def __init__(self, settings: Settings, kept: Kept | None = None) -> None:
        from algos.experiments.results import scores
        from algos.experiments.subjects import SUBJECTS

        self._settings, self._kept = settings, kept
        self._subject: Subject = SUBJECTS[settings.model]
        self._committed = None if settings.scores is None else scores(settings.scores, settings.model)
        self._batches: Sequence[Batch] | None = None

    @property
    def metric(self) -> str:
        """The score to judge by."""
        return self._subject.metric

    def refusals(self, variants: Sequence[Variant]) -> list[str]:
        """Why there is no such variant, or no score of it in the table; "" where all is well.

        UserError if that holds for every variant of the recipe, if only because of the model or the table.
        """
        from algos import plan

        network = self._subject.load()
        refusals: list[str] = []
        faults: list[Fault] = []
        for variant in variants:
            refused = variant.refused
            if not refused:
                try:
                    self._of_table(variant)
                    if variant.steps:
                        plan(network, variant.steps)
                except UserError as error:
                    refused = text_of(error)
                    faults += error.faults
            refusals.append(refused)
        if all(refused for variant, refused in zip(variants, refusals, strict=True) if variant.recipe):
            raise UserError(faults)
        return refusals

    def compress(self, variant: Variant) -> Compressed:
        """The variant's trace and scores. UserError where it cannot be made."""
        from algos import compress_
        from workloads import export_trace

        settings, committed = self._settings, self._of_table(variant)
        made_of = f"{settings.model}, {settings.batch}, {settings.sequence}, {settings.score_rows}, {variant.steps!r}"
        known = None if self._kept is None or committed is not None else self._kept.find(made_of)
        if known is not None:
            trace, scores = known
            return Compressed(trace, lambda: Scored(scores, MEASURED))
        network = self._subject.load()
        if variant.steps:
            # The schemes of the tables leave the same trace whatever they were calibrated on.
            compress_(network, variant.steps, self._calibration() if committed is None else ())
        inputs = self._subject.inputs(settings.batch, settings.sequence or 1)
        size = f"b{settings.batch}" + (f"_s{settings.sequence}" if settings.sequence else "")
        trace = export_trace(network, inputs, self._subject.phase, name=f"{settings.model}_{size}")
        measure = partial(self._measured, network, trace, made_of)
        return Compressed(trace, measure if committed is None else lambda: committed)

    def _measured(self, network: torch.nn.Module, trace: Trace, made_of: str) -> Scored:
        found = self._subject.score(network, self._settings.score_rows)
        if not math.isfinite(found[self.metric]):
            fix = "score on more rows, or compress less"
            raise user_error("codesign", self.metric, f"the score is {found[self.metric]}", fix)
        scores = {name: round(value, DIGITS) for name, value in found.items()}
        if self._kept is not None:
            self._kept.put(made_of, trace, scores)
        return Scored(scores, MEASURED)

    def _of_table(self, variant: Variant) -> Scored | None:
        """The committed scores; None where they are to be measured. UserError for none in the table."""
        from algos.experiments.results import scores

        table = self._settings.scores
        if self._committed is None or table is None:
            return None
        if variant.scheme in self._committed:
            return Scored(self._committed[variant.scheme], table)
        calibrated = f"apsq_{self._settings.model}"
        if not variant.steps:  # no training changes the uncompressed model, so any table may have it
            return Scored(scores(calibrated, self._settings.model)["fp32"], calibrated)
        known = ", ".join(self._committed)
        raise user_error("codesign", "scores", f"{table} has no row for these settings", f"its rows: {known}")

    def _calibration(self) -> Sequence[Batch]:
        if self._batches is None:
            self._batches = self._subject.calibration()
        return self._batches
