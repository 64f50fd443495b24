"""`python -m algos.trained.make_data`: write the data files of this folder anew from the running Python's library.

Which file goes where depends on its path alone (its sha256 is the rank), so another Python gives the
same choice among the files it shares with this one.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import io
import re
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from algos.trained import sentence_pairs, stdlib_text
from algos.trained.checkpoint import FOLDER, write_whole

# Tables and generated text, tests, and what differs from one machine to the next.
LEFT_OUT = {"site-packages", "test", "tests", "idle_test", "encodings", "pydoc_data"}
LEFT_OUT_PREFIXES = ("config-", "_sysconfigdata")
HELD_OUT_BYTES = (("score", 160_000), ("calibrate", 48_000))
HELD_OUT_SIZES = range(3_000, 40_001)

SENTENCE = re.compile(r"[A-Z][A-Za-z0-9 ,.'\"()\-_:;]{28,198}[.!?]")
PAIRS_PER_LEVEL = {"score": 300, "calibrate": 20}
PAIR_SEED = 0


def main() -> None:
    """Write the recipe, the held-out text, its licence and the sentence pairs."""
    library = Path(sysconfig.get_path("stdlib"))
    sources = _sources(library)
    splits = _splits(sources)
    rows = [
        (path, len(data), hashlib.sha256(data).hexdigest(), splits.get(path, "train")) for path, data in sources.items()
    ]
    _write_csv(stdlib_text.RECIPE, ("path", "size_bytes", "sha256", "split"), rows)
    write_whole(stdlib_text.HELD_OUT, b"".join(data for path, data in sources.items() if path in splits))
    write_whole(FOLDER / "stdlib_licence.txt", (library / "LICENSE.txt").read_bytes())
    _write_csv(sentence_pairs.PAIRS, ("split", "level", "first", "second"), _pairs(sources))


def _sources(library: Path) -> dict[str, bytes]:
    found = {}
    for path in library.rglob("*.py"):
        below = path.relative_to(library)
        if not LEFT_OUT & set(below.parts) and not below.parts[0].startswith(LEFT_OUT_PREFIXES):
            found[below.as_posix()] = path.read_bytes()
    return {name: found[name] for name in sorted(found) if found[name]}


def _splits(sources: dict[str, bytes]) -> dict[str, str]:
    ranked = iter(sorted((hashlib.sha256(path.encode()).hexdigest(), path) for path in sources))
    chosen: dict[str, str] = {}
    for split, wanted in HELD_OUT_BYTES:
        got = 0
        while got < wanted:
            _, path = next(ranked)
            if len(sources[path]) in HELD_OUT_SIZES:
                chosen[path] = split
                got += len(sources[path])
    return chosen


def _pairs(sources: dict[str, bytes]) -> list[tuple[str, int, str, str]]:
    """For each level the same number of pairs; a docstring gives the first sentence of at most one."""
    texts = _docstrings(sources)
    rng = np.random.default_rng(PAIR_SEED)
    order = iter(rng.permutation(len(texts)))
    rows = []
    for split, count in PAIRS_PER_LEVEL.items():
        for level in sentence_pairs.LEVELS:
            made = 0
            while made < count:
                path, sentences = texts[next(order)]
                others = [other for other in texts if (other[0] == path) == (level == 1) and other[1] != sentences]
                if level < 2 and not others:
                    continue
                second = sentences[1] if level == 2 else others[rng.integers(len(others))][1][1]
                rows.append((split, level, sentences[0], second))
                made += 1
    return rows


def _docstrings(sources: dict[str, bytes]) -> list[tuple[str, Sequence[str]]]:
    """(file, its first two sentences) of every docstring that has two, each first sentence once."""
    found: dict[str, tuple[str, Sequence[str]]] = {}
    for path, data in sources.items():
        for node in ast.walk(ast.parse(data)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                sentences = _sentences(ast.get_docstring(node) or "")
                if len(sentences) >= 2:
                    found.setdefault(sentences[0], (path, sentences[:2]))
    return list(found.values())


def _sentences(text: str) -> list[str]:
    paragraphs = (" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text))
    parts = (part for paragraph in paragraphs for part in re.split(r"(?<=[.!?])\s+(?=[A-Z])", paragraph))
    return [part for part in parts if SENTENCE.fullmatch(part)]


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    write_whole(path, text.getvalue().encode())


if __name__ == "__main__":
    main()
