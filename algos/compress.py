"""`compress_`, the one verb, and `plan`, its dry run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import torch

from accelsim.errors import Fault, UserError, did_you_mean
from algos.changes import CompressionReport, LayerChange
from algos.layers import left_alone, matches
from algos.scheme_config import Batch, SchemeConfig

Config: TypeAlias = SchemeConfig | Sequence[SchemeConfig]
"""One scheme, or several to apply one after the other (`load_recipe` gives such a sequence)."""


def compress_(
    model: torch.nn.Module, config: Config, calibration: Iterable[Batch] = (), *, strict: bool = True
) -> CompressionReport:
    """Compress a model in place: every scheme in turn, each calibrated on `calibration` as soon as it is in.

    `calibration` holds the arguments of forward passes (kept in memory). Without any, layers that learn
    scales have none until `algos.calibrate_` or training gives them some, and say so when they are run.
    Strict: raises UserError, before the model is touched, for a pattern that matches no layer, for a
    layer named exactly that a scheme has to skip, and for a scheme that changes nothing; otherwise such
    things are listed as skipped.
    """
    plan(model, config, strict=strict)
    batches = list(calibration)
    changes: list[LayerChange] = []
    for step in _steps(config):
        changes += _unmatched(model, step)
        changes += step.apply_(model, batches)
    return CompressionReport(tuple(changes))


def plan(model: torch.nn.Module, config: Config, *, strict: bool = True) -> CompressionReport:
    """What `compress_` would do, from the same UserErrors on; the model (also on the meta device) stays as it is.

    Every step is planned on the model as it is now.
    """
    faults: list[Fault] = []
    changes: list[LayerChange] = []
    for step in _steps(config):
        missing, planned = _unmatched(model, step), step.plan(model)
        changes += missing + planned
        faults += _faults(model, step, missing, planned)
    if strict and faults:
        raise UserError(faults)
    return CompressionReport(tuple(changes))


def _steps(config: Config) -> Sequence[SchemeConfig]:
    return (config,) if isinstance(config, SchemeConfig) else config


def _unmatched(model: torch.nn.Module, step: SchemeConfig) -> list[LayerChange]:
    paths = _paths(model)
    return [
        LayerChange(pattern, step.name, "pattern", skipped="matches no layer of the model")
        for pattern in (*step.layers, *step.skip)
        if pattern != "*" and not any(matches(path, (pattern,)) for path in paths)
    ]


def _faults(
    model: torch.nn.Module, step: SchemeConfig, missing: Sequence[LayerChange], planned: Sequence[LayerChange]
) -> list[Fault]:
    where = type(model).__name__
    faults = [
        Fault(where, 0, 0, f"{step.name}: {change.path}", change.skipped, _nearest(change.path, _paths(model)))
        for change in missing
    ]
    for pattern in step.layers:
        faults += [
            Fault(where, 0, 0, f"{step.name}: {pattern}", change.skipped, "take it out of layers, or give strict=False")
            for change in left_alone(planned, pattern)
        ]
    if not faults and all(change.skipped for change in planned):
        reasons = sorted({change.skipped for change in planned}) or [f"no layer that {step.name} knows"]
        found = f"changes no layer: {'; '.join(reasons)}"
        faults.append(Fault(where, 0, 0, step.name, found, "give it other layers, or strict=False"))
    return faults


def _nearest(pattern: str, paths: Sequence[str], shown: int = 12) -> str:
    """The nearest path; of a large model not every path is listed."""
    if len(paths) <= shown:
        return did_you_mean(pattern, paths)
    guess, _, _ = did_you_mean(pattern, paths).partition("allowed: ")
    return f"{guess}allowed: patterns like *.{paths[-1].rpartition('.')[2]}, or any of its {len(paths)} module paths"


def _paths(model: torch.nn.Module) -> list[str]:
    return [path for path, _ in model.named_modules() if path]
