"""The one error a user can cause, and the block of text that answers it.

Everything a user got wrong (a spec, a trace, an override, a command) is a `Fault`; all faults found
together travel in one `UserError`. The command line prints `str(error)` and exits with 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Fault:
    """One mistake: where it is, what was found, what is allowed, and how to mend it."""

    file: str
    line: int
    column: int
    name: str
    found: str
    fix: str

    def __str__(self) -> str:
        where = self.file
        if self.line:
            where += f":{self.line}:{self.column}"
        return f"{where}: {self.name}: {self.found}\n    fix: {self.fix}"


class UserError(Exception):
    """One or more faults of one input; `str()` is the whole answer."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(set(faults)))
        super().__init__("\n".join(str(fault) for fault in self.faults))

    def __reduce__(self) -> tuple[type[UserError], tuple[tuple[Fault, ...]]]:
        return type(self), (self.faults,)


def user_error(where: str, name: str, found: str, fix: str) -> UserError:
    """A `UserError` with a single fault that has no position in a file."""
    return UserError([Fault(where, 0, 0, name, found, fix)])


def text_of(error: UserError) -> str:
    """The whole answer in one line, for a table's cell."""
    return "; ".join(f"{fault.name}: {fault.found} (fix: {fault.fix})" for fault in error.faults)


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Advice naming the nearest allowed spelling, then every allowed one."""
    choices = sorted(allowed)
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return f"{guess}allowed: {', '.join(choices)}"
