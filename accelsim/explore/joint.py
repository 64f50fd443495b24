"""The points of a co-design, and what is wrong with one before anything is compressed.

A point is a variant of a model (the uncompressed one, W8A8, or a recipe with some settings) on an
accelerator with some settings. As in a sweep, a key or value that no point could have is a mistake in
the question; a combination that one variant or spec cannot have is an answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from accelsim.errors import Fault, UserError, did_you_mean, text_of
from accelsim.explore.points import MAX_POINTS, Sets, arch_faults, combinations, listed_values, never_right, of
from accelsim.spec import ArchSpec, load_arch

if TYPE_CHECKING:
    from algos.experiments.subjects import Subject
    from algos.scheme_config import SchemeConfig

PREFIXES = ("recipe", "arch")
KEY_FIX = "start it with recipe. or arch., like recipe.apsq.bits or arch.array.dataflow"
WHERE = "codesign"

Made = TypeVar("Made")


@dataclass(frozen=True)
class Variant:
    """A way to compress the model: no steps leave it as it is. `recipe` is "" for the two references.

    `scheme` is what the experiments' tables call these steps ("": nothing), `refused` why the model or
    the recipe cannot have them.
    """

    recipe: str
    scheme: str
    sets: Sets
    steps: tuple[SchemeConfig, ...]
    refused: str = ""


@dataclass(frozen=True)
class Settings:
    """The model, the forward pass whose trace is simulated (`sequence` None: no sequence) and the scoring.

    Scores are measured on `score_rows` of the held-out data (None: all), or read from the committed
    table of the experiment `scores`.
    """

    model: str
    batch: int = 1
    sequence: int | None = None
    score_rows: int | None = None
    scores: str | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Question:
    """A co-design that can start: every variant on every one of `arch_sets`."""

    settings: Settings
    arch: str
    arch_name: str
    recipe_keys: tuple[str, ...]
    arch_keys: tuple[str, ...]
    variants: tuple[Variant, ...]
    arch_sets: tuple[Sets, ...]


def ask(
    recipe: str | Path, arch: str | Path, over: Mapping[str, Sequence[object]], settings: Settings
) -> Question:  # fmt: skip
    """The variants, references first, and the accelerators, both in product order.

    Raises UserError with all mistakes described at the top of this file.
    """
    from algos.experiments.subjects import SUBJECTS
    from algos.recipe import load_recipe

    faults: list[Fault] = []
    values = _or_none(faults, lambda: listed_values(over, PREFIXES, KEY_FIX))
    base = _or_none(faults, lambda: load_arch(arch))
    steps = _or_none(faults, lambda: load_recipe(recipe))
    subject = SUBJECTS.get(settings.model)
    if subject is None:
        faults.append(_fault("model", f"no model {settings.model!r}", did_you_mean(settings.model, SUBJECTS)))
    else:
        faults += _settings_faults(settings, subject)
    if values is not None and base is not None:
        faults += arch_faults(base, of(values, "arch"))
    variants: list[Variant] = []
    if values is not None and steps is not None:
        steps = _seeded(steps, settings.seed)
        faults += never_right(of(values, "recipe"), partial(_faults, steps))
        variants = _variants(Path(recipe).stem, steps, of(values, "recipe"))
    if faults or values is None or base is None or subject is None:
        raise UserError(faults)
    points = len(variants) * math.prod(map(len, of(values, "arch").values()))
    if points > MAX_POINTS:
        raise UserError([_fault("points", f"{points:,} points", f"at most {MAX_POINTS:,}; give fewer values at once")])
    if settings.sequence is None:
        settings = replace(settings, sequence=subject.longest)
    return _question(settings, arch, base, values, variants)


def _question(
    settings: Settings, arch: str | Path, base: ArchSpec, values: dict[str, tuple[object, ...]],
    variants: Sequence[Variant],
) -> Question:  # fmt: skip
    recipe_values, arch_values = of(values, "recipe"), of(values, "arch")
    return Question(
        settings, str(arch), base.name, tuple(recipe_values), tuple(arch_values), tuple(variants),
        tuple(combinations(arch_values)),
    )  # fmt: skip


def _variants(
    recipe: str, steps: tuple[SchemeConfig, ...], values: dict[str, tuple[object, ...]]
) -> list[Variant]:  # fmt: skip
    from algos.experiments.schemes import PLAIN, name_of

    variants = [Variant("", name, (), () if config is None else (config,)) for name, config in PLAIN.items()]
    for sets in combinations(values):
        changed, error = _changed(steps, sets)
        refused = "" if error is None else text_of(error)
        variants.append(Variant(recipe, "" if error else name_of(changed), sets, changed, refused))
    return variants


def _changed(
    steps: tuple[SchemeConfig, ...], sets: Sets
) -> tuple[tuple[SchemeConfig, ...], UserError | None]:  # fmt: skip
    from algos.recipe_settings import with_settings

    try:
        return with_settings(steps, dict(sets)), None
    except UserError as error:
        return steps, error


def _faults(steps: tuple[SchemeConfig, ...], sets: Sets) -> tuple[Fault, ...]:
    _, error = _changed(steps, sets)
    return () if error is None else error.faults


def _seeded(steps: tuple[SchemeConfig, ...], seed: int | None) -> tuple[SchemeConfig, ...]:
    """The steps, those that draw at random from this seed instead of the recipe's."""
    from algos.recipe_settings import with_settings

    if seed is None:
        return steps
    drawing = [number for number, step in enumerate(steps) if hasattr(step, "seed")]
    return with_settings(steps, {f"recipe.{number}.seed": seed for number in drawing})


def _settings_faults(settings: Settings, subject: Subject) -> list[Fault]:
    faults = []
    if settings.batch < 1:
        faults.append(_fault("batch", f"found {settings.batch}", "at least 1"))
    if settings.sequence is not None and subject.longest is None:
        faults.append(_fault("sequence", f"{settings.model} reads no sequence", "leave it out"))
    elif settings.sequence is not None and not 1 <= settings.sequence <= (subject.longest or 1):
        fix = f"1 to {subject.longest}, which {settings.model} is calibrated for"
        faults.append(_fault("sequence", f"found {settings.sequence}", fix))
    if settings.scores is not None:
        from algos.experiments.results import scores

        _or_none(faults, lambda: scores(str(settings.scores), settings.model))
        if settings.score_rows is not None:
            faults.append(_fault("score_rows", "the scores are read from a table", "leave one of the two out"))
    elif settings.score_rows is not None and not subject.fewest <= settings.score_rows <= subject.held_out():
        fix = f"{subject.fewest} to {subject.held_out()} rows of {settings.model}"
        faults.append(_fault("score_rows", f"found {settings.score_rows}", fix))
    return faults


def _or_none(faults: list[Fault], make: Callable[[], Made]) -> Made | None:
    """What is made, or None and the faults that it met."""
    try:
        return make()
    except UserError as error:
        faults.extend(error.faults)
        return None


def _fault(name: str, found: str, fix: str) -> Fault:
    return Fault(WHERE, 0, 0, name, found, fix)
