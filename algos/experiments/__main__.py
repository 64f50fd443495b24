"""Run one experiment: `python -m algos.experiments NAME --seed 0`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from accelsim.errors import UserError, did_you_mean


@click.command()
@click.argument("name", required=False)
@click.option("--seed", default=0, show_default=True, help="Seed of the weights, the data order and the search.")
@click.option("--output", type=click.Path(path_type=Path), help="Result file [default: results/NAME.csv here].")
@click.option(
    "--scratch", type=click.Path(path_type=Path), help="Snapshots of a training [default: build/experiments]."
)
@click.option("--draw", is_flag=True, help="Run nothing: draw the committed table into results/NAME.png.")
@click.option("--threads", default=1, show_default=True, help="Threads that torch may use.")
def main(name: str | None, seed: int, output: Path | None, scratch: Path | None, draw: bool, threads: int) -> None:
    """Run the experiment NAME and write its table; without NAME, list the experiments."""
    from algos.experiments.catalogue import EXPERIMENTS

    if name is None:
        for key, experiment in sorted(EXPERIMENTS.items()):
            click.echo(f"{key:28}{experiment.summary}")
        return
    if name not in EXPERIMENTS:
        raise click.UsageError(f"no experiment {name!r}; {did_you_mean(name, EXPERIMENTS)}")
    if draw:
        _draw(name, output)
        return
    import torch

    from algos.experiments import results
    from algos.experiments.registry import Run

    torch.set_num_threads(threads)
    scratch = scratch or Path("build/experiments")
    scratch.mkdir(parents=True, exist_ok=True)
    run = Run(name, seed, scratch, _bar)
    try:
        rows = EXPERIMENTS[name].run(run)
    except UserError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    path = output or results.FOLDER / f"{name}.csv"
    results.write(path, rows)
    run.forget()
    click.echo(f"{len(rows)} rows in {path}")


def _draw(name: str, output: Path | None) -> None:
    from algos.experiments import pictures, results

    if name not in pictures.PICTURES:
        raise click.UsageError(f"no picture of {name!r}; {did_you_mean(name, pictures.PICTURES)}")
    path = output or results.FOLDER / f"{name}.png"
    pictures.save(name, path)
    click.echo(str(path))


def _bar(steps: range, total: int, done: int) -> Iterator[int]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("steps", total=total, completed=done)
        for step in steps:
            yield step
            progress.advance(task)


if __name__ == "__main__":
    main()
