"""Trace files: gzip JSON, read with bounds and written whole."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import stat
import zlib
from pathlib import Path

from accelsim.errors import Fault, UserError, user_error
from accelsim.workload.trace import Trace
from accelsim.workload.trace_check import check_trace
from accelsim.workload.trace_json import from_json, to_json

MAX_BYTES = 64 * 2**20  # decompressed
GZIP_MAGIC = b"\x1f\x8b"
SUFFIXES = (".json", ".json.gz")


def read_trace(path: str | Path) -> Trace:
    """The trace in a `.json` or `.json.gz` file of at most 64 MiB (decompressed).

    Raises UserError with every fault of the file, each named by its JSON path.
    """
    path = Path(path)
    _check_suffix(path)
    try:
        data = read_bounded(path, MAX_BYTES)
    except OSError as error:
        raise user_error(str(path), "file", error.strerror or str(error), "name a readable trace file") from None
    return parse_trace(data, str(path))


def read_bounded(path: Path, limit: int) -> bytes:
    """The file's first `limit` + 1 bytes. Raises OSError, also for what is no regular file (and may never end)."""
    try:
        mode = path.stat().st_mode
    except ValueError as error:  # a name with a null byte
        raise OSError(errno.EINVAL, str(error)) from None
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "Is a directory" if stat.S_ISDIR(mode) else "Not a regular file")
    with path.open("rb") as stream:
        return stream.read(limit + 1)


def parse_trace(data: bytes, file: str) -> Trace:
    """The trace in the bytes of a file; `file` (by whose ending they are read) is named in faults."""
    if file.endswith(".gz"):
        data = unzip(data, file)
    if len(data) > MAX_BYTES:
        raise user_error(file, "file", f"more than {MAX_BYTES} bytes", "split the trace; 64 MiB is the most")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        fix = "name it .json.gz: it is zipped" if data.startswith(GZIP_MAGIC) else "save it as UTF-8 JSON"
        raise user_error(file, "file", f"not UTF-8 at byte {error.start}", fix) from None
    return from_json(text, file)


def trace_bytes(trace: Trace) -> bytes:
    """The `.json.gz` bytes of a trace: equal traces give equal bytes (no time, no file name)."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, compresslevel=9, mtime=0) as stream:
        stream.write(to_json(trace).encode("ascii"))
    return buffer.getvalue()


def write_trace(trace: Trace, path: str | Path) -> None:
    """Writes a `.json.gz` (or, unzipped, `.json`) file, whole or not at all.

    Raises UserError when the trace contradicts itself or the file cannot be written.
    """
    path = Path(path)
    _check_suffix(path)
    findings = check_trace(trace)
    if findings:
        raise UserError(Fault(str(path), 0, 0, *finding) for finding in findings)
    data = trace_bytes(trace) if path.suffix == ".gz" else to_json(trace).encode("ascii")
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        raise user_error(str(path), "file", error.strerror or str(error), "name a writable folder") from None
    finally:
        partial.unlink(missing_ok=True)


def trace_hash(trace: Trace) -> str:
    """SHA-256 (hex) of the canonical JSON."""
    return hashlib.sha256(to_json(trace).encode("ascii")).hexdigest()


def _check_suffix(path: Path) -> None:
    if not path.name.endswith(SUFFIXES):
        raise user_error(str(path), "file", f"the name ends in {path.suffix!r}", "use .json or .json.gz")


def unzip(data: bytes, file: str) -> bytes:
    """What a gzip file holds, up to one byte more than MAX_BYTES. Raises UserError."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            return stream.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise user_error(file, "file", f"not a whole gzip file ({error})", "zip it again, or name it .json") from None
