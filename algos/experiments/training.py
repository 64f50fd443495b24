"""The one training loop of the experiments: fixed steps, a data order fixed by the seed, resumable snapshots."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from algos.experiments.registry import Run

DECAY_SHARE = 0.3
WARM_UP_STEPS = 50
CURVE_POINTS = 50
SNAPSHOT_EVERY_S = 120.0
TUNED_WEIGHTS = 2e-4
TUNED_LOG2_SCALES = 1e-2
"""AdamW moves a parameter by about its rate: within some hundred steps a shift must be able to change by one."""

LossOfStep = Callable[[int], torch.Tensor]
"""The mean loss in nats of the batch that belongs to a step; the same step gives the same batch."""


@dataclass(frozen=True)
class CurvePoint:
    """Mean training loss of the steps since the point before, and the process time used so far."""

    step: int
    loss: float
    cpu_s: float


@dataclass(frozen=True)
class Rates:
    """Peak learning rates: Muon's for the matrices of hidden layers, AdamW's for all other parameters."""

    hidden: float
    other: float


def train(
    model: torch.nn.Module, loss_of: LossOfStep, steps: int, optimizers: Sequence[torch.optim.Optimizer], run: Run
) -> list[CurvePoint]:
    """Minimise `loss_of` for so many steps, the rate constant after a warm-up and falling to 0 over the last 30 %.

    A snapshot in `run.scratch` is continued where it ended, so an interrupted run loses two minutes;
    one from the constant part may be continued with another number of steps.
    """
    schedules = [torch.optim.lr_scheduler.LambdaLR(optimizer, _rate(steps)) for optimizer in optimizers]
    state = _State(run.scratch / f"{run.name}.seed{run.seed}.snapshot.pt", model, optimizers, schedules)
    curve, first = state.restore()
    spent = curve[-1].cpu_s if curve else 0.0
    start, losses = time.process_time(), torch.zeros(())
    every = max(1, steps // CURVE_POINTS)
    for step in run.track(range(first, steps), steps, first):
        loss = loss_of(step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        losses += loss.detach()
        if (step + 1) % every == 0 or step + 1 == steps:
            span = step + 1 - (curve[-1].step if curve else 0)
            curve.append(CurvePoint(step + 1, float(losses) / span, spent + time.process_time() - start))
            losses.zero_()
            state.save(step + 1, curve)
    state.path.unlink(missing_ok=True)
    return curve


def pretraining_optimizers(model: torch.nn.Module, rates: Rates) -> list[torch.optim.Optimizer]:
    """AdamW, and K. Jordan's Muon (2024), as torch has it, for the matrices of hidden layers."""
    hidden = [p for name, p in model.named_parameters() if p.ndim == 2 and ".layer" in name]
    chosen = {id(p) for p in hidden}
    other = [p for p in model.parameters() if id(p) not in chosen]
    return [
        torch.optim.AdamW(other, lr=rates.other, betas=(0.9, 0.95), weight_decay=0.0),
        torch.optim.Muon(hidden, lr=rates.hidden, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
    ]


def tuning_optimizers(model: torch.nn.Module) -> list[torch.optim.Optimizer]:
    """AdamW for a compressed model, with rates that fit weights and logarithms of scales."""
    rates: dict[bool, float] = {False: TUNED_WEIGHTS, True: TUNED_LOG2_SCALES}
    groups: dict[bool, list[torch.nn.Parameter]] = {False: [], True: []}
    for name, parameter in model.named_parameters():
        groups[name.endswith("log2_scale")].append(parameter)
    chosen = [{"params": parameters, "lr": rates[kind]} for kind, parameters in groups.items() if parameters]
    return [torch.optim.AdamW(chosen, betas=(0.9, 0.95), weight_decay=0.0)]


def _rate(steps: int) -> Callable[[int], float]:
    decay, warm_up = max(1, round(DECAY_SHARE * steps)), min(WARM_UP_STEPS, max(1, steps // 10))

    def factor(step: int) -> float:
        return min(1.0, (step + 1) / warm_up, (steps - step) / decay)

    return factor


@dataclass
class _State:
    path: Path
    model: torch.nn.Module
    optimizers: Sequence[torch.optim.Optimizer]
    schedules: list[torch.optim.lr_scheduler.LambdaLR]
    saved_at: float = 0.0

    def save(self, step: int, curve: list[CurvePoint]) -> None:
        if time.monotonic() - self.saved_at < SNAPSHOT_EVERY_S:
            return
        data = {
            "step": step,
            "curve": [asdict(point) for point in curve],
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedules": [schedule.state_dict() for schedule in self.schedules],
        }
        temporary = self.path.with_suffix(".part")
        torch.save(data, temporary)
        temporary.replace(self.path)
        self.saved_at = time.monotonic()

    def restore(self) -> tuple[list[CurvePoint], int]:
        if not self.path.is_file():
            return [], 0
        data = torch.load(self.path, weights_only=True)
        self.model.load_state_dict(data["model"])
        for optimizer, saved in zip(self.optimizers, data["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        for schedule, saved in zip(self.schedules, data["schedules"], strict=True):
            schedule.load_state_dict(saved)
        return [CurvePoint(**point) for point in data["curve"]], data["step"]


def batches(text_bytes: int, length: int, batch: int, seed: int) -> Callable[[int], torch.Tensor]:
    """Start offsets of the training rows of a step, shape (batch,), drawn from the seed and the step alone."""

    def offsets(step: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        return torch.randint(text_bytes - length, (batch,), generator=generator)

    return offsets
