"""`accelsim sweep`: every combination of some values, as a table, a file and a picture."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from accelsim.cli.common import check_outputs, progress_bar, say_if_compiling, searches, show, wrote
from accelsim.errors import Fault, UserError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

PLOT_SUFFIXES = (".png", ".svg", ".pdf")
TABLE_SUFFIXES = (".csv", ".parquet")
MAX_ROWS = 40
MAX_REASONS = 8
PJ_PER_MJ = 1e9

EPILOG = """\b
Examples:
  accelsim sweep apsq_edge_ws bert_base --over workload.psum.bits=4,6,8,12,16,32
  accelsim sweep apsq_edge_ws bert_base --over workload.psum.bits=8,32 \\
    --over arch.array.dataflow=weight_stationary,output_stationary --out s.csv --plot s.png
  accelsim sweep my_chip.yaml matmul:128x768x768 matmul:128x768x3072 --over arch.array.po=8,16,32

Keys are those of 'accelsim simulate --set'. A combination that cannot run is a row with its reason.
Energies in the file are in pJ; 'status' is ok, infeasible (an op does not fit) or error (the spec
cannot run it). Ctrl-C writes nothing."""


@click.command(epilog=EPILOG)
@click.argument("arch")
@click.argument("workloads", nargs=-1, required=True, metavar="WORKLOAD...")
@click.option("--over", "items", multiple=True, required=True, metavar="KEY=V1,V2", help="Values to try. Repeatable.")
@click.option("--out", type=click.Path(path_type=Path), metavar="F.csv|F.parquet", help="Save the whole table.")
@click.option("--plot", "plot_path", type=click.Path(path_type=Path), metavar="F.png|svg|pdf", help="Draw it.")
@click.option("--jobs", type=click.IntRange(1, 1024), help="Processes. Default: every core.")
def sweep(
    arch: str, workloads: tuple[str, ...], items: tuple[str, ...], out: Path | None, plot_path: Path | None,
    jobs: int | None,
) -> None:  # fmt: skip
    """Simulate WORKLOADs on ARCH for every combination of the values after --over."""
    check_outputs(((out, TABLE_SUFFIXES), (plot_path, PLOT_SUFFIXES)), (arch, *workloads))
    from accelsim.explore.output import check_parquet, save_table
    from accelsim.explore.points import plan
    from accelsim.explore.pool import cores, run_points
    from accelsim.explore.sweep import frame
    from accelsim.report.sweep_plot import check_panels, save_sweep_plot
    from accelsim.spec import load_arch

    check_parquet(out)
    over = values_of(items)
    todo = plan(arch, workloads, over)
    if plot_path is not None:
        check_panels(len(todo.traces), [len(values) for values in over.values()])
    swept = {value for values in over.values() for value in values}
    say_if_compiling(searches(load_arch(arch)) or bool(swept & {"search", "searched"}))
    processes, start, done = jobs or cores(), time.perf_counter(), 0
    with progress_bar("points") as bar:

        def progress(points: int, total: int) -> None:
            nonlocal done
            done = points
            bar(points, total)

        try:
            table = frame(todo, run_points(todo, processes, progress))
        except KeyboardInterrupt:
            click.echo(f"stopped after {done:,} of {len(todo.points):,} points; nothing is written", err=True)
            raise
    seconds = time.perf_counter() - start
    _show(table, list(over))
    click.echo(f"{len(table):,} points in {seconds:.1f} s ({len(table) / seconds:,.0f} points/s)", err=True)
    if out is not None:
        save_table(table, out)
        wrote(out)
    if plot_path is not None:
        save_sweep_plot(table, plot_path)
        wrote(plot_path)


def values_of(items: Sequence[str]) -> dict[str, list[object]]:
    """`key=v1,v2` texts as values by key. A comma inside brackets belongs to its value."""
    from accelsim.spec.words import shown

    over: dict[str, list[object]] = {}
    faults: list[Fault] = []
    for item in items:
        key, equals, text = item.partition("=")
        key = key.strip()
        values = [value.strip() for value in _split(text)]
        if not equals or not key:
            fix = "write KEY=V1,V2, for example workload.psum.bits=4,8,32"
            faults.append(Fault("--over", 0, 0, item or "''", "no key and values", fix))
        elif key in over:
            fix = "write all its values after one --over, with commas"
            faults.append(Fault("--over", 0, 0, key, "this key is given twice", fix))
        elif not all(values):
            faults.append(Fault("--over", 0, 0, key, f"an empty value in {shown(text)}", "write V1,V2 without gaps"))
        over.setdefault(key, [_typed(value) for value in values])
    if faults:
        raise UserError(faults)
    return over


def _split(text: str) -> list[str]:
    """The texts between commas that are not inside brackets."""
    parts = re.split(r"([\[\],])", text)
    values, depth = [""], 0
    for part in parts:
        depth = max(0, depth + (part == "[") - (part == "]"))
        if part == "," and depth == 0:
            values.append("")
        else:
            values[-1] += part
    return values


def _typed(text: str) -> object:
    """A number where the text is one, so that a table's column holds numbers; else the text itself."""
    from accelsim.spec.yaml_source import parse_yaml

    try:
        data = parse_yaml(text, "--over").data
    except UserError:
        return text
    return data if isinstance(data, int | float) and not isinstance(data, bool) else text


def _show(table: pd.DataFrame, keys: list[str]) -> None:
    """The first rows with what matters most, then why some points did not run."""
    from rich.console import Group
    from rich.text import Text

    from accelsim.report.sweep_plot import short_keys
    from accelsim.report.terminal import share_text, significant
    from accelsim.report.terminal import table as grid

    rows = []
    for row in table.head(MAX_ROWS).to_dict("records"):
        costs = ("-", "-", "-")
        if row["status"] == "ok":
            share = share_text(row["psum_energy_share"], 1)
            costs = (significant(row["energy_pj"] / PJ_PER_MJ), f"{row['cycles']:,}", share)
        rows.append((row["workload"], *(str(row[key]) for key in keys), *costs, row["status"]))
    columns = ("workload", *short_keys(keys), ">energy mJ", ">cycles", ">psum share", "status")
    parts: list[RenderableType] = [grid(f"{table['arch'].iloc[0]}: {len(table):,} points", columns, rows)]
    if len(table) > MAX_ROWS:
        parts.append(Text(f"the first {MAX_ROWS} of {len(table):,} rows; --out F.csv saves them all\n"))
    show(Group(*parts, *reasons(table)))


def reasons(table: pd.DataFrame) -> list[RenderableType]:
    """Why some points did not run, each reason once."""
    from rich.text import Text

    failed = table.loc[table["status"] != "ok", "reason"].value_counts(sort=False)
    if not len(failed):
        return []
    parts: list[RenderableType] = [Text("Points that did not run", style="bold")]
    parts += [Text(f"  x{times}  {reason}") for reason, times in list(failed.items())[:MAX_REASONS]]
    if len(failed) > MAX_REASONS:
        parts.append(Text(f"  and {len(failed) - MAX_REASONS} other reasons; --out F.csv saves them all"))
    return parts
