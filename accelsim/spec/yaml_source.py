"""YAML text to plain data with positions, refusing everything a spec has no use for.

Only mappings, sequences and scalars are read. Tags, anchors, aliases, merge keys, duplicate keys,
keys that are no text, and a second document are faults. The reader walks the parser's event stream,
so no object is ever constructed and nesting is bounded before it can exhaust a stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import yaml

from accelsim.errors import Fault, UserError, user_error
from accelsim.spec.words import Data, DataPath, dotted, shown
from accelsim.spec.yaml_scalars import plain_scalar

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
FORM = "check indentation (spaces, no tabs), a space after each ':', closed quotes and brackets"
TOO_DEEP = (f"nested over {MAX_DEPTH} deep", "a spec has six levels at most")
MAX_FAULTS = 50
"""Reading stops at this many faults of form; a file this broken is no spec."""

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass
class YamlDocument:
    """One document: its data, where each part stands (line, column from 1), and its faults of form.

    `positions` is keyed by the path of a value (mappings and sequences stand where their key does),
    `key_positions` by the path of the value a key belongs to. `broken` holds the paths whose value is
    not to be judged further, because a fault already names it.
    """

    file: str
    data: Data = None
    positions: dict[DataPath, tuple[int, int]] = field(default_factory=dict)
    key_positions: dict[DataPath, tuple[int, int]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    broken: set[DataPath] = field(default_factory=set)


def read_yaml(path: Path, label: str) -> YamlDocument:
    """Read one YAML file, called `label` in faults.

    Faults of form that leave the rest readable are returned in the document. Raises UserError for a
    file that is no regular file, is over 1 MiB, is not UTF-8, or cannot be parsed to its end.
    """
    try:
        if not path.is_file():
            what = "is a directory" if path.is_dir() else "is not a regular file"
            raise user_error(label, "spec", what if path.exists() else "does not exist", "name a YAML file")
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise user_error(label, "spec", f"cannot be read: {reason}", "name a readable YAML file") from error
    if len(raw) > MAX_BYTES:
        raise user_error(label, "spec", "is over 1 MiB", "a spec is a few KiB; is this another kind of file?")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        found = f"byte 0x{raw[error.start]:02x} is not UTF-8"
        raise UserError([Fault(label, line, column, "spec", found, "save the file as UTF-8")]) from error
    return parse_yaml(text, label)


def parse_yaml(text: str, label: str) -> YamlDocument:
    """Parse YAML text; as `read_yaml` in what it returns and raises."""
    odd = _UNPRINTABLE.search(text)
    if odd:
        line = text.count("\n", 0, odd.start()) + 1
        column = odd.start() - text.rfind("\n", 0, odd.start())
        found = f"unprintable character U+{ord(odd.group()):04X}"
        raise UserError([Fault(label, line, column, "spec", found, "remove it")])
    reader = _Reader(text, label)
    try:
        reader.read()
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the pure Python parser leaks the last two
        mark = getattr(error, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        problem = str(getattr(error, "problem", None) or "broken text")
        found, fix = f"not readable as YAML: {problem}", FORM
        if "nesting depth" in problem:  # libyaml from 0.2.6 looks ahead for keys, and stops at a depth of its own
            found, fix = TOO_DEEP
        raise UserError([*reader.document.faults, Fault(label, line, column, "spec", found, fix)]) from error
    return reader.document


class _Reader:
    """Builds a YamlDocument from parser events."""

    def __init__(self, text: str, label: str) -> None:
        """Start at the first event of `text`, called `label` in faults."""
        self.document = YamlDocument(label)
        self._events: Iterator[yaml.Event] = iter(yaml.parse(text, Loader=_Loader))

    def read(self) -> None:
        """Read the document. Raises yaml.YAMLError, and UserError where reading on makes no sense."""
        documents = 0
        for event in self._events:
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            documents += 1
            if documents > 1:
                self._fault(event, (), "a second document starts here", "keep one document a file: remove the '---'")
                return
            root = next(self._events)
            self.document.data = self._node(root, (), _position(root))

    def _fault(self, event: yaml.Event, path: DataPath, found: str, fix: str) -> None:
        line, column = _position(event)
        self.document.faults.append(Fault(self.document.file, line, column, dotted(path), found, fix))
        if len(self.document.faults) >= MAX_FAULTS:
            raise UserError(self.document.faults)

    def _node(self, event: yaml.Event, path: DataPath, position: tuple[int, int]) -> Data:
        if len(path) > MAX_DEPTH:
            self._too_deep(event, path)
        if not self._is_plain(event, path):
            self.document.broken.add(path)
        is_scalar = isinstance(event, yaml.ScalarEvent | yaml.AliasEvent)
        self.document.positions[path] = _position(event) if is_scalar else position
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        return self._scalar(event, path) if isinstance(event, yaml.ScalarEvent) else None

    def _is_plain(self, event: yaml.Event, path: DataPath) -> bool:
        """Refuse tags, anchors and aliases; whether the value can still be judged."""
        anchor, tag = getattr(event, "anchor", None), getattr(event, "tag", None)
        if tag is not None:
            tag = tag.replace("tag:yaml.org,2002:", "!!")
            self._fault(event, path, f"tag {shown(tag)}", "remove it; tags are not read")
        if isinstance(event, yaml.AliasEvent):
            self._fault(event, path, f"alias *{anchor}", "write the value out; aliases are not read")
            return False
        if anchor is not None:
            self._fault(event, path, f"anchor &{anchor}", "remove it; anchors and aliases are not read")
        return tag is None

    def _sequence(self, path: DataPath) -> Data:
        items: list[Data] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, (*path, len(items)), _position(event)))
        return items

    def _mapping(self, path: DataPath) -> Data:
        mapping: dict[str, Data] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path)
            if key is None:
                self._skip(next(self._events), path)
                continue
            child = (*path, key)
            if key in mapping:
                first = self.document.key_positions[child][0]
                found = f"duplicate key: first on line {first}, again on line {_position(event)[0]}"
                self._fault(event, child, found, "keep one of the two")
                self._skip(next(self._events), path)
                continue
            self.document.key_positions[child] = _position(event)
            mapping[key] = self._node(next(self._events), child, _position(event))
        return mapping

    def _key(self, event: yaml.Event, path: DataPath) -> str | None:
        """The key, or None (a fault) when it is not a text."""
        self._is_plain(event, path)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar_key(event, path)
        if not isinstance(event, yaml.AliasEvent):
            self._fault(event, path, "a list or mapping as a key", "a key is a word")
            self._skip(event, path)
        return None

    def _scalar_key(self, event: yaml.ScalarEvent, path: DataPath) -> str | None:
        text = str(event.value)
        if not event.implicit[0]:
            return text
        if text == "<<":
            self._fault(event, path, "merge key '<<'", "write the keys out, or use `extends:` at the top")
            return None
        try:
            if isinstance(plain_scalar(text), str):
                return text
        except ValueError:
            pass  # a number too long to convert is no text either
        self._fault(event, path, f"key {shown(text)} is not a text", "a key is a word")
        return None

    def _scalar(self, event: yaml.ScalarEvent, path: DataPath) -> Data:
        if not event.implicit[0]:
            return str(event.value)
        try:
            return plain_scalar(event.value)
        except ValueError as error:
            self._fault(event, path, str(error), "a number has at most 100 digits")
            self.document.broken.add(path)
            return None

    def _too_deep(self, event: yaml.Event, path: DataPath) -> NoReturn:
        """Stop reading: parsers take quadratic time over deep nesting."""
        self._fault(event, path[:3], *TOO_DEEP)
        raise UserError(self.document.faults)

    def _skip(self, event: yaml.Event, path: DataPath) -> None:
        """Consume the node that starts with `event`, inside `path`."""
        depth = 0
        while True:
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth == 0:
                return
            if len(path) + depth > MAX_DEPTH:
                self._too_deep(event, path)
            event = next(self._events)


def _position(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)
