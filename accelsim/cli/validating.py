"""`accelsim validate`: our numbers beside those of other simulators, silicon and slow references."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from accelsim.cli.common import check_outputs, plain_table, progress_bar, show, wrote
from accelsim.validate.measured import MeasuredRun, Measurement

if TYPE_CHECKING:
    from rich.table import Table

    from accelsim.validate.datasets import Dataset
    from accelsim.validate.row import Row

FAILED = 1
OVERVIEW = "overview"
EPILOG = """\b
Examples:
  accelsim validate
  accelsim validate --only scalesim --csv rows.csv
  accelsim validate --only scalesim --live
  accelsim validate --only gemmini --plot pictures

A row without a tolerance is stated, not tuned to. Exits with 1 when a row is outside its tolerance."""


@click.command(epilog=EPILOG)
@click.option("--only", "names", multiple=True, metavar="NAME", help="One validation; may be given several times.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), metavar="F.json", help="Save every row.")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), metavar="F.csv", help="Save every row.")
@click.option(
    "--plot",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Draw measured against simulated into this folder, a picture for each machine and one of all.",
)
@click.option("--live", is_flag=True, help="Run the peers again instead of using their recorded answers.")
def validate(
    names: Sequence[str], json_path: Path | None, csv_path: Path | None, folder: Path | None, live: bool
) -> int:
    """Our numbers beside others', row by row: simulators, silicon, references."""
    check_outputs(((json_path, (".json",)), (csv_path, (".csv",))))
    from accelsim.report.files import write_whole
    from accelsim.validate.datasets import chosen
    from accelsim.validate.files import Compared, compared_csv, compared_json
    from accelsim.validate.scatter import save_overview, save_scatter

    datasets = chosen(names, live, drawn=folder is not None)
    pictures = _pictures(folder, datasets)
    compared: list[Compared] = []
    failed: list[str] = []
    measured: dict[str, Sequence[MeasuredRun]] = {}
    for dataset in datasets:
        with progress_bar(dataset.name) as progress:
            found = dataset.compare(live, progress)
        compared.append(Compared(dataset.name, found))
        click.echo(f"\n{dataset.title}")
        show(*_shown(found))
        failed += _failures(dataset.name, found)
        if isinstance(found, Measurement):
            measured[dataset.title] = found.runs
            if folder is not None:
                save_scatter(dataset.title, found.runs, pictures[dataset.name])
                wrote(pictures[dataset.name])
    if folder is not None and len(measured) > 1:
        save_overview(measured, pictures[OVERVIEW])
        wrote(pictures[OVERVIEW])
    for path, encode in ((json_path, compared_json), (csv_path, compared_csv)):
        if path is not None:
            write_whole(path, encode(compared))
            wrote(path)
    for text in failed:
        click.echo(f"outside its tolerance: {text}")
    return FAILED if failed else 0


def _pictures(folder: Path | None, datasets: Sequence[Dataset]) -> dict[str, Path]:
    """Where each dataset's picture goes. UserError, before any work, for a folder that cannot be written to."""
    if folder is None:
        return {}
    from accelsim.validate.datasets import Silicon

    with suppress(OSError):  # what is wrong is said by the check of the outputs
        folder.mkdir(parents=True, exist_ok=True)
    names = [dataset.name for dataset in datasets if isinstance(dataset.source, Silicon)]
    pictures = {name: folder / f"{name}.png" for name in (*names, OVERVIEW)}
    check_outputs([(path, (".png",)) for path in pictures.values()])
    return pictures


def _shown(found: tuple[Row, ...] | Measurement) -> Iterator[Table | str]:
    if isinstance(found, Measurement):
        from accelsim.cli.measured_tables import measurement_tables

        return measurement_tables(found)
    return chain(_tables(found), _notes(found))


def _failures(dataset: str, found: tuple[Row, ...] | Measurement) -> list[str]:
    """What is outside its tolerance, in words."""
    if isinstance(found, Measurement):
        from accelsim.validate.statistics import failures, summaries

        return [f"{dataset} {text}" for text in failures(list(summaries(found.runs)), found.limits)]
    return [
        f"{dataset} {row.case}: {row.what} {row.ours:g} {row.unit}, not {row.reference:g}"
        for row in found
        if not row.ok
    ]


def _tables(rows: Sequence[Row]) -> Iterator[Table | str]:
    """Quantities that many rows have, a line each; then the rows that stand alone."""
    from accelsim.validate.summary import lines

    numbers = ("rows", "equal", "median", "mean abs.", "worst", "tolerance", "outside")
    many = plain_table(("what",), numbers)
    alone = plain_table(("what", "case"), ("reference", "ours", "unit", "deviation", "tolerance"))
    for line in lines(rows):
        tolerance = "stated" if line.tolerance_pct is None else f"{line.tolerance_pct:.3g} %"
        tolerance = f"<= +{tolerance}" if line.one_sided and line.tolerance_pct is not None else tolerance
        if line.rows > 1:
            percents = (f"{line.median_pct:+.1f} %", f"{line.mean_absolute_pct:.1f} %", f"{line.worst_pct:+.1f} %")
            many.add_row(line.what, str(line.rows), str(line.equal), *percents, tolerance, str(line.failed))
        else:
            row = next(row for row in rows if (row.what, row.tolerance_pct) == (line.what, line.tolerance_pct))
            values = (f"{row.reference:.4g}", f"{row.ours:.4g}", row.unit, f"{row.deviation_pct:+.1f} %")
            alone.add_row(row.what, row.case, *values, tolerance)
    if many.row_count:
        yield many
    if alone.row_count:
        yield from (("", alone) if many.row_count else (alone,))


def _notes(rows: Sequence[Row]) -> list[str]:
    from accelsim.validate.summary import notes

    return [f"\n{count} rows: {note}" for note, count in notes(rows).items()]
