"""The validator's errors as faults: a place in a file, plain words, and what is allowed there."""

from __future__ import annotations

import difflib
import math
import re

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from accelsim.errors import Fault, did_you_mean
from accelsim.spec.layers import OVERRIDE, Layer, Place
from accelsim.spec.schema import Allowed, allowed_at, kinds_allowing, kinds_of, model_for
from accelsim.spec.words import Data, DataPath, dotted, shown

MAX_FAULTS = 100
"""Faults of the schema that are worked out; a file with more is no spec."""

_WITH_UNIT = re.compile(r"([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*[A-Za-z%µ][\w/%^]*")
_DECIMAL_COMMA = re.compile(r"[-+]?(0,[0-9]+|[0-9]+,([0-9]{1,2}|[0-9]{4,}))", re.ASCII)
_THOUSANDS = re.compile(r"[-+]?[0-9]{1,3}([_, ][0-9]{3})+", re.ASCII)
_NUMBER = re.compile(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?")


def fault_at(layer: Layer, path: DataPath, found: str, fix: str, place: Place | None = None) -> Fault:
    """A fault of the value at `path`, at its place in its file (or at `place`)."""
    file, line, column = place or layer.place(path)
    name = dotted(path)
    return Fault(file, line, column, f"arch.{name}" if file == OVERRIDE and path else name, found, fix)


def schema_faults(error: ValidationError, layer: Layer) -> list[Fault]:
    """Every fault the models found in `layer`, at most 100, less those that follow from another."""
    details = error.errors(include_url=False, include_context=False)
    by_path = [(_path(detail, layer.data), detail) for detail in details]
    # A list is called too short when its items are faulty: those are named themselves.
    by_path = [(path, d) for path, d in by_path if not (d["type"] == "too_short" and layer.get(path))]
    by_path = [(path, detail) for path, detail in by_path if not _is_broken(path, layer)]
    faults: list[Fault] = []
    guessed: set[DataPath] = set()
    for path, detail in by_path:
        if detail["type"] == "extra_forbidden" and len(faults) < MAX_FAULTS:
            faults.append(_unknown_key(layer, path))
            guessed |= _nearest_key(layer, path)
    for path, detail in by_path:
        is_missing = detail["type"] == "missing"
        if detail["type"] == "extra_forbidden" or (is_missing and (layer.incomplete or path in guessed)):
            continue
        if len(faults) < MAX_FAULTS:
            faults.append(_missing_key(layer, path) if is_missing else _bad_value(layer, path))
    if len(by_path) > MAX_FAULTS:
        found = f"{len(by_path)} faults, of which {MAX_FAULTS} are shown"
        faults.append(fault_at(layer, (), found, "is this file a spec?"))
    return faults


def _path(detail: ErrorDetails, data: dict[str, Data]) -> DataPath:
    """The error's location without the union member's name; a bad or missing `kind` is named itself."""
    path: DataPath = detail["loc"]
    if path[:1] == ("array",) and len(path) > 1:
        return ("array", *path[2:])
    if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return (*path, "kind")
    return path


def _is_broken(path: DataPath, layer: Layer) -> bool:
    return any(path[:length] in layer.broken for length in range(len(path) + 1))


def _keys_allowed(layer: Layer, path: DataPath) -> list[str]:
    """The keys of the mapping that `path` lies in."""
    allowed = allowed_at(path[:-1], layer.data)
    model = model_for(allowed, layer.get(path[:-1])) if allowed else None
    return sorted(model.model_fields) if model else []


def _nearest_key(layer: Layer, path: DataPath) -> set[DataPath]:
    near = difflib.get_close_matches(str(path[-1]), _keys_allowed(layer, path), n=1, cutoff=0.7)
    return {(*path[:-1], near[0])} if near else set()


def _unknown_key(layer: Layer, path: DataPath) -> Fault:
    place = layer.keys.get(path) or layer.place(path)
    allowed = _keys_allowed(layer, path)
    if len(path) == 1 and place.file != OVERRIDE:
        allowed.append("extends")
    fix = did_you_mean(str(path[-1]), allowed)
    kind = layer.get((*path[:-1], "kind"))
    found = f"no such key in {dotted(path[:-1])}" + (f" of kind {shown(kind)}" if isinstance(kind, str) else "")
    return fault_at(layer, path, found, fix, place)


def _missing_key(layer: Layer, path: DataPath) -> Fault:
    allowed = allowed_at(path, layer.data)
    words = f": {allowed.words()}{_about(allowed)}" if allowed else ""
    return fault_at(layer, path, "missing", f"add {path[-1]}{words}")


def _bad_value(layer: Layer, path: DataPath) -> Fault:
    value = layer.get(path)
    if path == ("array", "kind"):
        kinds = kinds_of(allowed_at(("array",), layer.data) or Allowed("mapping"))
        array = layer.get(("array",))
        is_missing = isinstance(array, dict) and "kind" not in array
        found = "missing" if is_missing else f"found {shown(value)}"
        return fault_at(layer, path, found, did_you_mean(str(value), kinds))
    allowed = allowed_at(path, layer.data)
    if allowed is None:
        return fault_at(layer, path, f"found {shown(value)}, which is not allowed here", "see the schema of this key")
    complaint = _complaint(value, allowed)
    kinds = kinds_allowing(allowed_at(path[:-1], layer.data), path[-1], value)
    if kinds:
        complaint += f", which is for {path[-2]}s of kind {' and '.join(kinds)}"
    return fault_at(layer, path, f"found {complaint}", _fix(value, allowed))


def _complaint(value: Data, allowed: Allowed) -> str:
    text = shown(value)
    if value is None:
        return "no value"
    if isinstance(value, dict) or allowed.what in ("choice", "mapping"):
        return text if allowed.what == "choice" else f"{text}, not a {allowed.what}"
    if isinstance(value, bool):
        return f"{text}, a truth value, not a {allowed.what}"
    if allowed.what in ("number", "whole number"):
        if isinstance(value, str):
            has_unit = _WITH_UNIT.fullmatch(value)
            return f"the text {text}, not a number" + (": the unit is already in the key" if has_unit else "")
        if isinstance(value, float) and allowed.what == "whole number":
            return f"{text}, not a whole number"
        if isinstance(value, float) and not math.isfinite(value):
            return f"{text}, not a finite number"
        return f"{text}, which is out of range" if isinstance(value, int | float) else f"{text}, not a {allowed.what}"
    if allowed.what == "list":
        return "an empty list" if value == [] else f"{text}, not a list"
    return f"{text}, which is not allowed" if isinstance(value, str) else f"{text}, not a text"


def _fix(value: Data, allowed: Allowed) -> str:
    if allowed.what == "choice" and isinstance(value, str) and all(isinstance(c, str) for c in allowed.choices):
        return did_you_mean(value, [str(choice) for choice in allowed.choices]) + _about(allowed)
    hint = ""
    if allowed.what in ("number", "whole number") and isinstance(value, str):
        match = _WITH_UNIT.fullmatch(value)
        if match:
            hint = f"write {match.group(1)}; "
        elif _NUMBER.fullmatch(value):
            hint = f"write {value} without quotes; "
        elif _DECIMAL_COMMA.fullmatch(value):
            hint = f"write {value.replace(',', '.')}; "
        elif _THOUSANDS.fullmatch(value):
            hint = f"write {re.sub('[_, ]', '', value)}; "
    elif allowed.what == "whole number" and isinstance(value, float) and value.is_integer():
        hint = f"write {int(value)}; "
    elif allowed.what == "list" and isinstance(value, int):
        hint = f"write [{value}]; "
    elif allowed.what == "text" and not isinstance(value, str | list | dict | None):
        hint = f"write '{shown(value)}' with quotes; "
    return f"{hint}allowed: {allowed.words()}{_about(allowed)}"


def _about(allowed: Allowed) -> str:
    """The key's documentation, in brackets."""
    return f" ({allowed.description.rstrip('.')})" if allowed.description else ""
