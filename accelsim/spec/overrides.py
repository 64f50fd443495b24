"""`arch.array.po=8`: values set from outside a spec's file, as a layer over it."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence

from accelsim.errors import Fault, UserError
from accelsim.spec.layers import OVERRIDE, Layer, Place
from accelsim.spec.words import Data, DataPath, dotted, shown
from accelsim.spec.yaml_source import MAX_DEPTH, parse_yaml

PREFIXES = ("arch", "workload")
_FORM = "write key=value with a key like arch.array.po or workload.psum.bits"


def split_overrides(items: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """`key=value` texts as (arch, workload) mappings from whole key to value text.

    Raises UserError naming every item without `=`, with another prefix, or given twice.
    """
    split: dict[str, dict[str, str]] = {prefix: {} for prefix in PREFIXES}
    faults: list[Fault] = []
    for item in [items] if isinstance(items, str) else items:
        key, equals, value = item.partition("=")
        key = key.strip()
        prefix, _, rest = key.partition(".")
        if not equals:
            faults.append(_fault(shown(item), "no '=' in this override", _FORM))
        elif prefix not in PREFIXES or not rest:
            faults.append(_fault(shown(key), "an override's key starts with arch. or workload.", _FORM))
        elif key in split[prefix]:
            faults.append(_fault(key, f"given twice: {shown(split[prefix][key])} and {shown(value)}", "keep one"))
        else:
            split[prefix][key] = value
    if faults:
        raise UserError(faults)
    return split["arch"], split["workload"]


def override_layer(overrides: Mapping[str, object] | Sequence[str], faults: list[Fault]) -> Layer:
    """The layer that overrides make; mistakes of form are added to `faults`.

    Texts are read as YAML scalars or flow lists; other values are taken as they are.
    """
    if not isinstance(overrides, Mapping):
        arch, workload = split_overrides(overrides)
        overrides = {**arch, **workload}
    layer = Layer()
    for key, value in overrides.items():
        prefix, *path = str(key).split(".")
        if prefix != "arch" or not path or not all(path):
            faults.append(_fault(shown(key), "a spec's override has a key like arch.array.po", _FORM))
            continue
        if len(path) > MAX_DEPTH:
            faults.append(_fault(shown(key), f"nested over {MAX_DEPTH} deep", "a spec has six levels at most"))
            continue
        known = len(faults)
        plain = _value(key, value, faults)
        if len(faults) > known:
            layer.broken.add(tuple(path))
        _set(layer, tuple(path), plain, faults)
    return layer


def _value(key: str, value: object, faults: list[Fault]) -> Data:
    """The override's plain value; None (and a fault) where it is no scalar and no list of scalars."""
    data: object = value
    if isinstance(value, str):
        try:
            document = parse_yaml(value, OVERRIDE)
        except UserError as error:
            faults.extend(_fault(key, f"{shown(value)} {fault.found}", fault.fix) for fault in error.faults)
            return None
        faults.extend(_fault(key, fault.found, fault.fix) for fault in document.faults)
        data = document.data
    if isinstance(data, list | tuple):
        return [_scalar(key, item, faults) for item in data]
    return _scalar(key, data, faults)


def _scalar(key: str, value: object, faults: list[Fault]) -> Data:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, numbers.Integral):  # numpy's integers are registered here too
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    found = f"an override's value is a scalar or a list of scalars, found {shown(value)}"
    faults.append(_fault(key, found, f"set one key at a time, like {key}.some_key=..."))
    return None


def _set(layer: Layer, path: DataPath, value: Data, faults: list[Fault]) -> None:
    mapping = layer.data
    for length, part in enumerate(path[:-1], start=1):
        below = mapping.setdefault(str(part), {})
        if not isinstance(below, dict):
            faults.append(_fault(f"arch.{dotted(path)}", f"arch.{dotted(path[:length])} is overridden too", "keep one"))
            return
        layer.values[path[:length]] = layer.keys[path[:length]] = Place(OVERRIDE, 0, 0)
        mapping = below
    if str(path[-1]) in mapping:
        faults.append(_fault(f"arch.{dotted(path)}", "a key inside it is overridden too", "keep one"))
        return
    mapping[str(path[-1])] = value
    layer.values[path] = layer.keys[path] = Place(OVERRIDE, 0, 0)


def _fault(name: str, found: str, fix: str) -> Fault:
    return Fault(OVERRIDE, 0, 0, name, found, fix)
