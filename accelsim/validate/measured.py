"""What a machine was measured to do, beside what its plain spec simulates to and what a roofline says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MeasuredRun:
    """One measured quantity of one run, all three values in `unit`.

    Runs of a `subset` are judged together. `roofline` is None where a roofline says nothing; `bound` what
    our model says held the run up; `fitted` that a constant of ours was fitted on this run, which then
    counts in no statistic; `cause` what our model leaves out, for runs far off.
    """

    subset: str
    case: str
    quantity: str
    unit: str
    measured: float
    ours: float
    roofline: float | None
    bound: str = ""
    fitted: bool = False
    cause: str = ""

    @property
    def ratio(self) -> float:
        """Ours over measured."""
        return self.ours / self.measured


@dataclass(frozen=True)
class Constant:
    """A number of the machine's spec that was fitted, and on which runs."""

    name: str
    value: float
    unit: str
    fitted_on: str
    source: str = ""


@dataclass(frozen=True)
class Limit:
    """How wrong a subset may be: today's error and a hair (worse fails), and the aim, shown where missed too."""

    subset: str
    quantity: str
    mean_abs_error_pct: float | None = None
    rank_correlation: float | None = None
    target_pct: float | None = None


@dataclass(frozen=True)
class Measurement:
    """A dataset: its runs, the constants fitted, its limits, and what a reader must know about the data."""

    runs: tuple[MeasuredRun, ...]
    constants: tuple[Constant, ...] = ()
    limits: tuple[Limit, ...] = ()
    cautions: tuple[str, ...] = ()
