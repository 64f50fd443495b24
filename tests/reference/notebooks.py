"""Running a notebook and checking what every one of them has to keep."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import jupytext
import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from notebooks.pair import paired

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
Executed = tuple[nbformat.NotebookNode, dict[str, pd.DataFrame]]


def execute(name: str, frames: Sequence[str], folder: Path, *, torch: bool = True) -> Executed:
    """The notebook after running in an empty folder, and the named tables it made; not `torch`: it must not load it."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    save = "\n".join(f"{frame}.to_pickle('{frame}.pickle')" for frame in frames)
    light = "" if torch else "import sys\nassert 'torch' not in sys.modules\n"
    notebook.cells.append(nbformat.v4.new_code_cell(light + save))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MPLBACKEND", raising=False)
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("PYTHONPATH", os.pathsep.join((str(FOLDER.parent), os.environ.get("PYTHONPATH", ""))))
        NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    return notebook, {frame: pd.read_pickle(folder / f"{frame}.pickle") for frame in frames}


def check_pair(name: str) -> None:
    """The notebook is its script, and holds no outputs."""
    source, path = FOLDER / f"{name}.py", FOLDER / f"{name}.ipynb"
    assert path.read_text() == paired(source), "run: python notebooks/pair.py"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert jupytext.writes(notebook, fmt="py:percent") == source.read_text()
    for cell in notebook.cells:
        assert not cell.metadata
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


def check_figures(notebook: nbformat.NotebookNode, figures: int) -> None:
    """Every `plt.show()` shows one picture, so many in all, and nothing is printed or warned of."""
    shown = 0
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        images = [output for output in outputs if "image/png" in output.get("data", {})]
        assert len(images) == cell.source.count("plt.show()")
        assert all(output.output_type == "display_data" for output in outputs), cell.source
        shown += len(images)
    assert shown == figures
