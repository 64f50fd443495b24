"""`accelsim validate`: our numbers beside those of other simulators, silicon and slow references."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from accelsim.cli.common import check_outputs, progress_bar, show, wrote

if TYPE_CHECKING:
    from rich.table import Table

    from accelsim.validate.row import Row

FAILED = 1
EPILOG = """\b
Examples:
  accelsim validate
  accelsim validate --only scalesim --csv rows.csv
  accelsim validate --only scalesim --live

A row without a tolerance is stated, not tuned to. Exits with 1 when a row is outside its tolerance."""


@click.command(epilog=EPILOG)
@click.option("--only", "names", multiple=True, metavar="NAME", help="One validation; may be given several times.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), metavar="F.json", help="Save every row.")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), metavar="F.csv", help="Save every row.")
@click.option("--live", is_flag=True, help="Run the peers again instead of using their recorded answers.")
def validate(names: Sequence[str], json_path: Path | None, csv_path: Path | None, live: bool) -> int:
    """Our numbers beside others', row by row: simulators, silicon, references."""
    check_outputs(((json_path, (".json",)), (csv_path, (".csv",))))
    from accelsim.report.files import write_whole
    from accelsim.validate.datasets import chosen
    from accelsim.validate.files import rows_csv, rows_json

    rows: list[Row] = []
    for dataset in chosen(names, live):
        with progress_bar(dataset.name) as progress:
            found = dataset.rows(live, progress)
        show(_table(f"\n{dataset.title}", found), *_notes(found))
        rows += found
    for path, encode in ((json_path, rows_json), (csv_path, rows_csv)):
        if path is not None:
            write_whole(path, encode(rows))
            wrote(path)
    failed = [row for row in rows if not row.ok]
    for row in failed:
        difference = f"{row.what} {row.ours:g} {row.unit}, not {row.reference:g}"
        click.echo(f"outside its tolerance: {row.dataset} {row.case}: {difference}")
    return FAILED if failed else 0


def _table(title: str, rows: Sequence[Row]) -> Table:
    from rich.table import Table

    from accelsim.validate.summary import lines

    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("what", no_wrap=True)
    for name in ("rows", "equal", "median", "mean abs.", "worst", "tolerance", "outside"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines(rows):
        tolerance = "stated" if line.tolerance_pct is None else f"{line.tolerance_pct:g} %"
        tolerance = f"at most +{tolerance}" if line.one_sided and line.tolerance_pct is not None else tolerance
        percents = (f"{line.median_pct:+.1f} %", f"{line.mean_absolute_pct:.1f} %", f"{line.worst_pct:+.1f} %")
        table.add_row(line.what, str(line.rows), str(line.equal), *percents, tolerance, str(line.failed))
    return table


def _notes(rows: Sequence[Row]) -> list[str]:
    from accelsim.validate.summary import notes

    return [f"\n{count} rows: {note}" for note, count in notes(rows).items()]
