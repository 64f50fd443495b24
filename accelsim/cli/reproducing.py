"""`accelsim reproduce`: published claims, computed and compared."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from accelsim.cli.common import check_outputs, progress_bar, show, wrote
from accelsim.cli.tabling import table
from accelsim.errors import user_error

if TYPE_CHECKING:
    from rich.table import Table

    from accelsim.reproduce.apsq import EnergyRow
    from accelsim.reproduce.claims import ClaimRow
    from accelsim.reproduce.reram_chip.chip import Head
    from accelsim.reproduce.sensitivity import SensitivityRow

PLOT_SUFFIXES = (".png", ".svg", ".pdf")
EPILOG = """\b
Examples:
  accelsim reproduce apsq
  accelsim reproduce apsq --json apsq.json --plot sensitivity.png
  accelsim reproduce gqa-lut --json lut.json
  accelsim reproduce reram-chip --draft-head uncharged

\b
exact       the simulator's own counts
gemm        a closed model per GEMM, as the paper is believed to count
free order  exact counts, each op's loop order chosen for least energy"""


@click.command(epilog=EPILOG)
@click.argument("paper", type=click.Choice(("apsq", "gqa-lut", "reram-chip")))
@click.option("--json", "json_path", type=click.Path(path_type=Path), metavar="F.json", help="Save every table.")
@click.option(
    "--plot", "plot_path", type=click.Path(path_type=Path), metavar="F.png|svg|pdf", help="Sensitivity (apsq)."
)
@click.option(
    "--draft-head",
    type=click.Choice(("dram", "uncharged")),
    help="Where the draft's head is (reram-chip).  [default: dram]",
)
def reproduce(paper: str, json_path: Path | None, plot_path: Path | None, draft_head: Head | None) -> None:
    """What PAPER claims, beside what comes out of the simulator, with every assumption."""
    check_outputs(((json_path, (".json",)), (plot_path, PLOT_SUFFIXES)))
    from accelsim.report.files import write_whole

    if paper != "apsq" and plot_path is not None:
        raise user_error("command line", "--plot", f"{paper} has no picture", "leave it out, or reproduce apsq")
    if paper != "reram-chip" and draft_head is not None:
        fix = "leave it out, or reproduce reram-chip"
        raise user_error("command line", "--draft-head", f"{paper} drafts nothing", fix)
    if paper == "gqa-lut":
        from accelsim.cli.reproducing_lut import reproduce_gqa_lut

        tables = reproduce_gqa_lut()
    elif paper == "reram-chip":
        from accelsim.cli.reproducing_reram import reproduce_reram_chip

        tables = reproduce_reram_chip(draft_head or "dram")
    else:
        tables = _reproduce_apsq(plot_path)
    if json_path is not None:
        write_whole(json_path, _json(tables).encode())
        wrote(json_path)


def _reproduce_apsq(plot_path: Path | None) -> dict[str, Sequence[object]]:
    from accelsim.reproduce.apsq import energy_rows, free_order_rows
    from accelsim.reproduce.claims import claim_rows
    from accelsim.reproduce.plot import save_sensitivity
    from accelsim.reproduce.sensitivity import sensitivity_rows

    energies = energy_rows()
    claims, free = claim_rows(energies), free_order_rows()
    show(_energy_table([*energies, *free]))
    show(_claim_table(claims))
    with progress_bar("varying what was not published") as progress:
        sensitivity = sensitivity_rows(progress)
    show(_sensitivity_table(sensitivity))
    if plot_path is not None:
        save_sensitivity(sensitivity, plot_path)
        wrote(plot_path)
    return {"rows": claims, "energies": [*energies, *free], "sensitivity": sensitivity}


def _energy_table(rows: Sequence[EnergyRow]) -> Table:
    psums = list(dict.fromkeys(row.psum for row in rows))
    title = f"\nEnergy of matmuls and convs with {psums[0]} psums, and what narrower ones save"
    shown = table(title, ("model", "flow", "counts"), ("psum share", f"{psums[0]} mJ", *psums[1:]))
    groups: dict[tuple[str, str, str], list[EnergyRow]] = {}
    for row in rows:
        groups.setdefault((row.model, row.dataflow, row.counting), []).append(row)
    models = list(dict.fromkeys(row.model for row in rows))
    for key in sorted(groups, key=lambda key: (models.index(key[0]), key[1], key[2])):
        wide, *narrow = groups[key]
        energy = f"{wide.energy_uj / 1e3:,.4g}" if wide.energy_uj < 1e7 else f"{wide.energy_uj / 1e3:,.0f}"
        shown.add_row(*key, f"{wide.psum_share:.1%}", energy, *(f"{row.saving:.1%}" for row in narrow))
    return shown


def _sensitivity_table(rows: Sequence[SensitivityRow]) -> Table:
    exact = [row for row in rows if row.counting == "exact"]
    heads = list(dict.fromkeys((row.model, row.dataflow) for row in exact))
    names = [f"{model.removeprefix('LLaMA2-7B ')[:5]}\n{flow}" for model, flow in heads]
    shown = table("\nEnergy saved by INT8 gs 1, exact counts, one knob at a time", ("knob", "value"), names)
    for knob, value in dict.fromkeys((row.knob, row.value) for row in exact):
        saved = {(row.model, row.dataflow): row.saving for row in exact if (row.knob, row.value) == (knob, value)}
        shown.add_row(knob, f"{value:g}", *(f"{saved[model, flow]:.0%}" for model, flow in heads))
    return shown


def _claim_table(rows: Sequence[ClaimRow]) -> Table:
    shown = table("\nClaims", ("claim", "counts"), ("published", "simulated", "deviation", "from"))
    for row in rows:
        values = (f"{value:,.4g} {row.unit}" for value in (row.published, row.simulated))
        shown.add_row(row.claim, row.counting, *values, f"{row.deviation:+,.3g}", row.confidence)
    shown.caption = "\n".join(dict.fromkeys(row.assumptions for row in rows))
    shown.caption_justify = "left"
    return shown


def _json(tables: dict[str, Sequence[object]]) -> str:
    document: dict[str, object] = {"schema_version": 1}
    for name, rows in tables.items():
        document[name] = [dataclasses.asdict(row) for row in rows]  # type: ignore[call-overload]
    return json.dumps(document, indent=1, allow_nan=False) + "\n"
