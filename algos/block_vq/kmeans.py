"""Weighted k-means of many groups of points at once, with centres rounded to integers at the end."""

from __future__ import annotations

from dataclasses import dataclass

import torch

ROUNDED_STEPS = 4
CHUNK_ELEMENTS = 1 << 24


@dataclass(frozen=True, eq=False)
class Clusters:
    """Integer centres (groups, entries, values), the choice of every point (groups, points), and the weighted error."""

    centres: torch.Tensor
    choices: torch.Tensor
    error: float


def cluster(
    points: torch.Tensor, weights: torch.Tensor, entries: int, largest: int, *, steps: int = 30, seed: int = 0
) -> Clusters:
    """Lloyd's algorithm on sum of weight (point - centre)^2, started by k-means++ from the seed.

    `points` and `weights` are (groups, points, values); a point of zero weight counts nowhere. The last
    steps round the centres half up to integers within +-largest, so the choices fit what is stored.
    """
    generator = torch.Generator(points.device).manual_seed(seed)
    centres = _started(points, weights, entries, generator)
    for _ in range(steps):
        moved = _means(points, weights, *nearest(points, weights, centres), centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    for _ in range(ROUNDED_STEPS):
        moved = _means(points, weights, *nearest(points, weights, centres), centres)
        centres = torch.floor(moved + 0.5).clamp(-largest, largest)
    choices, distances = nearest(points, weights, centres)
    return Clusters(centres, choices, float(distances.double().sum()))


def nearest(points: torch.Tensor, weights: torch.Tensor, centres: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Number and weighted squared distance of the nearest centre of every point, both (groups, points)."""
    found = [
        scores(points[:, part], weights[:, part], centres).min(-1)
        for part in _parts(points.shape[1], points.shape[0] * centres.shape[1])
    ]
    choices = torch.cat([choice for _, choice in found], 1)
    offset = (weights * points.square()).sum(-1)
    distances = torch.cat([score for score, _ in found], 1) + offset
    return choices, distances.clamp_min(0)


def nearest_few(
    points: torch.Tensor, weights: torch.Tensor, centres: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """That many nearest centres of every point, nearest first: their distances and numbers, (groups, points, count).

    A point's distances miss what is the same for all its centres.
    """
    found = [
        scores(points[:, part], weights[:, part], centres).topk(count, largest=False)
        for part in _parts(points.shape[1], points.shape[0] * centres.shape[1])
    ]
    return torch.cat([part.values for part in found], 1), torch.cat([part.indices for part in found], 1)


def scores(points: torch.Tensor, weights: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Weighted squared distances without the part that is the same for every centre, (groups, points, entries)."""
    return weights @ centres.square().mT - 2 * (weights * points) @ centres.mT


def _parts(count: int, elements_each: int) -> list[slice]:
    size = max(1, CHUNK_ELEMENTS // max(1, elements_each))
    return [slice(start, start + size) for start in range(0, count, size)]


def _started(points: torch.Tensor, weights: torch.Tensor, entries: int, generator: torch.Generator) -> torch.Tensor:
    """k-means++: each next centre is a point drawn in proportion to its distance from those before."""
    groups = torch.arange(len(points), device=points.device)
    chances = weights.sum(-1)
    centres: list[torch.Tensor] = []
    closest = torch.full(points.shape[:2], torch.inf, dtype=points.dtype, device=points.device)
    for _ in range(entries):
        safe = torch.where(chances.sum(-1, keepdim=True) > 0, chances, torch.ones_like(chances))
        chosen = torch.searchsorted(safe.cumsum(-1), _uniform(safe, generator)).clamp_max(points.shape[1] - 1)
        centres.append(points[groups, chosen[:, 0]])
        closest = torch.minimum(closest, (weights * (points - centres[-1][:, None]).square()).sum(-1))
        chances = closest
    return torch.stack(centres, 1)


def _uniform(chances: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    draw = torch.rand((len(chances), 1), generator=generator, dtype=torch.float64, device=chances.device)
    return draw.to(chances.dtype) * chances.sum(-1, keepdim=True)


def _means(
    points: torch.Tensor, weights: torch.Tensor, choices: torch.Tensor, distances: torch.Tensor, centres: torch.Tensor
) -> torch.Tensor:
    """Weighted means of the clusters; a cluster without weight moves to the worst served point of its group."""
    index = choices[..., None].expand_as(points)
    summed = torch.zeros_like(centres).scatter_add_(1, index, weights * points)
    weight = torch.zeros_like(centres).scatter_add_(1, index, weights)
    means = torch.where(weight > 0, summed / weight.clamp_min(1e-30), centres)
    empty = (weight == 0).all(-1)
    if bool(empty.any()):
        worst = distances.argsort(-1, descending=True)
        rank = (empty.cumsum(-1) - 1).clamp(0, points.shape[1] - 1)
        replacement = points.gather(1, worst.gather(1, rank)[..., None].expand_as(centres))
        means = torch.where(empty[..., None], replacement, means)
    return means
