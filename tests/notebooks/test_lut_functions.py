"""The notebook runs, shows its figures and says what its numbers say; the pair is fresh."""

from __future__ import annotations

import os
from pathlib import Path

import jupytext
import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from notebooks.pair import paired

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
SOURCE, NOTEBOOK = FOLDER / "lut_functions.py", FOLDER / "lut_functions.ipynb"
FRAMES = ("means", "scales", "relative", "units", "parts")
FIGURES = 5


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[nbformat.NotebookNode, dict[str, pd.DataFrame]]:
    """The notebook after running in an empty folder, and the tables it made."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    save = "\n".join(f"{name}.to_pickle('{name}.pickle')" for name in FRAMES)
    notebook.cells.append(nbformat.v4.new_code_cell(f"import sys\nassert 'torch' not in sys.modules\n{save}"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MPLBACKEND", raising=False)
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("PYTHONPATH", os.pathsep.join((str(FOLDER.parent), os.environ.get("PYTHONPATH", ""))))
        NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    return notebook, {name: pd.read_pickle(folder / f"{name}.pickle") for name in FRAMES}


def test_pair_is_in_sync_and_without_outputs() -> None:
    assert NOTEBOOK.read_text() == paired(SOURCE), "run: python notebooks/pair.py"
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert jupytext.writes(notebook, fmt="py:percent") == SOURCE.read_text()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


def test_every_figure_is_shown_and_nothing_is_warned_of(
    executed: tuple[nbformat.NotebookNode, dict[str, pd.DataFrame]],
) -> None:
    shown = 0
    for cell in executed[0].cells:
        outputs = cell.get("outputs", [])
        images = [output for output in outputs if "image/png" in output.get("data", {})]
        assert len(images) == cell.source.count("plt.show()")
        assert all(output.output_type == "display_data" for output in outputs), cell.source
        shown += len(images)
    assert shown == FIGURES


def test_text_on_errors(executed: tuple[nbformat.NotebookNode, dict[str, pd.DataFrame]]) -> None:
    means = executed[1]["means"]
    assert len(means) == 10
    assert (means["shared"] < means["authors"]).all()
    assert (means["shared"] < means["genetic"]).all()
    assert (means["per_scale"] <= means["shared"]).all()
    assert (executed[1]["scales"]["shared"] < executed[1]["scales"]["authors"]).all()


def test_text_on_exp(executed: tuple[nbformat.NotebookNode, dict[str, pd.DataFrame]]) -> None:
    worst = executed[1]["relative"].abs().max()
    assert worst["exp table"] > 50
    assert worst["2^x and shift"] < 0.5


def test_text_on_the_unit(executed: tuple[nbformat.NotebookNode, dict[str, pd.DataFrame]]) -> None:
    units, parts = executed[1]["units"], executed[1]["parts"]
    assert parts.loc["INT8, 8", "table"] == pytest.approx(0.52 * units.loc["INT8, 8", "area_um2"], rel=0.02)
    assert units.loc["FP32, 8", "area_deviation"] == pytest.approx(0.5, abs=0.01)
