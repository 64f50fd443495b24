"""The published search (GQA-LUT, DAC 2024, and its public code's settings), all individuals at once.

A genome is N - 1 breakpoints. Its lines are the secants of f through consecutive breakpoints, from a
fixed anchor far left to one far right, k and b rounded to 2^-6; its fitness the mean squared error on
a 0.01 grid. Rounding mutation rounds genes to few fraction bits, so that those of the survivors stand
well on coarse scales. The result is one set of k, b with each breakpoint rounded to every scale's codes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from accelsim.schemes import FixedPoint, LutScheme, LutTable
from accelsim.schemes.lut import InputBits
from accelsim.schemes.lut_functions import LutFunction
from algos.gqa_lut.exact import INT8_SHIFTS
from algos.gqa_lut.segments import Floats, Ints

GRID_STEP = 0.01
FRACTION_BITS = 6
FAR = 1e4
WITHOUT_ROUNDING = ("reciprocal", "rsqrt")
ONE_SET = {"reciprocal": 5}
FROM_BIT_2 = (("gelu", 8), ("hardswish", 16))
ANCHORS = {"exp": (-16.0, 0.0)}
GENE_RANGES = {("exp", 16): (-6.5, 0.0), "reciprocal": (0.625, 3.875), "rsqrt": (0.25, 3.875)}


@dataclass(frozen=True)
class Genetics:
    """The settings of a search; probabilities of rounding and of noise are per gene and fraction bit.

    No `fraction_bits`: no rounding, and noise once a gene. No `genes`: they have the function's range.
    """

    population: int = 50
    generations: int = 500
    crossover: float = 0.7
    mutation: float = 0.2
    tournament: int = 3
    rounding: float = 0.05
    noise: float = 0.1
    noise_sigma: float = 0.2
    fraction_bits: tuple[int, ...] = tuple(range(7))
    genes: tuple[float, float] | None = None
    breakpoint_bits: int | None = None
    """Fraction bits of the one set of breakpoints for all scales; None: rounded to the codes of each."""


def published(function: str, entries: int) -> Genetics:
    """What the public code searches a function with."""
    bits = () if function in WITHOUT_ROUNDING else tuple(range(2 if (function, entries) in FROM_BIT_2 else 0, 7))
    genes = GENE_RANGES.get((function, entries), GENE_RANGES.get(function))
    return Genetics(fraction_bits=bits, genes=genes, breakpoint_bits=ONE_SET.get(function))


def genetic_search(
    function: LutFunction,
    entries: int = 8,
    *,
    seed: int = 42,
    shifts: Sequence[int] = INT8_SHIFTS,
    input_bits: InputBits = 8,
    genetics: Genetics | None = None,
) -> LutScheme:
    """The `shared` scheme that the published search finds from `seed`, by default with its settings.

    k and b lie on the 2^-6 grid; the format has the integer bits that its largest number needs, so it
    is wider than a byte where a byte would overflow. Same seed, same scheme.
    """
    anchors = ANCHORS.get(function.name)
    if anchors is None:
        anchors = (function.low, function.high) if function.outside == "clamp" else (-FAR, FAR)
    settings = genetics or published(function.name, entries)
    points = _evolve(function, entries, anchors, np.random.default_rng(seed), settings)
    k, b = (np.rint(part * 2**FRACTION_BITS).astype(np.int64)[0] for part in _secants(function, points[None], anchors))
    highest = (1 << (input_bits - 1)) - 1
    tables = []
    for shift in sorted(set(shifts)):
        codes = _codes(points, shift, settings.breakpoint_bits).clip(-highest - 1, highest)
        tables.append(LutTable(shift, *(tuple(int(code) for code in part) for part in (k, b, codes))))
    return LutScheme(
        function.name, entries, input_bits, _narrowest(k), _narrowest(b), function.low, function.high,
        "shared", function.outside, tuple(tables), function.reduction,
    )  # fmt: skip


def _codes(points: Floats, shift: int, breakpoint_bits: int | None) -> Floats:
    """The first code of each segment after the first."""
    if breakpoint_bits is None:
        codes: Floats = np.rint(np.ldexp(points, shift))
    else:
        codes = np.ceil(np.ldexp(np.rint(np.ldexp(points, breakpoint_bits)), shift - breakpoint_bits))
    return codes


def _evolve(
    function: LutFunction, entries: int, anchors: tuple[float, float], rng: Generator, genetics: Genetics
) -> Floats:
    """The genome of least error in the last generation, sorted."""
    grid: Floats = np.arange(function.low, function.high, GRID_STEP, dtype=np.float64)
    target = function.of(grid)
    low, high = genetics.genes or (function.low, function.high)
    genomes = np.sort(rng.uniform(low, high, (genetics.population, entries - 1)), axis=1)
    errors = _errors(function, genomes, anchors, grid, target)
    for _ in range(genetics.generations):
        rivals = rng.integers(genetics.population, size=(genetics.population, genetics.tournament))
        chosen = genomes[rivals[np.arange(genetics.population), errors[rivals].argmin(axis=1)]]
        _cross(chosen, rng, genetics.crossover)
        mutants = rng.random(genetics.population) < genetics.mutation
        chosen[mutants] = _mutated(chosen[mutants], rng, genetics).clip(low, high)
        genomes = np.sort(chosen, axis=1)
        errors = _errors(function, genomes, anchors, grid, target)
    best: Floats = genomes[errors.argmin()]
    return best


def _cross(genomes: Floats, rng: Generator, probability: float) -> None:
    """Two-point crossover of neighbours, in place."""
    genes = genomes.shape[1]
    for pair in np.flatnonzero(rng.random(genomes.shape[0] // 2) < probability):
        first, second = sorted(int(cut) for cut in rng.choice(genes + 1, 2, replace=False))
        left, right = genomes[2 * pair, first:second].copy(), genomes[2 * pair + 1, first:second].copy()
        genomes[2 * pair, first:second], genomes[2 * pair + 1, first:second] = right, left


def _mutated(genomes: Floats, rng: Generator, genetics: Genetics) -> Floats:
    """Every gene, for each fraction bit in turn, rounded to it, moved by noise, or left."""
    for bits in genetics.fraction_bits or (None,):
        draw = rng.random(genomes.shape)
        noise = rng.normal(0, genetics.noise_sigma, genomes.shape)
        genomes = np.where(draw >= 1 - genetics.noise, genomes + noise, genomes)
        if bits is not None:
            genomes = np.where(draw < genetics.rounding, np.rint(genomes * 2**bits) / 2**bits, genomes)
    return genomes


def _secants(function: LutFunction, genomes: Floats, anchors: tuple[float, float]) -> tuple[Floats, Floats]:
    """Slopes and intercepts of every genome's lines; 0 where two breakpoints are equal."""
    ends = np.broadcast_to(np.array(anchors), (genomes.shape[0], 2))
    points = np.concatenate([ends[:, :1], genomes, ends[:, 1:]], axis=1)
    values = function.of(points)
    width = np.diff(points, axis=1)
    k = np.divide(np.diff(values, axis=1), width, out=np.zeros_like(width), where=width != 0)
    return k, np.where(width != 0, values[:, :-1] - points[:, :-1] * k, 0.0)


def _errors(
    function: LutFunction, genomes: Floats, anchors: tuple[float, float], grid: Floats, target: Floats
) -> Floats:
    k, b = (np.rint(part * 2**FRACTION_BITS) / 2**FRACTION_BITS for part in _secants(function, genomes, anchors))
    # Of sorted genomes, the grid point where each segment starts gives each segment's run of points.
    starts = np.searchsorted(grid, genomes)
    segment = np.zeros((genomes.shape[0], grid.size + 1), np.int64)
    np.add.at(segment, (np.arange(genomes.shape[0])[:, None], starts), 1)
    segment = segment[:, :-1].cumsum(axis=1)
    found = np.take_along_axis(k, segment, axis=1) * grid + np.take_along_axis(b, segment, axis=1)
    errors: Floats = np.mean((found - target) ** 2, axis=1)
    return errors


def _narrowest(codes: Ints) -> FixedPoint:
    most = max(int(codes.max()) + 1, -int(codes.min()))
    return FixedPoint(max(1, math.ceil(math.log2(most)) - FRACTION_BITS), FRACTION_BITS)
