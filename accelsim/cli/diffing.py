"""`accelsim diff`: what moved between two saved reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from accelsim.cli.common import check_outputs, show, wrote

if TYPE_CHECKING:
    from rich.console import RenderableType

    from accelsim.report.diff import Change, Entry, Scalar

EQUAL, DIFFERENT = 0, 1
TOP = 10
NAME_WIDTH = 34
TEXT_WIDTH = 24
ALSO = {
    "phases": {"cycles": "cycles"},
    "blocks": {"area_mm2": "area", "leakage_mw": "leakage"},
    "ops": {"cycles": "cycles", "bound_by": "bound by", "psum_scheme": "psums", "macs": "MACs"},
    "rows": {"count": "count"},
}
"""Fields told beside an entry's energy, and what the table calls them; the file of --csv has all."""

EPILOG = """\b
Examples:
  accelsim simulate apsq_edge_ws bert_base --json int32.json
  accelsim simulate apsq_edge_ws bert_base --set workload.psum.bits=8 --json int8.json
  accelsim diff int32.json int8.json
  accelsim diff int32.json int8.json --all --csv moved.csv

\b
Exit code: 0 the reports are equal, 1 they differ, 2 one of them cannot be read."""


@click.command(epilog=EPILOG)
@click.argument("a", type=click.Path(path_type=Path), metavar="A.json")
@click.argument("b", type=click.Path(path_type=Path), metavar="B.json")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), metavar="F.csv", help="Save every change.")
@click.option("--all", "show_all", is_flag=True, help=f"Show every change, not the {TOP} largest of a kind.")
def diff(a: Path, b: Path, csv_path: Path | None, show_all: bool) -> int:
    """What moved from report A to report B, and by how much. Exits with 1 when anything did."""
    check_outputs([(csv_path, (".csv",))], (str(a), str(b)))
    from accelsim.report.diff import diff_csv, diff_reports
    from accelsim.report.files import write_whole

    entries = diff_reports(a, b)
    if entries:
        show(*_pages(entries, None if show_all else TOP))
    else:
        click.echo("the reports are equal")
    if csv_path is not None:
        write_whole(csv_path, diff_csv(entries).encode(errors="backslashreplace"))
        wrote(csv_path)
    return DIFFERENT if entries else EQUAL


def _pages(entries: Sequence[Entry], top: int | None) -> list[RenderableType]:
    """One table per section that has changes, in the report's order."""
    from accelsim.report.diff import SINGLE

    pages = []
    for section in dict.fromkeys(entry.section for entry in entries):
        mine = [entry for entry in entries if entry.section == section]
        pages.append(_values(section, mine) if section in SINGLE else _entries(section, mine, top))
    return pages


def _values(section: str, entries: Sequence[Entry]) -> RenderableType:
    """Single values: what each report says, and by how much they differ."""
    from accelsim.report.terminal import table

    rows = [(entry.name, *_cells(change)) for entry in entries for change in entry.changes]
    return table(section.capitalize(), ("", ">A", ">B", ">change", ">%"), rows)


def _entries(section: str, entries: Sequence[Entry], top: int | None) -> RenderableType:
    """Entries by their energy, those that differ in nothing but the layer as one line."""
    from accelsim.report.diff import ENERGY
    from accelsim.report.terminal import layerless, table

    groups: dict[tuple[str, str, tuple[Change, ...]], int] = {}
    for entry in entries:
        key = (layerless(entry.name), entry.only_in, entry.changes)
        groups[key] = groups.get(key, 0) + 1
    rows = []
    for (name, only_in, changes), times in list(groups.items())[:top]:
        energy = next((change for change in changes if change.field == ENERGY), None)
        cells = _energy_cells(energy) if energy else ("same", "same", "", "")
        also = f"only in {only_in.upper()}" if only_in else _also(section, changes)
        short = name if len(name) <= NAME_WIDTH else f"…{name[1 - NAME_WIDTH :]}"
        rows.append((short, f"x{times}", *cells, also))
    shown = f", {len(rows)} of {len(groups)} kinds (--all shows every one)" if len(rows) < len(groups) else ""
    title = f"{section.capitalize()}: {len(entries):,} changed{shown}"
    return table(title, ("", ">", ">A", ">B", ">change", ">%", "also"), rows)


def _cells(change: Change) -> tuple[str, str, str, str]:
    from accelsim.report.terminal import significant

    amount = change.amount
    if amount is None:
        return (_text(change.a), _text(change.b), "", "")
    sign, size = "+" if amount > 0 else "-", abs(amount)
    moved = f"{size:,}" if isinstance(size, int) else significant(size)
    return (_text(change.a), _text(change.b), f"{sign}{moved}", _percent(change))


def _energy_cells(change: Change) -> tuple[str, str, str, str]:
    """Energies in the unit that suits the larger one."""
    from accelsim.report.terminal import ENERGY_UNITS, significant

    numbers = [value if isinstance(value, int | float) else 0.0 for value in (change.a, change.b)]
    largest = max(map(abs, numbers))
    size, unit = next((step for step in ENERGY_UNITS if largest >= step[0]), ENERGY_UNITS[-1])
    a, b = numbers[0] / size, numbers[1] / size
    sign = "+" if b > a else ""
    return (significant(a), f"{significant(b)} {unit}", f"{sign}{significant(b - a)}", _percent(change))


def _percent(change: Change) -> str:
    percent = change.percent
    if percent is None or percent == 0:
        return ""
    sign = "+" if percent > 0 else "-"
    return f"{sign}<0.1%" if abs(percent) < 0.05 else f"{sign}{abs(percent):,.1f}%"


def _also(section: str, changes: Sequence[Change]) -> str:
    """The other telling fields that moved: numbers by how much, texts from what to what."""
    words = ALSO.get(section, {})
    moved = {change.field: _percent(change) or f"{_text(change.a)} -> {_text(change.b)}" for change in changes}
    return ", ".join(f"{word} {moved[field]}" for field, word in words.items() if field in moved)


def _text(value: Scalar) -> str:
    from accelsim.report.terminal import significant

    if isinstance(value, float):
        return significant(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = "-" if value is None else str(value)
    return text if len(text) <= TEXT_WIDTH else f"{text[: TEXT_WIDTH - 1]}…"
