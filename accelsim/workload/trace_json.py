"""A trace as JSON text: one canonical spelling out, every mistake of a foreign one in."""

from __future__ import annotations

import json
import reprlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import islice

from pydantic import ValidationError

from accelsim.errors import Fault, UserError, did_you_mean, user_error
from accelsim.workload.trace import SCHEMA_VERSION, ConvDims, Op, Phase, Tensor, Trace
from accelsim.workload.trace_check import check_trace
from accelsim.workload.trace_schema import MODEL_AT, TraceModel

MAX_FAULTS = 100
"""Faults of the schema that are told; a file with more is no trace."""
MAX_PARTS = 1_000_000
"""Values of a file, about; the largest shipped trace has 18 thousand, and each takes some hundred bytes."""


def to_json(trace: Trace) -> str:
    """Canonical JSON: fixed key order, defaults left out, one tensor or op a line, ASCII."""
    head = {"schema_version": SCHEMA_VERSION, "name": trace.name, "provenance": dict(trace.provenance)}
    parts = [f"{_compact(key)}:{_compact(value)}" for key, value in head.items()]
    parts.append(f'"oracle":{_compact(asdict(trace.oracle))}')
    parts.append(f'"tensors":{_lines(_compact(_tensor(tensor)) for tensor in trace.tensors)}')
    parts.append(f'"phases":{_lines(_phase(phase) for phase in trace.phases)}')
    parts.append(f'"unknown_ops":{_lines(_compact(asdict(op)) for op in trace.unknown_ops)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def from_json(text: str, file: str) -> Trace:
    """The trace that `text` spells; `file` is named in faults.

    Raises UserError with every fault of the text: its syntax first, then its values, then what they
    say about each other.
    """
    document = _parse(text, file)
    faults = [
        Fault(file, 0, 0, path, "this key stands here twice", "keep one of the two")
        for path in islice(_duplicates(document), MAX_FAULTS)
    ]
    try:
        trace = TraceModel.model_validate(document).build()
    except ValidationError as error:
        details = error.errors(include_url=False)
        faults += [_fault(dict(detail), file) for detail in details[:MAX_FAULTS]]
        if len(details) > MAX_FAULTS:
            found = f"{len(details)} faults, of which {MAX_FAULTS} are shown"
            faults.append(Fault(file, 0, 0, "(top level)", found, "is this file a trace?"))
        raise UserError(faults) from None
    faults += [Fault(file, 0, 0, *finding) for finding in check_trace(trace)]
    if faults:
        raise UserError(faults)
    return trace


class _Object(dict[str, object]):
    """A JSON object that remembers which keys it was given twice."""

    repeated: tuple[str, ...] = ()


def _parse(text: str, file: str) -> object:
    def pairs(items: list[tuple[str, object]]) -> _Object:
        result = _Object(items)
        if len(result) < len(items):
            times = Counter(key for key, _ in items)
            result.repeated = tuple(sorted(key for key in times if times[key] > 1))
        return result

    parts = sum(map(text.count, ",[{"))  # at least the number of values, whatever the nesting
    if parts > MAX_PARTS:
        raise user_error(file, "JSON", f"about {parts} values", f"split the trace; {MAX_PARTS} is the most")
    try:
        return json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        fault = Fault(file, error.lineno, error.colno, "JSON", error.msg, "correct the JSON syntax")
        raise UserError([fault]) from None
    except RecursionError:
        raise UserError([Fault(file, 0, 0, "JSON", "too deeply nested", "a trace has six levels")]) from None
    except ValueError:  # an integer of thousands of digits
        raise UserError([Fault(file, 0, 0, "JSON", "a number is too long", "use numbers below 2**62")]) from None


def _duplicates(value: object, path: tuple[str | int, ...] = ()) -> Iterator[str]:
    if isinstance(value, _Object):
        yield from (_path_text((*path, key)) for key in value.repeated)
        for key, child in value.items():
            yield from _duplicates(child, (*path, key))
    elif isinstance(value, list):
        for number, child in enumerate(value):
            yield from _duplicates(child, (*path, number))


def _fault(detail: Mapping[str, object], file: str) -> Fault:
    """One pydantic complaint in this project's words."""
    location, kind, value = detail["loc"], str(detail["type"]), detail["input"]
    assert isinstance(location, tuple)
    context = detail.get("ctx")
    message = str(detail["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    found = reprlib.repr(value) if isinstance(value, str | int | float | bool | None) else _json_type(value)
    fix = message
    if kind == "extra_forbidden":
        found, fix = f"unknown key {location[-1]!a}", did_you_mean(str(location[-1]), _keys_at(location[:-1]))
    elif kind == "missing":
        found, fix = "missing", f"add the key {location[-1]!r}"
    elif kind == "union_tag_not_found":
        location, found, fix = (*location, "kind"), "missing", "add the key 'kind'"
    elif kind in ("literal_error", "union_tag_invalid"):
        location = (*location, "kind") if kind == "union_tag_invalid" else location
        fix = _literal_fix(value, context)
        found = ascii(value.get("kind")) if isinstance(value, Mapping) else found
    return Fault(file, 0, 0, _path_text(_without_tags(location)), _ascii(found), _ascii(fix))


def _literal_fix(value: object, context: object) -> str:
    assert isinstance(context, Mapping)
    word = value.get("kind") if isinstance(value, Mapping) else value
    text = str(context.get("expected", context.get("expected_tags", "")))
    choices = [part.strip(" '") for part in text.replace(" or ", ",").split(",")]
    return did_you_mean(str(word), choices)


def _keys_at(location: tuple[str | int, ...]) -> list[str]:
    return list(MODEL_AT[tuple(part for part in location if isinstance(part, str))].model_fields)


def _without_tags(location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Drops the op kind that pydantic puts behind the index of an op."""
    tagged = len(location) > 4 and location[0] == "phases" and location[2] == "ops"
    return location[:4] + location[5:] if tagged and location[4] != "kind" else location


def _path_text(path: tuple[str | int, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return _ascii(text.removeprefix(".")) or "(top level)"


def _json_type(value: object) -> str:
    return "an object" if isinstance(value, Mapping) else "a list" if isinstance(value, list) else repr(value)


def _ascii(text: str) -> str:
    """Foreign text made safe to print on any terminal."""
    return text.encode("ascii", "backslashreplace").decode() if text.isprintable() else ascii(text)[1:-1]


def _tensor(tensor: Tensor) -> dict[str, object]:
    fields: dict[str, object] = {"id": tensor.id, "kind": tensor.kind, "shape": tensor.shape, "bits": tensor.bits}
    quant = None if tensor.quant is None else asdict(tensor.quant)
    codebook = None if tensor.codebook is None else tensor.codebook.to_dict()
    optional = {"view_of": tensor.view_of, "quant": quant, "codebook": codebook, "zeros": tensor.zeros or None}
    return fields | {key: value for key, value in optional.items() if value is not None}


def _phase(phase: Phase) -> str:
    head = {"name": phase.name, "kind": phase.kind, "tokens": phase.tokens, "context": phase.context}
    head["batch"] = phase.batch
    return f'{_compact(head)[:-1]},"ops":{_lines(_compact(_op(op)) for op in phase.ops)}}}'


def _op(op: Op) -> dict[str, object]:
    fields: dict[str, object] = {"id": op.id, "name": op.name, "kind": op.kind, "dims": _dims(op)}
    fields |= {"inputs": op.inputs, "outputs": op.outputs}
    psum = None if op.psum is None else asdict(op.psum)
    luts = [scheme.to_dict() for scheme in op.luts]
    rotation = None if op.rotation is None else op.rotation.to_dict()
    optional: dict[str, object] = {"function": op.function, "after": op.after, "causal": op.causal, "psum": psum}
    optional |= {"luts": luts, "rotation": rotation}
    return fields | {key: value for key, value in optional.items() if value}


def _dims(op: Op) -> dict[str, object]:
    fields = asdict(op.dims)
    if isinstance(op.dims, ConvDims):
        defaults = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1)}
        return {key: value for key, value in fields.items() if value != defaults.get(key)}
    return fields


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _lines(items: Iterator[str]) -> str:
    body = ",\n".join(items)
    return f"[\n{body}\n]" if body else "[]"
