"""Memories addressed by their name: `arch.memories.l2.capacity_kib=256`, or the same in a file that extends another."""

from __future__ import annotations

from accelsim.errors import Fault, did_you_mean
from accelsim.spec.faults import fault_at
from accelsim.spec.layers import Layer, Place
from accelsim.spec.words import Data, DataPath, shown

SECTION = "memories"


def memories_by_name(base: Layer, top: Layer, faults: list[Fault]) -> Layer:
    """`top` with a mapping of changes to `base`'s memories written out as the changed list.

    A name that `base` does not have is added to `faults`.
    """
    changes = top.data.get(SECTION)
    if not isinstance(changes, dict):
        return top
    below = base.data.get(SECTION)
    entries: list[Data] = list(below) if isinstance(below, list) else []
    index: dict[str, int] = {}
    for number, entry in enumerate(entries):
        if isinstance(entry, dict):
            index[str(entry.get("name"))] = number
    broken = set(top.broken)
    for name, change in changes.items():
        if name not in index:
            fix = did_you_mean(name, sorted(index)) if index else "the spec has no memories"
            faults.append(fault_at(top, (SECTION, name), f"no memory is called {shown(name)}", fix))
            broken.add((SECTION,))
            continue
        entry = entries[index[name]]
        if isinstance(entry, dict) and isinstance(change, dict):
            change = {**entry, **change}
        entries[index[name]] = change

    def renamed(places: dict[DataPath, Place], under: dict[DataPath, Place]) -> dict[DataPath, Place]:
        kept = {path: place for path, place in under.items() if path[:1] == (SECTION,)}
        moved = {_renamed(path, index): place for path, place in places.items()}
        return kept | {path: place for path, place in moved.items() if place.line or path not in kept or len(path) > 2}

    return Layer(
        data={**top.data, SECTION: entries},
        values=renamed(top.values, base.values),
        keys=renamed(top.keys, base.keys),
        broken={_renamed(path, index) for path in broken},
        incomplete=top.incomplete,
    )


def _renamed(path: DataPath, index: dict[str, int]) -> DataPath:
    if len(path) > 1 and path[0] == SECTION and str(path[1]) in index:
        return (SECTION, index[str(path[1])], *path[2:])
    return path
