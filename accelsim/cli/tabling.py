"""The plain tables that commands print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def table(title: str, left: Sequence[str], right: Sequence[str], gap: int = 2) -> Table:
    """An empty table without lines: columns aligned left, then columns aligned right."""
    from rich.table import Table

    made = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, gap, 0, 0)
    )
    for names, side in ((left, "left"), (right, "right")):
        for name in names:
            made.add_column(name, justify="left" if side == "left" else "right", no_wrap=True)
    return made
