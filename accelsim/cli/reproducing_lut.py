"""What `accelsim reproduce gqa-lut` prints and saves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from accelsim.cli.common import progress_bar, show
from accelsim.cli.tabling import table

if TYPE_CHECKING:
    from rich.table import Table

    from accelsim.reproduce.gqa_lut import Base2Row, ErrorRow, UnitRow
    from algos.gqa_lut.searches import Searched

LIMITS = {"shared, any range": "shared*", "per_scale, any range": "per_scale*"}


def reproduce_gqa_lut() -> dict[str, Sequence[object]]:
    """Search, compare, print; the rows to save. They hold no times: the same call gives the same rows."""
    from accelsim.reproduce.gqa_lut import SHIFTS, base_2_rows, cells, error_rows, unit_rows
    from algos.gqa_lut.searches import base_2_schemes, searches

    found = []
    with progress_bar("searching tables") as progress:
        for one in searches(cells()):
            found.append(one)
            progress(len(found), 3 * len(cells()))
    errors = error_rows({(one.function, one.entries, one.method): one.scheme for one in found})
    base_2, units = base_2_rows(base_2_schemes()), unit_rows()
    show(_error_table(errors, SHIFTS))
    show(_search_table(found))
    show(_base_2_table(base_2))
    show(_unit_table(units))
    return {"errors": errors, "base_2": base_2, "units": units}


def _error_table(rows: Sequence[ErrorRow], shifts: Sequence[int]) -> Table:
    title = "\nMean squared error of INT8 tables at input scales 2^-s; gain: the authors' mean over it"
    shown = table(title, ("function", "N", "tables"), (*(f"s={shift}" for shift in shifts), "mean", "gain"), gap=1)
    for row in rows:
        errors = [_short(error) for error in row.mse] or [""] * len(shifts)
        if row.method == "authors":
            shown.add_section()
        name = (row.function, str(row.entries)) if row.method == "authors" else ("", "")
        shown.add_row(*name, LIMITS.get(row.method, row.method), *errors, _short(row.mean_mse), f"{row.gain:.1f}x")
    shown.caption = (
        "authors: their published tables (reciprocal, rsqrt: their code rerun). genetic: their search, seed 42.\n"
        "shared: one set of k, b, breakpoints per scale. per_scale: a table per scale, the optimum of its format.\n"
        "*: limits with k, b on the 2^-6 grid without a bound, which may need over 8 bits; ours have 8."
    )
    shown.caption_justify = "left"
    return shown


def _search_table(found: Sequence[Searched]) -> Table:
    methods = list(dict.fromkeys(one.method for one in found))
    shown = table("\nFormats (sign|integer|fraction) of k, b, and search times", ("function", "N", *methods), ())
    for function, entries in dict.fromkeys((one.function, one.entries) for one in found):
        cells = [
            f"{one.scheme.slope} {one.scheme.intercept}  {one.seconds:5.2f} s"
            for one in found
            if (one.function, one.entries) == (function, entries)
        ]
        shown.add_row(function, str(entries), *cells)
    return shown


def _base_2_table(rows: Sequence[Base2Row]) -> Table:
    title = "\nexp over (-8, 0) by base-2 range reduction, 16 bits"
    shown = table(title, ("segments",), ("mean squared error", "reference", "ratio"))
    for row in rows:
        ratio = row.mse / row.reference_mse
        shown.add_row(str(row.segments), _short(row.mse), _short(row.reference_mse), f"{ratio:.2f}")
    return shown


def _unit_table(rows: Sequence[UnitRow]) -> Table:
    title = "\nOne lane from its parts, 28 nm 0.9 V 500 MHz, beside synthesis"
    heads = ("um2", "published", "deviation", "mW", "published", "deviation")
    shown = table(title, ("unit", "entries"), heads)
    for row in rows:
        area, power = (row.published_area_um2, row.area_deviation), (row.published_power_mw, row.power_deviation)
        name = "FP32" if row.number == "float" else f"INT{row.bits}"
        shown.add_row(
            name, str(row.entries), f"{row.area_um2:,.0f}", *_known(area, ",.0f"), f"{row.power_mw:.2f}",
            *_known(power, ".2f"),
        )  # fmt: skip
    shown.caption = "Areas rest on recalled cell areas (assumed); nothing is fitted to the published units."
    shown.caption_justify = "left"
    return shown


def _known(pair: tuple[float | None, float | None], form: str) -> tuple[str, str]:
    published, deviation = pair
    return ("-", "-") if published is None or deviation is None else (f"{published:{form}}", f"{deviation:+.1%}")


def _short(value: float) -> str:
    """1.2e-05 as 1.2e-5."""
    return f"{value:.1e}".replace("e-0", "e-")
