"""What the spec's models allow at a path, in words a user reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from accelsim.spec.fields import SpecModel
from accelsim.spec.models import ArchSpec
from accelsim.spec.words import Data, DataPath


@dataclass(frozen=True)
class Allowed:
    """What one value may be. `models` has several entries where a `kind` key chooses."""

    what: Literal["whole number", "number", "text", "choice", "list", "mapping"]
    bounds: str = ""
    choices: tuple[str | int, ...] = ()
    models: tuple[type[SpecModel], ...] = ()
    item: Allowed | None = None
    may_be_empty: bool = False
    description: str = ""

    def words(self) -> str:
        """For example `a whole number, at least 1 and at most 64`."""
        if self.what == "choice":
            return ("one of " if len(self.choices) > 1 else "") + ", ".join(str(choice) for choice in self.choices)
        if self.what == "list":
            items = self.item.words() if self.item else "values"
            return f"a list [x, y, ...]{'' if self.may_be_empty else ' of one or more'}, each {items}"
        if self.what == "mapping":
            return "a mapping with the keys " + ", ".join(sorted({k for m in self.models for k in m.model_fields}))
        return f"a {self.what}" + (f", {self.bounds}" if self.bounds else "")


ROOT = Allowed("mapping", models=(ArchSpec,))


def allowed_at(path: DataPath, data: Data) -> Allowed | None:
    """What may stand at `path` of a spec that holds `data`; None where no key of the schema leads."""
    allowed = ROOT
    for part in path:
        if isinstance(part, int):
            below = allowed.item
        else:
            model = model_for(allowed, data)
            below = _field(model, part) if model and part in model.model_fields else None
        if below is None:
            return None
        allowed = below
        data = data.get(str(part)) if isinstance(data, dict) else None
    return allowed


def model_for(allowed: Allowed, data: Data) -> type[SpecModel] | None:
    """The model of a mapping: the only one, or the one whose `kind` the data names."""
    if len(allowed.models) == 1:
        return allowed.models[0]
    kind = data.get("kind") if isinstance(data, dict) else None
    for model in allowed.models:
        if kind in _field(model, "kind").choices:
            return model
    return None


def kinds_of(allowed: Allowed) -> list[str]:
    """Every `kind` that the models of a mapping answer to."""
    return sorted(str(kind) for model in allowed.models for kind in _field(model, "kind").choices)


def kinds_allowing(allowed: Allowed | None, key: str | int, value: Data) -> list[str]:
    """The kinds of a mapping under which `value` is one of the choices of `key`."""
    models = allowed.models if allowed and len(allowed.models) > 1 and isinstance(value, str) else ()
    having = [model for model in models if key in model.model_fields]
    return sorted(
        str(kind)
        for model in having
        if value in _field(model, str(key)).choices
        for kind in _field(model, "kind").choices
    )


@cache
def _field(model: type[SpecModel], name: str) -> Allowed:
    info = model.model_fields[name]
    return _allowed(info.annotation, tuple(info.metadata), " ".join((info.description or "").split()))


def _allowed(annotation: object, metadata: tuple[object, ...], description: str) -> Allowed:
    """Read one type annotation; `metadata` holds the bounds found around it."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = tuple(m for arg in args[1:] for m in (arg.metadata if isinstance(arg, FieldInfo) else (arg,)))
        return _allowed(args[0], inner, description)
    if origin in (Union, UnionType):
        members = [arg for arg in args if arg is not NoneType]
        if len(members) == 1:
            return _allowed(members[0], metadata, description)
        return Allowed("mapping", models=tuple(members), description=description)
    if origin is Literal:
        return Allowed("choice", choices=args, description=description)
    if origin is tuple:
        may_be_empty = not any(getattr(m, "min_length", 0) for m in metadata)
        item = _allowed(args[0], (), description)
        return Allowed("list", item=item, may_be_empty=may_be_empty, description=description)
    if isinstance(annotation, type) and issubclass(annotation, SpecModel):
        return Allowed("mapping", models=(annotation,), description=description)
    if annotation in (int, float):
        what: Literal["whole number", "number"] = "whole number" if annotation is int else "number"
        return Allowed(what, bounds=_bounds(metadata), description=description)
    return Allowed("text", bounds=_bounds(metadata), description=description)


def _bounds(metadata: tuple[object, ...]) -> str:
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    found = [f"{word} {getattr(m, name):.15g}" for m in metadata for name, word in words.items() if hasattr(m, name)]
    found += [f"at most {m.max_length} characters" for m in metadata if hasattr(m, "max_length")]
    return " and ".join(found)
