"""The text the language models read: the source of Python's own standard library, as a checked recipe.

`data/stdlib_files.csv` lists every file with its size, sha256 and split. Training files are read
from the running Python and must be the listed ones byte for byte (CPython 3.11.7). The files of the
other two splits ship in `data/stdlib_held_out.txt`, one after the other in the recipe's order, under
the licence in `data/stdlib_licence.txt`; no model is trained on them.
"""

from __future__ import annotations

import csv
import hashlib
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import Fault, UserError
from algos.trained.checkpoint import FOLDER

RECIPE = FOLDER / "stdlib_files.csv"
HELD_OUT = FOLDER / "stdlib_held_out.txt"

Split = Literal["train", "calibrate", "score"]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class SourceFile:
    """One file of the recipe: its path below the standard library, its size and what its bytes hash to."""

    path: str
    size_bytes: int
    sha256: str
    split: Split


@cache
def recipe() -> tuple[SourceFile, ...]:
    """Every listed file, sorted by path."""
    with RECIPE.open(newline="") as file:
        return tuple(
            SourceFile(row["path"], int(row["size_bytes"]), row["sha256"], _split(row["split"]))
            for row in csv.DictReader(file)
        )


def training_text() -> Bytes:
    """All training files of the running Python, one after the other.

    Raises UserError naming every file that is missing or differs from the recipe.
    """
    library = Path(sysconfig.get_path("stdlib"))
    return _joined([(file, library / file.path) for file in recipe() if file.split == "train"])


def held_out_text(split: Literal["calibrate", "score"]) -> Bytes:
    """The shipped files of one split, one after the other; UserError if they differ from the recipe."""
    data, parts, faults, start = HELD_OUT.read_bytes(), [], [], 0
    for file in recipe():
        if file.split == "train":
            continue
        part = data[start : start + file.size_bytes]
        start += file.size_bytes
        if hashlib.sha256(part).hexdigest() != file.sha256:
            faults.append(_mismatch(file, HELD_OUT))
        if file.split == split:
            parts.append(part)
    if faults:
        raise UserError(faults)
    return np.frombuffer(b"".join(parts), dtype=np.uint8)


def windows(text: Bytes, length: int) -> NDArray[np.int64]:
    """Rows of length + 1 bytes that overlap in one: a model reads the first `length`, predicts the last.

    Every byte but the first is predicted exactly once, a ragged end excepted, which is dropped.
    """
    count = (len(text) - 1) // length
    return np.stack([text[row * length : (row + 1) * length + 1] for row in range(count)]).astype(np.int64)


def _joined(files: list[tuple[SourceFile, Path]]) -> Bytes:
    parts, faults = [], []
    for file, path in files:
        part = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(part).hexdigest() != file.sha256:
            faults.append(_mismatch(file, path))
        parts.append(part)
    if faults:
        raise UserError(faults)
    return np.frombuffer(b"".join(parts), dtype=np.uint8)


def _mismatch(file: SourceFile, path: Path) -> Fault:
    return Fault(
        str(path), 0, 0, file.path, f"missing, or not the bytes with sha256 {file.sha256}", "use CPython 3.11.7"
    )


def _split(word: str) -> Split:
    if word == "train" or word == "calibrate" or word == "score":
        return word
    raise ValueError(f"{RECIPE}: no split {word!r}")
