"""`accelsim reproduce`: published claims, computed and compared."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from accelsim.cli.common import check_outputs, show, wrote

if TYPE_CHECKING:
    from rich.table import Table

    from accelsim.reproduce.apsq import EnergyRow
    from accelsim.reproduce.claims import ClaimRow

PLOT_SUFFIXES = (".png", ".svg", ".pdf")
EPILOG = """\b
Examples:
  accelsim reproduce apsq
  accelsim reproduce apsq --json apsq.json --plot sensitivity.png

\b
exact       the simulator's own counts
gemm        a closed model per GEMM, as the paper is believed to count
free order  exact counts, each op's loop order chosen for least energy"""


@click.command(epilog=EPILOG)
@click.argument("paper", type=click.Choice(("apsq",)))
@click.option("--json", "json_path", type=click.Path(path_type=Path), metavar="F.json", help="Save every table.")
@click.option("--plot", "plot_path", type=click.Path(path_type=Path), metavar="F.png|svg|pdf", help="Sensitivity.")
def reproduce(paper: str, json_path: Path | None, plot_path: Path | None) -> None:
    """What PAPER claims, beside what comes out of the simulator, with every assumption."""
    check_outputs(((json_path, (".json",)), (plot_path, PLOT_SUFFIXES)))
    from accelsim.report.files import write_whole
    from accelsim.reproduce.apsq import energy_rows, free_order_rows
    from accelsim.reproduce.claims import claim_rows
    from accelsim.reproduce.plot import save_sensitivity
    from accelsim.reproduce.sensitivity import sensitivity_rows

    energies = energy_rows()
    claims, free = claim_rows(energies), free_order_rows()
    show(_energy_table([*energies, *free]))
    show(_claim_table(claims))
    if json_path is None and plot_path is None:
        return
    sensitivity = sensitivity_rows()
    if json_path is not None:
        tables: dict[str, Sequence[object]] = {
            "rows": claims,
            "energies": [*energies, *free],
            "sensitivity": sensitivity,
        }
        write_whole(json_path, _json(tables).encode())
        wrote(json_path)
    if plot_path is not None:
        save_sensitivity(sensitivity, plot_path)
        wrote(plot_path)


def _energy_table(rows: Sequence[EnergyRow]) -> Table:
    from rich.table import Table

    table = Table(
        title="Energy of matmuls and convs by psum, mJ (saving against INT32)", title_justify="left", box=None
    )
    psums = list(dict.fromkeys(row.psum for row in rows))
    for name in ("model", "", "counts", "psum share", *psums):
        table.add_column(name, justify="left" if name in ("model", "", "counts") else "right", no_wrap=True)
    groups: dict[tuple[str, str, str], list[EnergyRow]] = {}
    for row in rows:
        groups.setdefault((row.model, row.dataflow, row.counting), []).append(row)
    for key, group in sorted(groups.items(), key=lambda item: _position(item[0], rows)):
        cells = [f"{row.energy_uj / 1e3:.4g}" + ("" if row.saving == 0 else f" ({row.saving:.0%})") for row in group]
        table.add_row(*key, f"{group[0].psum_share:.0%}", *cells)
    return table


def _position(key: tuple[str, str, str], rows: Sequence[EnergyRow]) -> tuple[int, str]:
    models = list(dict.fromkeys(row.model for row in rows))
    return models.index(key[0]), key[1]


def _claim_table(rows: Sequence[ClaimRow]) -> Table:
    from rich.table import Table

    assumptions = "\n".join(dict.fromkeys(row.assumptions for row in rows))
    table = Table(title="Claims", title_justify="left", box=None, caption=assumptions, caption_justify="left")
    for name in ("claim", "counts", "published", "simulated", "deviation", "known from"):
        table.add_column(name, justify="right" if name in ("published", "simulated", "deviation") else "left")
    for row in rows:
        values = (f"{value:,.4g} {row.unit}" for value in (row.published, row.simulated))
        table.add_row(row.claim, row.counting, *values, f"{row.deviation:+,.3g}", row.confidence)
    return table


def _json(tables: dict[str, Sequence[object]]) -> str:
    document: dict[str, object] = {"schema_version": 1}
    for name, rows in tables.items():
        document[name] = [dataclasses.asdict(row) for row in rows]  # type: ignore[call-overload]
    return json.dumps(document, indent=1, allow_nan=False) + "\n"
