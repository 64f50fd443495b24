"""Where every value of a resolved spec came from, and a fingerprint of the whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

from accelsim.spec.fields import SpecModel
from accelsim.spec.layers import OVERRIDE, Layer
from accelsim.spec.models import ArchSpec
from accelsim.spec.words import DataPath, dotted

if TYPE_CHECKING:
    from accelsim.spec.load import ResolvedArch

Value: TypeAlias = int | float | str | tuple[int | str, ...] | None
"""A leaf of a spec."""

OPTIONAL: dict[str, object] = {
    "operating_points": [],
    "wide_operands": "refuse",
    "banks": 1,
    "reram_stack": None,
    "placement": [],
    "rotation_unit": None,
    "codebook_decoder": None,
    "system": None,
    "dma": None,
    "host": None,
    "strided_dma": None,
    "sequencer_loops": 0,
    "output_cycles": 0,
    "kernels": None,
    "run_length": None,
    "zero_gating": False,
}
"""Keys that came later, with what leaving them out means."""


def resolved_rows(resolved: ResolvedArch) -> list[tuple[str, Value, str]]:
    """Every leaf of a spec as (dotted key, value, origin), in the schema's order.

    The origin is `file:line`, `default` or `override`.
    """
    spec = resolved.spec
    return [(_key(spec, path), value, resolved.origins[_key(spec, path)]) for path, value in _leaves(spec, ())]


def origins_of(spec: ArchSpec, layer: Layer) -> dict[str, str]:
    """Per dotted key of `spec` the origin of its value in `layer`."""
    return {_key(spec, path): _origin(layer, path) for path, _ in _leaves(spec, ())}


def spec_hash(spec: ArchSpec) -> str:
    """SHA-256 (hex) of the resolved spec as canonical JSON: equal specs have equal hashes.

    Keys of `OPTIONAL` that are left out are not in it: a spec keeps the hash it had before there were such keys.
    """
    data = spec.model_dump(mode="json")
    for part in (data, data["technology"], data["array"], data["dram"], *data["memories"], *data["buffers"].values()):
        for key, default in OPTIONAL.items():
            if part is not None and part.get(key, default) == default:
                part.pop(key, None)
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _key(spec: ArchSpec, path: DataPath) -> str:
    """The path as an override writes it: a memory goes by its name."""
    if path[0] == "memories" and isinstance(path[1], int):
        path = (path[0], spec.memories[path[1]].name, *path[2:])
    return dotted(path)


def _leaves(model: SpecModel, path: DataPath) -> Iterator[tuple[DataPath, Value]]:
    for name, value in model:
        if isinstance(value, SpecModel):
            yield from _leaves(value, (*path, name))
        elif name == "memories" or (isinstance(value, tuple) and any(isinstance(item, SpecModel) for item in value)):
            for index, item in enumerate(value):
                yield from _leaves(item, (*path, name, index))
        else:
            yield (*path, name), value


def _origin(layer: Layer, path: DataPath) -> str:
    place = layer.values.get(path)
    if place is None:
        return "default"
    return OVERRIDE if place.line == 0 else f"{place.file}:{place.line}"
