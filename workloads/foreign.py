"""Running code that is not ours: what it raises is answered as a mistake in its file."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accelsim.errors import Fault, UserError

OURS = (Path(__file__).resolve().parent, Path(__file__).resolve().parents[1] / "accelsim")
MAX_MESSAGE = 200


@contextmanager
def answered(file: str, name: str, fix: str) -> Iterator[None]:
    """Turns what the block's foreign code raises into one fault of `file`, at its line where there is one.

    An exception of our own code stays as it is, and so does a UserError.
    """
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, Exception) and _is_ours(error, file):
            raise
        line, column = _place(error, file)
        raise UserError([Fault(file, line, column, name, f"raised {_told(error)}", fix)]) from None


def _is_ours(error: Exception, file: str) -> bool:
    """Whether our own code raised it; `__torch_dispatch__` only passes on what torch says of the model."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    path = Path(last.filename).resolve()
    inside = any(path.is_relative_to(folder) for folder in OURS) and path != Path(file).resolve()
    return inside and last.name != "__torch_dispatch__"


def _place(error: BaseException, file: str) -> tuple[int, int]:
    """Line and column of the file's innermost frame, or of its syntax error; (0, 0) when it has none."""
    path = Path(file).resolve()
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).resolve() == path:
        return error.lineno or 0, error.offset or 1
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename).resolve() == path:
            return frame.lineno or 0, (frame.colno or 0) + 1
    return 0, 0


def _told(error: BaseException) -> str:
    """Type and message in one printable line."""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    line = " ".join(text.split())
    line = line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 3] + "..."
    line = line if line.isprintable() else ascii(line)[1:-1]
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
