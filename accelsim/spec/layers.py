"""Data with the place each part came from, and how one layer of it is laid over another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from accelsim.spec.words import Data, DataPath
from accelsim.spec.yaml_source import YamlDocument

OVERRIDE = "override"
"""Stands for the file of a value that an override set."""


class Place(NamedTuple):
    """Where a value is written; line 0 is an override."""

    file: str
    line: int
    column: int


@dataclass
class Layer:
    """A mapping with the places of its values and of its keys.

    `broken` paths are already named by a fault. `incomplete` says that a part could not be read, so a
    missing key proves nothing.
    """

    data: dict[str, Data] = field(default_factory=dict)
    values: dict[DataPath, Place] = field(default_factory=dict)
    keys: dict[DataPath, Place] = field(default_factory=dict)
    broken: set[DataPath] = field(default_factory=set)
    incomplete: bool = False

    def place(self, path: DataPath) -> Place:
        """Place of the value at `path`, or of the nearest mapping around it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.values:
                return self.values[path[:length]]
        return Place(OVERRIDE, 0, 0)

    def get(self, path: DataPath) -> Data:
        """The value at `path`, None where there is none."""
        value: Data = self.data
        for part in path:
            if isinstance(value, dict):
                value = value.get(str(part))
            elif isinstance(value, list) and isinstance(part, int):
                value = value[part]
            else:
                return None
        return value


def layer_of(document: YamlDocument, data: dict[str, Data]) -> Layer:
    """A file's layer; `data` is the document's root mapping."""
    return Layer(
        data=data,
        values={path: Place(document.file, *position) for path, position in document.positions.items()},
        keys={path: Place(document.file, *position) for path, position in document.key_positions.items()},
        broken=set(document.broken),
    )


def merge(base: Layer, top: Layer) -> Layer:
    """`top` laid over `base`: mappings merge key by key, everything else replaces.

    An `array` of another `kind` replaces the whole mapping: its keys mean something else. A merged
    mapping stands where the top file opens it; overrides open none.
    """
    replaced: set[DataPath] = set()
    data = _merge(base.data, top.data, (), replaced)

    def stays(path: DataPath) -> bool:
        return not any(path[:length] in replaced for length in range(1, len(path) + 1))

    def laid_over(below: dict[DataPath, Place], above: dict[DataPath, Place]) -> dict[DataPath, Place]:
        kept = {path: place for path, place in below.items() if stays(path)}
        return kept | {path: place for path, place in above.items() if place.line or path not in kept}

    return Layer(
        data=data,
        values=laid_over(base.values, top.values),
        keys=laid_over(base.keys, top.keys),
        broken={path for path in base.broken if stays(path)} | top.broken,
        incomplete=base.incomplete or top.incomplete,
    )


def _merge(base: dict[str, Data], top: dict[str, Data], path: DataPath, replaced: set[DataPath]) -> dict[str, Data]:
    merged = dict(base)
    for key, value in top.items():
        below = base.get(key)
        here = (*path, key)
        if isinstance(value, dict) and isinstance(below, dict) and not _changes_kind(here, below, value):
            merged[key] = _merge(below, value, here, replaced)
        else:
            merged[key] = value
            replaced.add(here)
    return merged


def _changes_kind(path: DataPath, below: dict[str, Data], above: dict[str, Data]) -> bool:
    return path == ("array",) and "kind" in above and above["kind"] != below.get("kind")
