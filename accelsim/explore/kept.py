"""Variants kept in a folder as soon as they are scored, so that an interrupted co-design goes on from there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from accelsim.errors import user_error
from accelsim.report.files import write_whole
from accelsim.workload import Trace, read_trace, write_trace


class Kept:
    """One folder of traces and scores, each named by what it was made of (not by the code that made it)."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError where there is no such folder."""
        if not folder.is_dir():
            raise user_error(str(folder), "keep", "no such folder", f"create it first: mkdir -p {folder}")
        self._folder = folder

    def find(self, made_of: str) -> tuple[Trace, dict[str, float]] | None:
        """The trace and the scores, if they are there. UserError for a file that is damaged."""
        trace, scores = self._paths(made_of)
        if not scores.is_file():
            return None
        try:
            read: dict[str, float] = json.loads(scores.read_text())
        except ValueError as error:
            raise user_error(str(scores), "keep", f"not readable: {error}", "delete this file") from None
        return read_trace(trace), read

    def put(self, made_of: str, trace: Trace, scores: Mapping[str, float]) -> None:
        """Keep them; the scores last, because they say that both are there."""
        trace_path, scores_path = self._paths(made_of)
        write_trace(trace, trace_path)
        write_whole(scores_path, json.dumps(dict(scores)).encode())

    def _paths(self, made_of: str) -> tuple[Path, Path]:
        name = hashlib.sha256(made_of.encode()).hexdigest()[:16]
        return self._folder / f"{name}.trace.json.gz", self._folder / f"{name}.scores.json"
