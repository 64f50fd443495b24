"""A figure as a file: one way to write every picture, with equal bytes for equal figures."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.errors import user_error
from accelsim.report.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# No date and no program version, so that equal figures give equal bytes.
METADATA: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}
HASH_SALT = {"svg.hashsalt": "accelsim"}


def save_picture(
    draw: Callable[[], Figure], path: str | Path, style: Mapping[str, object] = HASH_SALT, dpi: int = 150
) -> None:
    """Draw under a style (matplotlib's rc parameters) into a `.png`, `.svg` or `.pdf`, whole or not at all.

    UserError for another suffix or an unwritable place.
    """
    path = Path(path)
    if path.suffix not in METADATA:
        found = f"cannot write {path.suffix or 'a file without suffix'}"
        raise user_error(str(path), "output", found, f"use {' or '.join(METADATA)}")
    import matplotlib

    data = io.BytesIO()
    with matplotlib.rc_context({**HASH_SALT, **style}):  # type: ignore[dict-item]
        draw().savefig(data, format=path.suffix[1:], dpi=dpi, metadata=METADATA[path.suffix])
    write_whole(path, data.getvalue())
