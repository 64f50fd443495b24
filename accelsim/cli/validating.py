"""`accelsim validate`: our numbers beside those of other simulators, silicon and slow references."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
        click.echo(f"\n{dataset.title}")
        show(*_tables(found), *_notes(found))
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


def _tables(rows: Sequence[Row]) -> Iterator[Table | str]:
    """Quantities that many rows have, a line each; then the rows that stand alone."""
    from accelsim.validate.summary import lines

    numbers = ("rows", "equal", "median", "mean abs.", "worst", "tolerance", "outside")
    many = _table(("what",), numbers)
    alone = _table(("what", "case"), ("reference", "ours", "unit", "deviation", "tolerance"))
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


def _table(left: Sequence[str], right: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _notes(rows: Sequence[Row]) -> list[str]:
    from accelsim.validate.summary import notes

    return [f"\n{count} rows: {note}" for note, count in notes(rows).items()]
