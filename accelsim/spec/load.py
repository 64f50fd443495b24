"""A spec's name or file, the files it extends, and overrides: to one validated ArchSpec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from accelsim.errors import Fault, UserError
from accelsim.spec.cross_checks import clashes
from accelsim.spec.faults import fault_at, schema_faults
from accelsim.spec.layers import Layer, layer_of, merge
from accelsim.spec.locate import Source, find
from accelsim.spec.models import ArchSpec
from accelsim.spec.named import memories_by_name
from accelsim.spec.overrides import override_layer
from accelsim.spec.provenance import origins_of
from accelsim.spec.schema import Allowed, allowed_at, model_for
from accelsim.spec.words import Data, shown
from accelsim.spec.yaml_source import read_yaml

MAX_EXTENDS = 8
"""Longest chain of `extends:`, files below the first."""


@dataclass(frozen=True)
class ResolvedArch:
    """A spec and, per dotted key, where its value came from: `file:line`, `default` or `override`."""

    spec: ArchSpec
    origins: dict[str, str]


def load_arch(path_or_name: str | Path, overrides: Mapping[str, object] | Sequence[str] = ()) -> ArchSpec:
    """The accelerator that a shipped name or a YAML file describes.

    A text with a path separator or the ending .yaml or .yml is a file; any other is the name of a
    shipped spec. `overrides` sets keys like `arch.array.po`, as a mapping or as `key=value` texts.
    Raises UserError with every fault found.
    """
    return load_arch_resolved(path_or_name, overrides).spec


def load_arch_resolved(path_or_name: str | Path, overrides: Mapping[str, object] | Sequence[str] = ()) -> ResolvedArch:
    """As `load_arch`, with the origin of every value."""
    faults: list[Fault] = []
    layer = _read(find(str(path_or_name)), (), faults)
    layer = merge(layer, memories_by_name(layer, override_layer(overrides, faults), faults))
    spec = _validated(layer, faults)
    return ResolvedArch(spec, origins_of(spec, layer))


def _read(source: Source, chain: tuple[Source, ...], faults: list[Fault]) -> Layer:
    """One file laid over what it extends; faults of form are added to `faults`."""
    try:
        document = read_yaml(source.path, source.label)
    except UserError as error:
        faults.extend(error.faults)
        return Layer(incomplete=True)
    faults.extend(document.faults)
    if not isinstance(document.data, dict):
        if () not in document.broken:
            fix = "a spec is a mapping: spec_version, name, technology, array, ..."
            faults.append(Fault(source.label, 1, 1, "spec", f"the file holds {shown(document.data)}", fix))
        return Layer(incomplete=True)
    data = dict(document.data)
    layer = layer_of(document, data)
    if "extends" not in data:
        return layer
    base = _read_base(data.pop("extends"), layer, (*chain, source), faults)
    return merge(base, memories_by_name(base, layer, faults))


def _read_base(value: Data, layer: Layer, chain: tuple[Source, ...], faults: list[Fault]) -> Layer:
    """The layer that `extends: value` names; an incomplete one, and a fault, where it names none."""
    path = ("extends",)
    names = [source.label for source in chain]
    if path in layer.broken:
        return Layer(incomplete=True)
    if not isinstance(value, str):
        found = f"found {shown(value)}"
        faults.append(fault_at(layer, path, found, "give the name of a shipped spec or the path of a file"))
        return Layer(incomplete=True)
    try:
        source = find(value, chain[-1])
    except UserError as error:
        fault = error.faults[0]
        faults.append(fault_at(layer, path, f"{fault.file}: {fault.found}", fault.fix))
        return Layer(incomplete=True)
    if source.path.resolve() in [link.path.resolve() for link in chain]:
        found = f"a cycle: {' -> '.join([*names, source.label])}"
        faults.append(fault_at(layer, path, found, "remove one extends of the cycle"))
        return Layer(incomplete=True)
    if len(chain) > MAX_EXTENDS:
        found = f"over {MAX_EXTENDS} files deep: {' -> '.join(names)}"
        faults.append(fault_at(layer, path, found, "extend a spec nearer to the first"))
        return Layer(incomplete=True)
    return _read(source, chain, faults)


def _validated(layer: Layer, faults: list[Fault]) -> ArchSpec:
    """The spec in `layer`. Raises UserError with `faults` and all that the models and rules find."""
    spec: ArchSpec | None = None
    sections = frozenset(ArchSpec.model_fields)
    try:
        spec = checked = ArchSpec.model_validate(layer.data)
    except ValidationError as error:
        faults = [*faults, *schema_faults(error, layer)]
        checked, sections = _sound_sections(layer, error)
    if not layer.incomplete:
        faults = faults + [fault_at(layer, c.path, c.found, c.fix) for c in clashes(checked, sections)]
    if spec is None or faults:
        raise UserError(faults)
    return spec


def _sound_sections(layer: Layer, error: ValidationError) -> tuple[ArchSpec, frozenset[str]]:
    """A partial spec of the sections without a fault, so that their rules are checked all the same."""
    unsound = {detail["loc"][0] for detail in error.errors(include_url=False, include_context=False)}
    sections: dict[str, Any] = {}
    for name, field in ArchSpec.model_fields.items():
        if name in unsound:
            continue
        if name in layer.data:
            sections[name] = _section(allowed_at((name,), layer.data), layer.data[name])
        elif not field.is_required():
            sections[name] = field.get_default()
    return ArchSpec.model_construct(None, **sections), frozenset(sections)


def _section(allowed: Allowed | None, data: Data) -> object:
    """A section that has no fault, as its model."""
    if allowed and isinstance(data, list):
        return tuple(_section(allowed.item, item) for item in data)
    model = model_for(allowed, data) if allowed and data is not None else None
    return model.model_validate(data) if model else data
