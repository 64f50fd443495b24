"""What moved between two saved reports: entries of each section by name, largest energy change first."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeAlias

from accelsim.errors import Fault, UserError, user_error
from accelsim.report.report import SCHEMA_VERSION

MAX_BYTES = 512 * 2**20
MAX_DIGITS = 20
MAX_NUMBER = 1e100
"""Nothing that a report holds is larger, and sums of what is not stay finite."""
ENERGY = "energy_pj"
Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Scalar: TypeAlias = bool | int | float | str | None
Fields: TypeAlias = dict[str, Scalar]
Saved: TypeAlias = dict[str, dict[str, Fields]]
"""A report's sections; in each, fields by the entry's name."""

SINGLE = ("provenance", "totals", "peaks", "macs", "system", "stack")
"""Sections whose entries are single values, in the file's order; shown before all others."""
KEYS = {
    "phases": ("name",), "blocks": ("block",), "groups": ("phase", "name"), "infeasible": ("phase", "op"),
    "weights": ("weight", "store"), "tiers": ("tier",), "ops": ("phase", "name"),
    "rows": ("phase", "op", "block", "operand", "action"),
}  # fmt: skip
"""Sections of several fields an entry, and those that name it."""
OPTIONAL = ("groups", "weights", "tiers")
"""Sections that reports of before fusion, or of machines without a stacked memory, lack."""
FIX = "give a report that 'accelsim simulate --json F.json' wrote"
CSV_COLUMNS = ("section", "name", "only_in", "field", "a", "b", "change", "change_percent")


@dataclass(frozen=True)
class Change:
    """One field of one entry: its value in each report, None where it has none."""

    field: str
    a: Scalar
    b: Scalar

    @property
    def amount(self) -> float | None:
        """b - a where both are numbers."""
        a, b = _number(self.a), _number(self.b)
        return None if a is None or b is None else b - a

    @property
    def percent(self) -> float | None:
        """The amount as a share of a; None where a is 0 or there is no amount."""
        a, amount = _number(self.a), self.amount
        return 100 * amount / abs(a) if a and amount is not None else None


def _number(value: Scalar) -> float | None:
    return None if isinstance(value, bool | str) else value


@dataclass(frozen=True)
class Entry:
    """Something that is not the same in both reports; `only_in` is a, b, or empty for both."""

    section: str
    name: str
    only_in: str
    changes: tuple[Change, ...]

    @property
    def energy_change_pj(self) -> float:
        """How much energy came or went; what one report lacks counts as 0 there."""
        change = next((change for change in self.changes if change.field == ENERGY), None)
        if change is None:
            return 0.0
        return (_number(change.b) or 0.0) - (_number(change.a) or 0.0)


def diff_reports(a: str | Path, b: str | Path) -> list[Entry]:
    """Every entry that differs between two saved reports: provenance, totals, then section by section.

    Within a section of several fields the largest change of energy comes first. An empty list says
    that the reports are equal. Raises UserError for a file that is no report of this version.
    """
    left, right = read_report(Path(a)), read_report(Path(b))
    entries: list[Entry] = []
    for section in dict.fromkeys((*left, *right)):
        mine, other = left.get(section, {}), right.get(section, {})
        found = [_entry(section, name, mine.get(name), other.get(name)) for name in dict.fromkeys((*mine, *other))]
        moved = [entry for entry in found if entry.changes or entry.only_in]
        if section not in SINGLE:
            moved.sort(key=lambda entry: (-abs(entry.energy_change_pj), entry.name))
        entries += moved
    return entries


def diff_csv(entries: list[Entry]) -> str:
    """One line per field that changed, under `CSV_COLUMNS`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for entry in entries:
        for change in entry.changes or (Change("", None, None),):
            writer.writerow((entry.section, entry.name, entry.only_in, change.field, change.a, change.b,
                             change.amount, change.percent))  # fmt: skip
    return text.getvalue()


def _entry(section: str, name: str, a: Fields | None, b: Fields | None) -> Entry:
    left, right = a or {}, b or {}
    changes = (Change(key, left.get(key), right.get(key)) for key in dict.fromkeys((*left, *right)))
    only_in = "b" if a is None else "a" if b is None else ""
    return Entry(section, name, only_in, tuple(change for change in changes if change.a != change.b))


def read_report(path: Path) -> Saved:
    """The sections of a saved report. Raises UserError naming the file and the place in it."""
    document = _document(path)
    lacks = [key for key in ("schema_version", "totals", "provenance", *KEYS)
             if key not in document and key not in OPTIONAL]  # fmt: skip
    if lacks[:1] in (["schema_version"], ["totals"]):
        raise user_error(str(path), "file", f"not a report: it has no {lacks[0]}", FIX)
    if document["schema_version"] != SCHEMA_VERSION:
        found = f"found {json.dumps(document['schema_version'])[:40]}"
        raise user_error(str(path), "schema_version", found, f"this accelsim reads {SCHEMA_VERSION}: simulate again")
    if lacks:
        _refuse(path, lacks[0], "missing")
    saved: Saved = {}
    for section, value in document.items():
        if section in KEYS:
            saved[section] = _listed(path, section, value)
        elif section in SINGLE:
            if not isinstance(value, dict):
                _refuse(path, section, "not an object")
            saved[section] = {name: {"value": _scalar(item)} for name, item in value.items()}
        elif section != "schema_version":
            items = value if isinstance(value, list) else [value]
            saved[section] = {json.dumps(item): {} for item in items}
    _add_block_energy(saved)
    return dict(sorted(saved.items(), key=lambda item: (*SINGLE, *KEYS, item[0]).index(item[0])))


def _document(path: Path) -> dict[str, Json]:
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise user_error(str(path), "file", "not a regular file", FIX)
        if path.stat().st_size > MAX_BYTES:
            raise user_error(str(path), "file", f"more than {MAX_BYTES:,} bytes", FIX)
        document = json.loads(path.read_bytes().decode(), parse_float=_finite, parse_int=_int64,
                              parse_constant=_finite)  # fmt: skip
    except OSError as error:
        raise user_error(str(path), "file", error.strerror or str(error), FIX) from None
    except json.JSONDecodeError as error:
        raise UserError([Fault(str(path), error.lineno, error.colno, "file", f"not JSON: {error.msg}", FIX)]) from None
    except (ValueError, RecursionError) as error:
        found = "nested too deep" if isinstance(error, RecursionError) else f"not JSON in UTF-8: {error}"
        raise user_error(str(path), "file", found, FIX) from None
    if not isinstance(document, dict):
        raise user_error(str(path), "file", "not a report: no object at its top", FIX)
    return document


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no finite number")
    if abs(value) > MAX_NUMBER:
        raise ValueError(f"{text} is too large for a report")
    return value


def _int64(text: str) -> int:
    """Nothing that a report counts is larger; what is could not even be divided."""
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _listed(path: Path, section: str, value: Json) -> dict[str, Fields]:
    """Entries by name. Rows of one name are added up (an op may read two inputs); others get a number."""
    if not isinstance(value, list):
        _refuse(path, section, "not a list")
    found: dict[str, Fields] = {}
    times: dict[str, int] = {}
    for number, item in enumerate(value):
        place = f"{section}[{number}]"
        if not isinstance(item, dict):
            _refuse(path, place, "not an object")
        for key in KEYS[section]:
            if not isinstance(item.get(key), str):
                _refuse(path, f"{place}.{key}", "missing, or no text")
        if _number(_scalar(item.get(ENERGY, 0.0))) is None:
            _refuse(path, f"{place}.{ENERGY}", "no number")
        name = " ".join(str(item[key]) for key in KEYS[section] if item[key])
        fields = _fields({key: part for key, part in item.items() if key not in KEYS[section]})
        times[name] = times.get(name, 0) + 1
        if section == "rows" and name in found:
            fields = _added(found[name], fields)
        elif times[name] > 1:
            name = f"{name} #{times[name]}"
        found[name] = fields | ({"block": str(item["block"])} if section == "rows" else {})
    return found


def _fields(item: Mapping[str, Json]) -> Fields:
    """One level of fields: a list of named objects (an op's resources) becomes `name.field` each."""
    fields: Fields = {}
    for key, value in item.items():
        parts = value if isinstance(value, list) else []
        if parts and all(isinstance(part, dict) and isinstance(part.get("name"), str) for part in parts):
            for part in parts:
                assert isinstance(part, dict)
                fields |= {f"{part['name']}.{name}": _scalar(inner) for name, inner in part.items() if name != "name"}
        else:
            fields[key] = _scalar(value)
    return fields


def _scalar(value: Json) -> Scalar:
    return json.dumps(value, sort_keys=True) if isinstance(value, list | dict) else value


def _added(first: Fields, second: Fields) -> Fields:
    """Numbers added up, anything else as the second has it."""
    total = first | second
    for key in first:
        a, b = _number(first[key]), _number(second.get(key))
        if a is not None and b is not None:
            total[key] = a + b
    return total


def _add_block_energy(saved: Saved) -> None:
    """A saved block has its area and leakage; its energy is the sum of its rows."""
    parts: dict[str, list[float]] = {name: [] for name in saved["blocks"]}
    for fields in saved["rows"].values():
        block = str(fields.pop("block"))
        if block in parts:
            parts[block].append(_number(fields.get(ENERGY)) or 0.0)
    for name, energies in parts.items():
        saved["blocks"][name][ENERGY] = math.fsum(energies)


def _refuse(path: Path, name: str, found: str) -> NoReturn:
    raise user_error(str(path), name, found, FIX)
