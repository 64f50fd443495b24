"""The points of a sweep, and what is wrong with a sweep before any point runs.

A key that the schema does not have, a value that no point could run with, a workload that does not
exist: these are mistakes in the question. A combination that one spec cannot have is an answer, and
is left to the point that meets it.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from accelsim.errors import Fault, UserError, user_error
from accelsim.spec import ArchSpec, load_arch
from accelsim.spec.faults import schema_faults
from accelsim.spec.layers import Layer, merge
from accelsim.spec.overrides import PREFIXES, override_layer
from accelsim.spec.words import Data, shown
from accelsim.workload import Trace, load_trace, workload_overrides

MAX_POINTS = 100_000
TRACE_SUFFIXES = (".trace.json.gz", ".trace.json", ".json.gz", ".json", ".csv")
KIND_KEY = "arch.array.kind"
"""The one key that decides which other keys there are."""
_PROBE = "matmul:1x1x1"

Sets = tuple[tuple[str, object], ...]
"""Keys and the values they take, in the order the sweep names them."""


@dataclass(frozen=True)
class Point:
    """One simulation to do: a workload by its label, and what is set."""

    workload: str
    sets: Sets

    def of(self, prefix: str) -> dict[str, object]:
        """The settings whose key starts with `prefix`."""
        return {key: value for key, value in self.sets if key.startswith(f"{prefix}.")}


@dataclass(frozen=True)
class Plan:
    """A sweep that can start: everything it names exists."""

    arch: str
    arch_name: str
    traces: dict[str, Trace]
    keys: tuple[str, ...]
    points: tuple[Point, ...]


def plan(arch: str | Path, workloads: str | Path | Sequence[str | Path], over: Mapping[str, Sequence[object]]) -> Plan:
    """The points in product order: workloads, then each key, the last one changing fastest.

    Raises UserError with the mistakes described at the top of this file.
    """
    values = listed_values(over, PREFIXES, "start it with arch. or workload., like arch.array.po or workload.psum.bits")
    base = load_arch(arch)
    traces = _traces([workloads] if isinstance(workloads, str | Path) else workloads)
    faults = [*arch_faults(base, of(values, "arch")), *_workload_faults(of(values, "workload"))]
    if faults:
        raise UserError(faults)
    count = len(traces) * math.prod(map(len, values.values()))
    if count > MAX_POINTS:
        raise user_error("sweep", "points", f"{count:,} points", f"at most {MAX_POINTS:,}; sweep fewer values at once")
    points = (Point(label, sets) for label in traces for sets in combinations(values))
    return Plan(str(arch), base.name, traces, tuple(values), tuple(points))


def listed_values(
    over: Mapping[str, Sequence[object]], prefixes: Sequence[str], fix: str
) -> dict[str, tuple[object, ...]]:
    """The values of each key as hashable things, none missing and none twice.

    UserError for those, and (with `fix`) for a key that starts with no prefix.
    """
    faults: list[Fault] = []
    values: dict[str, tuple[object, ...]] = {}
    for key, listed in over.items():
        if str(key).partition(".")[0] not in prefixes or "." not in str(key):
            faults.append(Fault("sweep", 0, 0, shown(key), "not a key to sweep over", fix))
            continue
        fault, values[key] = _listed(key, listed)
        faults += [fault] if fault else []
    if faults:
        raise UserError(faults)
    return values


def _listed(key: str, listed: Sequence[object]) -> tuple[Fault | None, tuple[object, ...]]:
    """The values of one key, or what is wrong with them."""
    is_list = isinstance(listed, Iterable) and not isinstance(listed, str)
    values = tuple(tuple(value) if isinstance(value, list) else value for value in listed) if is_list else ()
    if not values:
        found = "no values" if is_list else f"found {shown(listed)}"
        return Fault("sweep", 0, 0, key, found, "give a list of one or more values"), ()
    try:
        hash(values)
    except TypeError:
        return Fault("sweep", 0, 0, key, f"found {shown(values)}", "a value is a number, a text or a list of them"), ()
    (value, times), *_ = Counter(values).most_common(1)
    if times > 1:
        return Fault("sweep", 0, 0, key, f"{shown(value)} is given {times} times", "keep one"), ()
    return None, values


def of(values: Mapping[str, tuple[object, ...]], prefix: str) -> dict[str, tuple[object, ...]]:
    """The keys that start with `prefix`, with their values."""
    return {key: listed for key, listed in values.items() if key.startswith(f"{prefix}.")}


def combinations(values: Mapping[str, tuple[object, ...]]) -> list[Sets]:
    """Every choice of one value for each key, the last key's changing fastest."""
    return [tuple(zip(values, choice, strict=True)) for choice in itertools.product(*values.values())]


def _traces(workloads: Sequence[str | Path]) -> dict[str, Trace]:
    traces: dict[str, Trace] = {}
    faults: list[Fault] = []
    for workload in workloads:
        label = _label(str(workload))
        if label in traces:
            fix = "name each workload once; two files of one name need another name each"
            faults.append(Fault("sweep", 0, 0, str(workload), f"a second workload called {label}", fix))
            continue
        try:
            traces[label] = load_trace(workload)
        except UserError as error:
            faults.extend(error.faults)
    if not workloads:
        faults.append(Fault("sweep", 0, 0, "workloads", "none given", "give one or more names or trace files"))
    if faults:
        raise UserError(faults)
    return traces


def _label(workload: str) -> str:
    """What rows call a workload: never its folder, so that a table says nothing of the machine."""
    workload = workload.encode(errors="backslashreplace").decode()  # a file's name may hold bytes that are no text
    name = Path(workload).name if workload.endswith(TRACE_SUFFIXES) else workload
    suffix = next((suffix for suffix in TRACE_SUFFIXES if name.endswith(suffix)), "")
    return name.removesuffix(suffix) if suffix else name.lower().replace("-", "_")


def arch_faults(base: ArchSpec, values: dict[str, tuple[object, ...]]) -> list[Fault]:
    """Keys that are not in the schema, and values that it allows with no array of the sweep."""
    faults: list[Fault] = []
    override_layer({key: listed[0] for key, listed in values.items()}, faults)
    if faults:
        return faults
    data = base.model_dump(mode="json")
    contexts: list[dict[str, object]] = [{KIND_KEY: kind} for kind in values.get(KIND_KEY, ())] or [{}]
    for key, listed in values.items():
        for value in listed:
            found = [_schema_faults(data, context | {key: value}, key) for context in contexts]
            if all(found):
                faults += found[0]
    return faults


def _schema_faults(data: dict[str, Data], sets: dict[str, object], key: str) -> list[Fault]:
    """What the schema says about `key` once `sets` are laid over a spec's data."""
    faults: list[Fault] = []
    layer = merge(Layer(data), override_layer(sets, faults))
    try:
        ArchSpec.model_validate(layer.data)
    except ValidationError as error:
        faults += schema_faults(error, layer)
    return [fault for fault in faults if _is_about(fault.name, key)]


def _is_about(name: str, key: str) -> bool:
    return name == key or name.startswith((f"{key}.", f"{key}[")) or key.startswith(f"{name}.")


def _workload_faults(values: dict[str, tuple[object, ...]]) -> list[Fault]:
    """Keys and values that fail in every combination with the other workload keys."""
    probe = load_trace(_PROBE)

    def faults_of(sets: Sets) -> tuple[Fault, ...]:
        try:
            workload_overrides(probe, texts(sets))
        except UserError as error:
            return error.faults
        return ()

    return never_right(values, faults_of)


def never_right(values: dict[str, tuple[object, ...]], faults_of: Callable[[Sets], tuple[Fault, ...]]) -> list[Fault]:
    """The faults of values that fail in every combination with the values of the other keys.

    A fault is about the key that it names, or about every key below it.
    """
    blamed: dict[tuple[str, object], tuple[Fault, ...]] = {}
    fine: set[tuple[str, object]] = set()
    for sets in combinations(values):
        faults = faults_of(sets)
        for key, value in sets:
            about = tuple(fault for fault in faults if _is_about(fault.name, key))
            if about:
                blamed.setdefault((key, value), about)
            else:
                fine.add((key, value))
    return [fault for what, faults in blamed.items() if what not in fine for fault in faults]


def texts(sets: Sets) -> dict[str, str]:
    """Workload overrides as the texts that they are read from."""
    return {key: str(value) for key, value in sets}
