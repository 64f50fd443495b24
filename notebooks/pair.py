"""Write every .ipynb here from its .py, with the same bytes every time: run it after editing a .py."""

from __future__ import annotations

from pathlib import Path

import jupytext
import nbformat


def paired(source: Path) -> str:
    """The .ipynb of a percent-format .py: without outputs, cells numbered instead of named at random."""
    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells, start=1):
        cell["id"] = f"cell-{number:02}"
    return nbformat.writes(notebook) + "\n"


if __name__ == "__main__":
    for notebook in Path(__file__).parent.glob("*.ipynb"):
        notebook.write_text(paired(notebook.with_suffix(".py")))
