"""A report as JSON or CSV, written whole or not at all, with equal bytes for equal reports."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import stat
import tempfile
from pathlib import Path

from accelsim.errors import UserError, user_error
from accelsim.report.report import SCHEMA_VERSION, GroupRow, OpRow, PhaseRow, Report, Row

COLUMNS = (
    "phase", "op", "block", "level", "part", "operand", "action", "count", "bits", "bits_useful", "bits_moved",
    "energy_pj", "assumed",
)  # fmt: skip


def save(report: Report, path: Path) -> None:
    """Write `.json` or `.csv`. Raises UserError for another suffix or an unwritable place."""
    if path.suffix == ".json":
        text = to_json(report)
    elif path.suffix == ".csv":
        text = to_csv(report)
    else:
        raise user_error(
            str(path), "output", f"cannot write {path.suffix or 'a file without suffix'}", "use .json or .csv"
        )
    write_whole(path, text.encode())


def to_json(report: Report) -> str:
    """The whole report; holds no path, time, host or command line."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "provenance": dict(report.provenance),
        "peaks": {"macs_per_cycle": report.peak_macs_per_cycle,
                  "dram_bytes_per_cycle": report.peak_dram_bytes_per_cycle},
        "totals": dataclasses.asdict(report.totals),
        "macs": {"trace": report.trace_macs, "oracle": report.oracle_macs, "check": report.mac_check,
                 "method": report.oracle_method},
        "phases": [_phase(phase) for phase in report.phases],
        "blocks": [dataclasses.asdict(block) for block in report.blocks],
        "groups": [_group(row) for row in report.groups],
        "infeasible": [dataclasses.asdict(row) for row in report.infeasible],
        "unknown_ops": [list(item) for item in report.unknown_ops],
        "ops": [_op(op) for op in report.ops],
        "rows": [_row(row) for row in report.rows],
    }  # fmt: skip
    if report.chips > 1:
        document["system"] = {"chips": report.chips}
    if report.stack is not None:
        document["weights"] = [dataclasses.asdict(row) for row in report.weights]
        document["stack"] = {**dataclasses.asdict(report.stack), "footprint_mm2": report.footprint_mm2}
        document["tiers"] = [dataclasses.asdict(row) for row in report.tiers]
    parts = [f"{json.dumps(key)}: {_value(value)}" for key, value in document.items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def to_csv(report: Report) -> str:
    """The rows, one line each, under `COLUMNS`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_row(row) for row in report.rows)
    return text.getvalue()


def probe(path: Path) -> None:
    """Raises UserError if `write_whole` could not write there now; leaves nothing behind."""
    handle, temporary = _temporary(path)
    os.close(handle)
    os.unlink(temporary)


def write_whole(path: Path, data: bytes) -> None:
    """Write through a temporary file beside the target; an old file survives any failure.

    A link stays one, to the new file. UserError for a place that is no file, as a pipe.
    """
    handle, temporary = _temporary(path)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode) if path.exists() else 0o644)
        os.replace(temporary, os.path.realpath(path))
    except BaseException as error:
        os.unlink(temporary)
        if isinstance(error, OSError):
            raise _unwritable(path, error) from None
        raise


def _temporary(path: Path) -> tuple[int, str]:
    if path.exists() and not path.is_file():
        raise user_error(str(path), "output", "this is no file", "name a file")
    try:
        target = Path(os.path.realpath(path))
        return tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> UserError:
    return user_error(str(path), "output", error.strerror or str(error), "name a writable place")


def _value(value: object) -> str:
    """JSON with one list entry a line, so that two reports diff well."""
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(json.dumps(item, allow_nan=False) for item in value) + "\n]"
    return json.dumps(value, allow_nan=False)


def _row(row: Row) -> dict[str, object]:
    fields = {**vars(row), "bits": row.bits_moved}
    return {column: fields[column] for column in COLUMNS}


def _op(op: OpRow) -> dict[str, object]:
    fields = dataclasses.asdict(op)
    fields.pop("lower_bounds")
    resources = fields.pop("resources")
    stalls = dict(fields.pop("stalls"))
    return {**fields, "stall_cycles": op.stall_cycles, "stalls": stalls, "resources": list(resources)}


def _group(row: GroupRow) -> dict[str, object]:
    fields = dataclasses.asdict(row)
    fields.pop("lower_bounds")
    return fields


def _phase(phase: PhaseRow) -> dict[str, object]:
    return {**dataclasses.asdict(phase), "tokens_per_s": phase.tokens_per_s}
