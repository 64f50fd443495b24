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
SOURCE, NOTEBOOK = FOLDER / "speculative_decoding.py", FOLDER / "speculative_decoding.ipynb"
FRAMES = ("serial", "policies", "gains", "ratios")
FIGURES = 4


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


def test_every_figure_is_shown_and_nothing_is_warned_of(
    executed: tuple[nbformat.NotebookNode, dict[str, pd.DataFrame]],
) -> None:
    outputs = [output for cell in executed[0].cells for output in cell.get("outputs", [])]
    assert all(output.output_type == "display_data" for output in outputs)
    assert sum("image/png" in output.get("data", {}) for output in outputs) == FIGURES


def test_text_on_draft_length(executed: tuple[nbformat.NotebookNode, dict[str, pd.DataFrame]]) -> None:
    best = executed[1]["serial"].idxmax()
    assert best.is_monotonic_increasing
    assert best.iloc[0] < best.iloc[-1]


def test_text_on_parallel_drafting(executed: tuple[nbformat.NotebookNode, dict[str, pd.DataFrame]]) -> None:
    policies, gains, ratios = (executed[1][name] for name in ("policies", "gains", "ratios"))
    assert (policies["vanilla"] > policies[["pearl", "apsd"]].max(axis=1)).all()
    assert gains["1.1 B, DRAM"].idxmax() == "vanilla"
    assert gains["1.1 B, stacked"].idxmin() == "vanilla"
    assert ratios.round(1).tolist() == [0.1, 0.5, 0.3]
