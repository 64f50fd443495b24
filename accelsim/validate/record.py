"""`python -m accelsim.validate.record NAME ...`: run peers and write their recordings into the package again."""

from __future__ import annotations

import sys

from accelsim.validate.datasets import Peer, chosen
from accelsim.validate.recording import data_path


def write_recordings(names: list[str]) -> None:
    """Ask the peers of these datasets and keep their answers. Raises UserError if one is not installed."""
    for dataset in chosen(names, live=True):
        if isinstance(dataset.source, Peer):
            answers = dataset.source.ask(lambda done, total: None)
            data_path(f"{dataset.name}.json").write_text(answers.to_json())


if __name__ == "__main__":
    write_recordings(sys.argv[1:])
