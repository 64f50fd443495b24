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
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import user_error
from algos.trained.checkpoint import FOLDER

RECIPE = FOLDER / "stdlib_files.csv"
HELD_OUT = FOLDER / "stdlib_held_out.txt"
PYTHON = "CPython 3.11.7"
SHOWN = 5

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

    Raises UserError if any is missing or differs from the recipe.
    """
    library = Path(sysconfig.get_path("stdlib"))
    files = [file for file in recipe() if file.split == "train"]
    parts = [(library / file.path).read_bytes() if (library / file.path).is_file() else b"" for file in files]
    return _checked(library, files, parts)


def held_out_text(split: Literal["calibrate", "score"]) -> Bytes:
    """The shipped files of one split, one after the other; UserError if they differ from the recipe."""
    data, files, parts, start = HELD_OUT.read_bytes(), [], [], 0
    for file in recipe():
        if file.split == split:
            files.append(file)
            parts.append(data[start : start + file.size_bytes])
        if file.split != "train":
            start += file.size_bytes
    return _checked(HELD_OUT, files, parts)


def windows(text: Bytes, length: int) -> NDArray[np.int64]:
    """Rows of length + 1 bytes that overlap in one: a model reads the first `length`, predicts the last.

    Every byte but the first is predicted exactly once, a ragged end excepted, which is dropped.
    """
    count = (len(text) - 1) // length
    return np.stack([text[row * length : (row + 1) * length + 1] for row in range(count)]).astype(np.int64)


def _checked(where: Path, files: Sequence[SourceFile], parts: Sequence[bytes]) -> Bytes:
    wrong = [
        file.path for file, part in zip(files, parts, strict=True) if hashlib.sha256(part).hexdigest() != file.sha256
    ]
    if wrong:
        found = f"{len(wrong)} of {len(files)} files are missing or differ from the recipe: {', '.join(wrong[:SHOWN])}"
        more = ", ..." if len(wrong) > SHOWN else ""
        raise user_error(str(where), "standard library", found + more, f"use the {PYTHON} that {RECIPE.name} lists")
    return np.frombuffer(b"".join(parts), dtype=np.uint8)


def _split(word: str) -> Split:
    splits: tuple[Split, ...] = get_args(Split)
    for split in splits:
        if word == split:
            return split
    raise ValueError(f"{RECIPE}: no split {word!r}")
