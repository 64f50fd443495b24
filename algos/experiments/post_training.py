"""Compress trained models after training: scales are calibrated, weights stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from algos.compress import Config, compress_
from algos.experiments.registry import Row, Run
from algos.experiments.schemes import APSQ, PLAIN
from algos.experiments.subjects import SUBJECTS, rows


def baselines(run: Run) -> Sequence[Row]:
    """Every model in float32 and with 8-bit weights and activations, psums unquantised."""
    return table(run, tuple(SUBJECTS), PLAIN)


def apsq(model: str) -> Callable[[Run], Sequence[Row]]:
    """One model's table with stored psums of 8, 6 and 4 bits, the baselines above them."""
    return lambda run: table(run, (model,), PLAIN | APSQ)


def score_cell(model: str, config: Config | None) -> Mapping[str, float]:
    """The scores of one cell."""
    subject = SUBJECTS[model]
    network = subject.load()
    if config is not None:
        compress_(network, config, subject.calibration())
    return subject.score(network)


def _cell(model: str, scheme: str, config: Config | None) -> Sequence[Row]:
    return rows(model, scheme, score_cell(model, config))


def table(run: Run, models: Sequence[str], schemes: Mapping[str, Config | None]) -> list[Row]:
    """Every model with every scheme, kept in the run's scratch cell by cell."""
    cells = [(model, scheme) for model in models for scheme in schemes]
    table: list[Row] = []
    for number in run.track(range(len(cells)), len(cells), 0):
        model, scheme = cells[number]
        table += run.cell(f"{model}.{scheme}", partial(_cell, model, scheme, schemes[scheme]))
    return table
