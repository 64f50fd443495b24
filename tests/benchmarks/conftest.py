"""`--results FILE` writes all that was measured; a run without it only prints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks.results import Results


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--results", type=Path, help="write the tables of what was measured to this file")


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest) -> Iterator[Results]:
    measured = Results()
    yield measured
    path = request.config.getoption("--results")
    if path is not None:
        path.write_text(measured.markdown())
