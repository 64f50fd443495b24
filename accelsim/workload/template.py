"""One model's pass over any number of tokens behind any context: a trace whose sizes are affine in both.

Every extent and width of the trace is  value + sum of slope x (symbol - base)  over the symbols
`tokens, context, weight_bits, activation_bits, kv_bits`. Three such numbers (two bindings more than
symbols) decide each of them: `fit_template` takes the slopes from bindings that differ in one symbol
each and refuses unless further bindings, one of which differs in all, come out equal.
"""

from __future__ import annotations

import gzip
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from accelsim.errors import UserError, did_you_mean, user_error
from accelsim.workload.trace import MatmulDims, Op, Oracle, Phase, PhaseKind, Tensor, Trace, VectorDims
from accelsim.workload.trace_file import read_bounded, unzip
from accelsim.workload.trace_json import from_json, to_json

TEMPLATE_SUFFIX = ".template.json.gz"
SYMBOLS = ("tokens", "context", "weight_bits", "activation_bits", "kv_bits")
MAX_FILE_BYTES = 16 * 2**20
BOUND_HERE = ("tokens", "context", "assumed_bits")
"""Provenance entries that a binding states anew."""

Slopes = tuple[int, ...]
Place = tuple[str, int]
"""Which list of the trace, and which of its entries."""


@dataclass(frozen=True)
class Binding:
    """Values of the symbols: new tokens, tokens in the KV cache before them, and widths in bits."""

    tokens: int
    context: int
    weight_bits: int = 8
    activation_bits: int = 8
    kv_bits: int = 8

    @property
    def values(self) -> tuple[int, ...]:
        return tuple(int(getattr(self, name)) for name in SYMBOLS)


@dataclass(frozen=True)
class TraceTemplate:
    """A trace at `base`, and the slopes of every number in it that changes with the symbols.

    `max_tokens`: where the model's learned positions, or the window of its attention, end; None where nothing does.
    """

    base: Binding
    trace: Trace
    slopes: Mapping[Place, Mapping[tuple[str, int | str], Slopes]]
    max_tokens: int | None = None

    @property
    def name(self) -> str:
        return self.trace.name

    def bind(self, kind: PhaseKind, binding: Binding) -> Trace:
        """The trace of one pass. ValueError for fewer than one token, a negative context or width, and more tokens
        in all than `max_tokens`."""
        if binding.tokens < 1 or binding.context < 0 or min(binding.values[2:]) < 1:
            raise ValueError(f"{self.name} cannot run {binding}")
        if self.max_tokens is not None and binding.tokens + binding.context > self.max_tokens:
            raise ValueError(f"{self.name} ends at {self.max_tokens} tokens: it cannot run {binding}")
        moved = [new - old for new, old in zip(binding.values, self.base.values, strict=True)]
        tensors, ops = list(self.trace.tensors), list(self.trace.phases[0].ops)
        for (where, number), changes in self.slopes.items():
            by = {key: sum(map(int.__mul__, slope, moved)) for key, slope in changes.items()}
            if where == "tensors":
                tensors[number] = _resized(tensors[number], by)
            else:
                ops[number] = replace(ops[number], dims=_grown(ops[number], by))
        widths = f"weight {binding.weight_bits}, activation {binding.activation_bits}, kv {binding.kv_bits}"
        stated = (("tokens", str(binding.tokens)), ("context", str(binding.context)), ("assumed_bits", widths))
        phase = Phase(kind, kind, binding.tokens, binding.context, self.trace.phases[0].batch, tuple(ops))
        return replace(
            self.trace,
            name=f"{self.name}_{kind}_{binding.tokens}_{binding.context}",
            provenance=(*self.trace.provenance, *stated),
            tensors=tuple(tensors),
            phases=(phase,),
        )


def _resized(tensor: Tensor, by: Mapping[tuple[str, int | str], int]) -> Tensor:
    shape = tuple(extent + by.get(("shape", axis), 0) for axis, extent in enumerate(tensor.shape))
    return replace(tensor, shape=shape, bits=tensor.bits + by.get(("bits", 0), 0))


def _grown(op: Op, by: Mapping[tuple[str, int | str], int]) -> MatmulDims | VectorDims:
    if not isinstance(op.dims, MatmulDims | VectorDims):
        raise ValueError(f"{op.name} is a conv, whose sizes no token changes")
    return replace(op.dims, **{str(key): getattr(op.dims, str(key)) + step for (_, key), step in by.items()})


def fit_template(name: str, traces: Mapping[Binding, Trace], max_tokens: int | None = None) -> TraceTemplate:
    """The template of one model's traces: a base, one that differs from it in each symbol, and proofs.

    ValueError when they are not that, are not alike but for their numbers, or a proof is not
    what the others foretell.
    """
    traces = {binding: _numbered_views(trace) for binding, trace in traces.items()}
    bindings = list(traces)
    base, single, proofs = bindings[0], bindings[1 : 1 + len(SYMBOLS)], bindings[1 + len(SYMBOLS) :]
    steps = [[new - old for new, old in zip(one.values, base.values, strict=True)] for one in single]
    if not proofs or any([axis for axis, step in enumerate(each) if step] != [want] for want, each in enumerate(steps)):
        raise ValueError("a template needs a base, one binding for each symbol in turn, and proofs")
    start = _numbers(traces[base])
    slopes: dict[Place, dict[tuple[str, int | str], Slopes]] = {}
    others = [_numbers(traces[one]) for one in single]
    if any(each.keys() != start.keys() for each in others):
        raise ValueError(f"the traces of {name} differ in more than numbers")
    for (place, key), value in start.items():
        found = []
        for axis, each in enumerate(others):
            slope, rest = divmod(each[place, key] - value, steps[axis][axis])
            if rest:
                raise ValueError(f"{name}: {place} {key} is not affine in {SYMBOLS[axis]}")
            found.append(slope)
        if any(found):
            slopes.setdefault(place, {})[key] = tuple(found)
    oracle = Oracle(None, f"each of {len(bindings)} bindings equals {traces[base].oracle.method}")
    plain = tuple(entry for entry in traces[base].provenance if entry[0] not in BOUND_HERE)
    template = TraceTemplate(
        base, replace(traces[base], name=name, provenance=plain, oracle=oracle), slopes, max_tokens
    )
    for binding in bindings:
        expected, trace = traces[binding], template.bind(traces[binding].phases[0].kind, binding)
        if (trace.tensors, trace.phases) != (expected.tensors, expected.phases):
            raise ValueError(f"{name} at {binding} is not what its other bindings foretell")
        if expected.oracle.macs != trace.macs:
            raise ValueError(f"{name} at {binding} has {trace.macs} MACs, the oracle counts {expected.oracle.macs}")
    return template


def _numbered_views(trace: Trace) -> Trace:
    """Views of a tensor by their number: an exported trace calls them by their shape."""
    names: dict[str, str] = {}
    seen: Counter[str] = Counter()
    for tensor in trace.tensors:
        if tensor.view_of is not None:
            seen[tensor.view_of] += 1
            names[tensor.id] = f"{tensor.view_of}:view{seen[tensor.view_of]}"
    tensors = tuple(replace(tensor, id=names.get(tensor.id, tensor.id)) for tensor in trace.tensors)
    phases = tuple(
        replace(phase, ops=tuple(replace(op, inputs=_renamed(op.inputs, names)) for op in phase.ops))
        for phase in trace.phases
    )
    return replace(trace, tensors=tensors, phases=phases)


def _renamed(ids: tuple[str, ...], names: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(names.get(each, each) for each in ids)


def _numbers(trace: Trace) -> dict[tuple[Place, tuple[str, int | str]], int]:
    """Every extent and width of the trace by its place."""
    numbers: dict[tuple[Place, tuple[str, int | str]], int] = {}
    for number, tensor in enumerate(trace.tensors):
        place = ("tensors", number)
        numbers |= {(place, ("shape", axis)): extent for axis, extent in enumerate(tensor.shape)}
        numbers[place, ("bits", 0)] = tensor.bits
    for number, op in enumerate(trace.phases[0].ops):
        if isinstance(op.dims, MatmulDims | VectorDims):
            numbers |= {(("ops", number), ("dims", key)): extent for key, extent in vars(op.dims).items()}
    return numbers


def template_bytes(template: TraceTemplate) -> bytes:
    """The file of a template: equal templates give equal bytes."""
    slopes = [
        [*place, *key, list(slope)] for place, changes in template.slopes.items() for key, slope in changes.items()
    ]
    ends = {} if template.max_tokens is None else {"max_tokens": template.max_tokens}
    trace = json.loads(to_json(template.trace))
    document = {"base": list(template.base.values), **ends, "slopes": slopes, "trace": trace}
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, compresslevel=9, mtime=0) as stream:
        stream.write(json.dumps(document, separators=(",", ":")).encode("ascii"))
    return buffer.getvalue()


def shipped_templates() -> list[str]:
    """Names of the models that come as templates, sorted."""
    names = (entry.name for entry in files("workloads").iterdir())
    return sorted(name.removesuffix(TEMPLATE_SUFFIX) for name in names if name.endswith(TEMPLATE_SUFFIX))


@lru_cache(maxsize=16)
def load_template(path_or_name: str) -> TraceTemplate:
    """The template of a shipped name (`_` may be spelled `-`) or a `.template.json.gz` file. Raises UserError."""
    if path_or_name.endswith(TEMPLATE_SUFFIX):
        try:
            return parse_template(read_bounded(Path(path_or_name), MAX_FILE_BYTES), path_or_name)
        except OSError as error:
            fix = "name a readable template file"
            raise user_error(path_or_name, "file", error.strerror or str(error), fix) from None
    name = path_or_name.lower().replace("-", "_")
    if name not in shipped_templates():
        fix = did_you_mean(name, shipped_templates()) + f"; or a file that ends in {TEMPLATE_SUFFIX}"
        raise user_error("model", path_or_name or "(empty)", "no shipped language model has this name", fix)
    file = f"{name}{TEMPLATE_SUFFIX}"
    return parse_template((files("workloads") / file).read_bytes(), file)


def parse_template(data: bytes, file: str) -> TraceTemplate:
    """The template in the bytes of a file. Raises UserError, also for a trace in it that is none."""
    try:
        document = json.loads(unzip(data, file))
        base, entries, trace = document["base"], document["slopes"], document["trace"]
        slopes: dict[Place, dict[tuple[str, int | str], Slopes]] = {}
        for where, number, what, key, slope in entries:
            slopes.setdefault((where, number), {})[what, key] = _checked(slope)
        ends = document.get("max_tokens")
        if ends is not None and type(ends) is not int:
            raise ValueError("max_tokens is no whole number")
        template = TraceTemplate(Binding(*_checked(base)), from_json(json.dumps(trace), file), slopes, ends)
        template.bind("verify", Binding(2, 2))
    except UserError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        fix = "write it anew: `accelsim trace --template MODEL` or `accelsim trace --template --config F.json`"
        raise user_error(file, "file", "not a template of a language model", fix) from None
    return template


def _checked(numbers: Sequence[int]) -> Slopes:
    if len(numbers) != len(SYMBOLS) or any(type(number) is not int for number in numbers):
        raise ValueError("not one whole number for each symbol")
    return tuple(numbers)
