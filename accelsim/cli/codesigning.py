"""`accelsim codesign`: what a compression costs in accuracy and saves in energy, point by point."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from accelsim.cli.common import check_outputs, no_torch, progress_bar, say_if_compiling, show, wrote
from accelsim.cli.sweeping import PJ_PER_MJ, PLOT_SUFFIXES, reasons, values_of

if TYPE_CHECKING:
    import pandas as pd

TABLE_SUFFIXES = (".csv", ".json", ".parquet")
MAX_ROWS = 60
UNSCORED = "unscored"
FP32 = "fp32 is scored uncompressed, charged by its trace as shown, and no candidate for the front (*)."

EPILOG = """\b
Examples:
  accelsim codesign apsq_int8_gs1 apsq_edge_ws --over recipe.apsq.bits=4,6,8 \\
    --over arch.array.dataflow=weight_stationary,input_stationary --out c.csv --plot c.png
  accelsim codesign apsq_int8_gs1 apsq_edge_ws --over recipe.apsq.bits=4,8 --score-rows 16
  accelsim codesign apsq_int8_gs1 apsq_edge_ws --over recipe.apsq.group_size=1,2,4 \\
    --scores apsq_byte_lm_target

RECIPE is a shipped recipe or a YAML file, ARCH a spec. A recipe's keys are recipe.STEP.SETTING, where
STEP is the scheme's name, or its number from 0 where two steps have the same scheme.

The first points are the model as it is (fp32) and in W8A8 with exact psums. The trace of the model as it
is says W8 A8 and psums of the array's own width, so its energy is that of W8A8, not of FP32 hardware;
'charged as' says so of every point, and fp32 is left out of the Pareto front (*).

A full score of byte_lm_target takes minutes per point; --score-rows makes it seconds, on less text.
Each variant is scored once, however many accelerators there are. Ctrl-C writes nothing; with --keep the
same command goes on where it stopped."""


@click.command(epilog=EPILOG)
@click.argument("recipe")
@click.argument("arch")
@click.option("--over", "items", multiple=True, metavar="KEY=V1,V2", help="Values to try. Repeatable.")
@click.option("--model", default="byte_lm_target", show_default=True, help="Or digits_vit, or minilm.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Inputs side by side in the trace.")
@click.option("--seq", type=click.IntRange(1), help="Tokens in the trace. Default: as many as it is calibrated for.")
@click.option("--score-rows", type=click.IntRange(1), help="Score on so many held-out rows.  [default: all]")
@click.option("--scores", metavar="EXPERIMENT", help="Read scores from a committed table instead of measuring.")
@click.option("--seed", type=click.IntRange(0), help="Of steps that draw at random.  [default: the recipe's]")
@click.option("--keep", type=click.Path(path_type=Path), metavar="FOLDER", help="Keep what is scored; go on from it.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads that torch may use.")
@click.option("--out", "outs", type=click.Path(path_type=Path), multiple=True, metavar="F.csv|F.json|F.parquet",
              help="Save the whole table. Repeatable.")  # fmt: skip
@click.option("--plot", "plot_path", type=click.Path(path_type=Path), metavar="F.png|svg|pdf", help="Draw it.")
def codesign(
    recipe: str, arch: str, items: tuple[str, ...], model: str, batch: int, seq: int | None, score_rows: int | None,
    scores: str | None, seed: int | None, keep: Path | None, threads: int, outs: tuple[Path, ...],
    plot_path: Path | None,
) -> None:  # fmt: skip
    """Compress a trained model with RECIPE, score it, and simulate it on ARCH, for all values after --over."""
    outputs = [*((out, TABLE_SUFFIXES) for out in outs), (plot_path, PLOT_SUFFIXES)]
    check_outputs(outputs, (recipe, arch))
    over = values_of(items)
    os.environ["HF_HUB_OFFLINE"] = "1"  # every model that this knows is in a package
    from accelsim.explore.output import check_parquet, save_table
    from accelsim.report.codesign_plot import check_markers, save_codesign_plot

    for out in outs:
        check_parquet(out)
    if plot_path is not None:
        check_markers(over)
    say_if_compiling(search="search" in {value for values in over.values() for value in values})
    start = time.perf_counter()
    try:
        from accelsim.explore.codesign import codesign as run
        from algos.experiments.subjects import use_threads

        use_threads(threads)
        with progress_bar("points") as bar:
            table = run(recipe, arch, over, model=model, batch=batch, sequence=seq, score_rows=score_rows,
                        scores=scores, seed=seed, keep=keep, progress=bar)  # fmt: skip
    except ModuleNotFoundError as error:
        raise no_torch("codesign", "torch,experiments", error) from None
    _show(table, list(over), Path(recipe).stem)
    click.echo(f"{len(table):,} points in {time.perf_counter() - start:.1f} s", err=True)
    for out in outs:
        save_table(table, out)
        wrote(out)
    if plot_path is not None:
        save_codesign_plot(table, plot_path)
        wrote(plot_path)


def _show(table: pd.DataFrame, keys: list[str], recipe: str) -> None:
    """The first rows, what was simulated and scored, and why some points did not run."""
    from rich.console import Group, RenderableType
    from rich.text import Text

    from accelsim.report.codesign_plot import about, metric_of, short_words
    from accelsim.report.terminal import share_text, significant
    from accelsim.report.terminal import table as grid

    metric = metric_of(table)
    rows = []
    for row in table.head(MAX_ROWS).to_dict("records"):
        score = significant(row[metric]) if row["scores"] else UNSCORED if row["status"] == UNSCORED else "-"
        costs = (str(row["status"]), "-")
        if row["status"] in ("ok", UNSCORED):
            costs = (significant(row["energy_pj"] / PJ_PER_MJ), share_text(row["psum_energy_share"], 1))
        settings = ("" if row[key] is None else str(row[key]) for key in keys)
        front = "*" if row["pareto_front"] else ""
        charged = row["charged_as"].replace(", psums", "")
        rows.append(("recipe" if row["recipe"] else row["scheme"], *settings, score, *costs, charged, front))
    names = [name.replace("_", "\n", 1).replace("_", " ") for name in (*short_words(keys), f">{metric}")]
    columns = ("point", *names, ">energy\nmJ", ">psum\nshare", "charged as\n(psums last)", "front")
    title = f"{table['model'].iloc[0]}, {recipe}, on {table['arch'].iloc[0]}: {len(table):,} points"
    parts: list[RenderableType] = [grid(title, columns, rows), Text(about(table)), Text(FP32)]
    if len(table) > MAX_ROWS:
        parts.append(Text(f"the first {MAX_ROWS} of {len(table):,} rows; --out F.csv saves them all"))
    show(Group(*parts, *reasons(table)))
