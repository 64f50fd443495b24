"""A co-design: one model, compressed in several ways, on several accelerators, as one table.

The loop is here, beside the sweep that it extends. What it does to the model comes from outside
(`accelsim.explore.bench`), so that this file knows no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.errors import UserError, text_of
from accelsim.explore.bench import Bench, Compressed, Scored
from accelsim.explore.charged import charged_as
from accelsim.explore.joint import Question, Settings, Variant, ask
from accelsim.explore.kept import Kept
from accelsim.explore.pareto import on_front
from accelsim.explore.point import Result, run_point
from accelsim.explore.points import Plan, Point, Sets
from accelsim.explore.pool import sound
from accelsim.explore.sweep import frame
from accelsim.report.codesign_plot import METRICS, metric_of
from accelsim.spec import load_arch

if TYPE_CHECKING:
    import pandas as pd

UNCOMPRESSED = "fp32"
UNSCORED = "unscored"


@dataclass(frozen=True)
class JointResult:
    """One row: what the simulation found and the scores; `unscored` says why there are none."""

    result: Result
    charged: str = ""
    scored: Scored = field(default_factory=lambda: Scored({}, ""))
    unscored: str = ""


def codesign(
    recipe: str | Path,
    arch: str | Path,
    over: Mapping[str, Sequence[object]],
    *,
    model: str = "byte_lm_target",
    batch: int = 1,
    sequence: int | None = None,
    score_rows: int | None = None,
    scores: str | None = None,
    seed: int | None = None,
    keep: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Compress a trained model with every combination of `over`, score it, and simulate it on `arch`.

    Keys of `over` are `recipe.STEP.SETTING` (STEP: the scheme's name, or its number from 0) and
    `arch.*`. `model` is one of `algos.experiments.subjects.SUBJECTS`; its trace is one forward pass of
    `batch` inputs of `sequence` tokens (default: what it is calibrated for). It is scored on all held-out
    data, or on `score_rows` evenly spaced rows; or `scores` names a committed table of experiments
    (`apsq_tuned_byte_lm_target`: scores after training) and nothing is measured. `seed` replaces the
    recipe's in steps that draw at random. In the folder `keep` every measured variant is kept as soon as
    it is scored, and taken from there by a later call (of the same code: it does not notice changes).

    One row per point: first the model uncompressed (`fp32`), then in W8A8 with exact psums
    (`w8a8_psum_int32`), then the recipe in product order; of each, the accelerators in product order.
    Columns: what the point is, its scores, `charged_as` (the widths that the simulation charges: the
    uncompressed model's trace says W8 A8 too, so its energy is not that of FP32 hardware),
    `pareto_front` (energy against the model's first score, over all points but `fp32`), then those of
    `accelsim.sweep`. `status` is ok, infeasible, error or unscored, with its `reason`. Each variant is
    compressed and scored once. `progress` is told the points done and their number. Raises UserError
    for everything that is wrong with the question. Needs the extras `torch` and `experiments`.
    """
    question = ask(recipe, arch, over, Settings(model, batch, sequence, score_rows, scores, seed))
    bench = Bench(question.settings, None if keep is None else Kept(Path(keep)))
    refusals = bench.refusals(question.variants)
    results = run_question(question, bench.compress, refusals, progress)
    return joint_frame(question, results, bench.metric)


def run_question(
    question: Question,
    compress: Callable[[Variant], Compressed],
    refusals: Sequence[str],
    progress: Callable[[int, int], None] | None = None,
) -> list[JointResult]:
    """The rows in order: variants, each on every accelerator. Equal steps are compressed and scored once."""
    done: list[JointResult] = []
    known: dict[object, list[JointResult]] = {}
    total = len(question.variants) * len(question.arch_sets)
    accumulators = [_accumulator_bits(question.arch, sets) for sets in question.arch_sets]
    for variant, refused in zip(question.variants, refusals, strict=True):
        if progress is not None:
            progress(len(done), total)
        if refused:
            done += [JointResult(Result("error", refused))] * len(question.arch_sets)
            continue
        if variant.steps not in known:
            known[variant.steps] = _rows(question, variant, compress, accumulators)
        done += known[variant.steps]
    if progress is not None:
        progress(len(done), total)
    return done


def _rows(
    question: Question, variant: Variant, compress: Callable[[Variant], Compressed], accumulators: Sequence[int]
) -> list[JointResult]:
    """One variant on every accelerator; it is scored only if one of them can run it."""
    try:
        compressed = compress(variant)
    except UserError as error:
        return [JointResult(Result("error", text_of(error)))] * len(question.arch_sets)
    trace = compressed.trace
    results = [sound(run_point(Point(trace.name, sets), question.arch, trace)) for sets in question.arch_sets]
    scored, unscored = Scored({}, ""), ""
    if any(result.status == "ok" for result in results):
        try:
            scored = compressed.score()
        except UserError as error:
            unscored = text_of(error)
    return [
        JointResult(result, charged_as(trace, bits) if bits else "", scored, unscored)
        for result, bits in zip(results, accumulators, strict=True)
    ]


def _accumulator_bits(arch: str, sets: Sets) -> int:
    """Of the accelerator with these settings; 0 where there is no such accelerator."""
    try:
        return load_arch(arch, dict(sets)).array.accumulator_bits
    except UserError:
        return 0


def joint_frame(question: Question, results: Sequence[JointResult], metric: str) -> pd.DataFrame:
    """The table that `codesign` promises."""
    import pandas as pd

    settings, count = question.settings, len(results)
    points = [(variant, sets) for variant in question.variants for sets in question.arch_sets]
    plan = Plan(
        question.arch, question.arch_name, {}, question.arch_keys, tuple(Point("", sets) for _, sets in points)
    )  # fmt: skip
    costs = frame(plan, [row.result for row in results])
    about = pd.DataFrame(
        {
            "model": [settings.model] * count,
            "batch": [settings.batch] * count,
            "sequence": [settings.sequence] * count,
            "recipe": [variant.recipe for variant, _ in points],
            "scheme": [variant.scheme for variant, _ in points],
            **{key: [dict(variant.sets).get(key) for variant, _ in points] for key in question.recipe_keys},
        },
        dtype=object,
    )
    names = [metric, *dict.fromkeys(name for row in results for name in row.scored.scores if name != metric)]
    scores = pd.DataFrame({name: [row.scored.scores.get(name) for row in results] for name in names}, dtype="float64")
    scores["score_rows"] = pd.Series([settings.score_rows or "all"] * count, dtype=object)
    scores["scores"] = [row.scored.source for row in results]
    scores["charged_as"] = [row.charged for row in results]
    scores["pareto_front"] = False
    keys = list(question.arch_keys)
    rest = costs.drop(columns=["arch", "workload", *keys])
    for number, row in enumerate(results):
        if row.result.status == "ok" and row.unscored:
            rest.loc[number, ["status", "reason"]] = [UNSCORED, row.unscored]
    return _with_front(pd.concat([costs[["arch"]], about, costs[keys], scores, rest], axis=1))


def with_scores(table: pd.DataFrame, scores: Mapping[str, float], source: str) -> pd.DataFrame:
    """The same simulations with other scores, such as those after training, and the front that they make.

    `scores` holds the metric's value by the name in column `scheme` (`algos.experiments.results.scores`
    reads committed ones); rows it does not name are left out, but for the uncompressed model.
    """
    kept = table["scheme"].isin(scores) | (table["scheme"] == UNCOMPRESSED)
    changed = table[kept].reset_index(drop=True)
    named = changed["scheme"].isin(scores)
    changed.loc[named, metric_of(table)] = changed.loc[named, "scheme"].map(scores)
    changed.loc[named, "scores"] = source
    return _with_front(changed)


def _with_front(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its front, for which the uncompressed model is no candidate: no hardware here runs FP32."""
    metric = metric_of(table)
    sign = -1.0 if METRICS[metric].more_is_better else 1.0
    candidate = (table["status"] == "ok") & (table["scheme"] != UNCOMPRESSED)
    energies = table["energy_pj"].where(candidate)
    return table.assign(pareto_front=on_front(list(zip(energies, sign * table[metric], strict=True))))
