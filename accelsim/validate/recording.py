"""What a peer answered once: its rows, with the version and the command that gave them.

Recordings ship as package data (`data/*.json`), so a comparison needs no peer installed.
`python -m accelsim.validate.record NAME` runs the peer and writes the file again.
"""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from accelsim.errors import user_error

Value = str | int | float
Record = dict[str, Value]


@dataclass(frozen=True)
class Recording:
    """Rows of a peer's answers, in the order they were asked for."""

    peer: str
    version: str
    command: str
    rows: tuple[Record, ...]

    def to_json(self) -> str:
        """One row a line, so that a new recording shows what changed."""
        head = json.dumps({"peer": self.peer, "version": self.version, "command": self.command})
        rows = ",\n".join(json.dumps(row) for row in self.rows)
        return f'{head[:-1]}, "rows": [\n{rows}\n]}}\n'


def data_path(name: str) -> Path:
    """A file that ships with this package."""
    return Path(str(resources.files("accelsim.validate") / "data" / name))


def recorded(name: str) -> Recording:
    """The recording that ships as `name`.json."""
    found = json.loads(data_path(f"{name}.json").read_text())
    return Recording(found["peer"], found["version"], found["command"], tuple(found["rows"]))


def require_peer(distribution: str, version: str) -> None:
    """Raises UserError unless exactly this version of the peer is installed: others may answer otherwise."""
    try:
        installed: str | Literal[""] = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        installed = ""
    if installed != version:
        found = f"{distribution} {installed} is installed" if installed else f"{distribution} is not installed"
        fix = f'pip install "accelsim-codesign[oracles]" (it takes {distribution} {version}), or leave out --live'
        raise user_error("command line", "--live", found, fix)
