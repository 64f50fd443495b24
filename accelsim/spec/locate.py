"""Which file a spec's name or path means."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from accelsim.errors import Fault, UserError, did_you_mean

PACKAGE = "arch_specs"
MEASURED = "validation"
SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Source:
    """A spec file and what messages call it."""

    label: str
    path: Path


def shipped_names() -> list[str]:
    """Names of the specs that come with the package, sorted."""
    return sorted(path.stem for path in _shipped_folder().glob("*.yaml"))


def measured_names() -> list[str]:
    """Names of the shipped specs of measured machines, sorted: `validation/NAME`."""
    return sorted(f"{MEASURED}/{path.stem}" for path in (_shipped_folder() / MEASURED).glob("*.yaml"))


def find(text: str, base: Source | None = None) -> Source:
    """The file that `text` means: a shipped name, else a path if it has a separator or ends in .yaml or .yml.

    A relative path starts at the folder of `base`, or at the working directory. Raises UserError when
    there is no such file, with the nearest existing name.
    """
    if text in (*shipped_names(), *measured_names()):
        return Source(f"{PACKAGE}/{text}.yaml", _shipped_folder() / f"{text}.yaml")
    if not _is_path(text):
        raise UserError([Fault(text or "''", 0, 0, "spec", "no shipped spec has this name", _name_fix(text))])
    folder = Path() if base is None else base.path.parent
    label = text if base is None else os.path.normpath(os.path.join(os.path.dirname(base.label), text))
    path = folder / text
    if not os.path.exists(path):
        raise UserError([Fault(label, 0, 0, "spec", "no such file", _path_fix(path))])
    return Source(label, path)


def _shipped_folder() -> Path:
    return Path(str(files(PACKAGE)))


def _is_path(text: str) -> bool:
    return "/" in text or os.sep in text or text.endswith(SUFFIXES)


def _name_fix(text: str) -> str:
    advice = did_you_mean(text, shipped_names())
    near = [name for name in (text, *(text + suffix for suffix in SUFFIXES)) if os.path.exists(name)]
    return f"{advice}; to read the file write ./{near[0]}" if near else advice


def _path_fix(path: Path) -> str:
    """The nearest name in the file's folder, or the part of the path that exists."""
    if path.parts[:-1] == (MEASURED,) and measured_names():
        return did_you_mean(str(path), measured_names())
    if path.stem in shipped_names():
        return f"write {path.stem} for the shipped spec, or give the path of your file"
    folder = next((parent for parent in path.parents if os.path.exists(parent)), Path())
    if folder != path.parent:
        return f"the folder does not exist; the path is right up to {folder}"
    try:
        names = [name for name in os.listdir(folder) if name.endswith(SUFFIXES)]
    except OSError:
        names = []
    if not names:
        return f"no .yaml file in {folder}; shipped specs: {', '.join(shipped_names())}"
    return did_you_mean(path.name, names[:200])
