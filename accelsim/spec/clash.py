"""What a check of a whole spec is, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from accelsim.spec.models import ArchSpec
from accelsim.spec.words import DataPath


class Clash(NamedTuple):
    """A value that another one rules out."""

    path: DataPath
    found: str
    fix: str


class Rule(NamedTuple):
    """A check, and the sections of the spec that it reads."""

    needs: tuple[str, ...]
    check: Callable[[ArchSpec], Iterable[Clash]]
