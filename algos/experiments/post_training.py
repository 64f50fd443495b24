"""Compress trained models after training: scales are calibrated, weights stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from algos.compress import compress_
from algos.experiments.registry import Row, Run
from algos.experiments.schemes import APSQ, PLAIN
from algos.experiments.subjects import SUBJECTS, rows
from algos.scheme_config import SchemeConfig


def baselines(run: Run) -> Sequence[Row]:
    """Every model in float32 and with 8-bit weights and activations, psums unquantised."""
    return _table(run, tuple(SUBJECTS), PLAIN)


def apsq(model: str) -> Callable[[Run], Sequence[Row]]:
    """One model's table with stored psums of 8, 6 and 4 bits, the baselines above them."""
    return lambda run: _table(run, (model,), PLAIN | APSQ)


def score_cell(model: str, config: SchemeConfig | None) -> Mapping[str, float]:
    """The scores of one cell."""
    subject = SUBJECTS[model]
    network = subject.load()
    if config is not None:
        compress_(network, config, subject.calibration())
    return subject.score(network)


def _cell(model: str, scheme: str, config: SchemeConfig | None) -> Sequence[Row]:
    return rows(model, scheme, score_cell(model, config))


def _table(run: Run, models: Sequence[str], schemes: Mapping[str, SchemeConfig | None]) -> list[Row]:
    cells = [(model, scheme) for model in models for scheme in schemes]
    table: list[Row] = []
    for number in run.track(range(len(cells)), len(cells), 0):
        model, scheme = cells[number]
        table += run.cell(f"{model}.{scheme}", partial(_cell, model, scheme, schemes[scheme]))
    return table
