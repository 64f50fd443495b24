"""Trace files: what is written comes back, and every malformed one is answered in the user's words."""

from __future__ import annotations

import copy
import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import UserError
from accelsim.schemes import PsumScheme
from accelsim.workload import (
    ConvDims,
    Op,
    Oracle,
    Phase,
    Tensor,
    Trace,
    UnknownOp,
    VectorDims,
    load_trace,
    read_trace,
    shipped_workloads,
    trace_bytes,
    trace_hash,
    trace_json_schema,
    with_psum,
    workload_overrides,
    write_trace,
)
from accelsim.workload.trace_file import MAX_BYTES, parse_trace
from accelsim.workload.trace_json import from_json, to_json


def small_trace() -> Trace:
    """A conv with a psum scheme, a softmax that reads a view of its result, and an unknown op."""
    tensors = (
        Tensor("x", "activation", (1, 4, 8, 8), 8),
        Tensor("w", "weight", (6, 2, 3, 3), 4),
        Tensor("bias", "constant", (6,), 32),
        Tensor("y", "activation", (1, 6, 4, 4), 8),
        Tensor("y[0]", "activation", (4, 4), 8, "y"),
        Tensor("z", "activation", (4, 4), 8),
    )
    dims = ConvDims(n=1, groups=2, c=2, k=3, h=8, w=8, r=3, s=3, stride=(2, 2), padding=(1, 1))
    conv = Op(0, "conv", "conv", dims, ("x", "w", "bias"), ("y",), psum=PsumScheme(6, 2))
    softmax = Op(1, "softmax", "softmax", VectorDims(4, 4), ("y[0]",), ("z",), "softmax", (0,), causal=True)
    phase = Phase("encode", "encode", 1, 0, 1, (conv, softmax))
    oracle = Oracle(dims.macs, "by hand")
    return Trace("small", (("model", "Small"),), oracle, tensors, (phase,), (UnknownOp("topk", "gate", 2),))


def document() -> dict[str, object]:
    value = json.loads(to_json(small_trace()))
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("suffix", [".trace.json.gz", ".json"])
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"small{suffix}"
    write_trace(small_trace(), path)
    assert read_trace(path) == small_trace()
    assert load_trace(str(path)) == small_trace()
    assert list(tmp_path.iterdir()) == [path]


def test_equal_traces_give_equal_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json.gz", tmp_path / "b.json.gz"
    write_trace(small_trace(), first)
    write_trace(read_trace(first), second)
    assert first.read_bytes() == second.read_bytes() == trace_bytes(small_trace())
    assert first.read_bytes()[4:8] == b"\0\0\0\0"
    assert b"a.json" not in first.read_bytes()
    assert trace_hash(small_trace()) == trace_hash(read_trace(first)) != trace_hash(load_trace("matmul:1x2x3"))


def test_a_contradictory_trace_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "bad.json.gz"
    trace = small_trace()
    broken = Trace(trace.name, (), trace.oracle, trace.tensors[1:], trace.phases)
    with pytest.raises(UserError, match=r"phases\[0\]\.ops\[0\]\.inputs\[0\]"):
        write_trace(broken, path)
    assert not path.exists()


@pytest.mark.parametrize("name", shipped_workloads())
def test_shipped_traces_are_canonical(name: str) -> None:
    trace = load_trace(name)
    shipped = Path(__file__).parents[2] / "workloads" / f"{name}.trace.json.gz"
    assert to_json(trace).encode() == gzip.decompress(shipped.read_bytes())
    assert trace.macs == trace.oracle.macs
    assert not trace.unknown_ops


def test_bert_base() -> None:
    trace = load_trace("bert-base")
    assert trace == load_trace("bert_base")
    assert trace.macs == 11_174_215_680
    kinds = [op.kind for op in trace.phases[0].ops]
    assert (kinds.count("matmul"), kinds.count("softmax"), kinds.count("normalize")) == (97, 12, 25)


Change = Callable[[dict], object]  # type: ignore[type-arg]


def op(number: int, doc: dict) -> dict:  # type: ignore[type-arg]
    found = doc["phases"][0]["ops"][number]
    assert isinstance(found, dict)
    return found


MALFORMED: dict[str, tuple[Change, str, str]] = {
    "unknown top key": (lambda d: d.update(nmae="x"), "nmae", "did you mean 'name'"),
    "unknown tensor key": (lambda d: d["tensors"][0].update(bitz=8), "tensors[0].bitz", "did you mean 'bits'"),
    "unknown dims key": (lambda d: op(0, d)["dims"].update(strides=[1, 1]), "phases[0].ops[0].dims.strides", "stride"),
    "unknown op key": (lambda d: op(1, d).update(afer=[]), "phases[0].ops[1].afer", "did you mean 'after'"),
    "missing name": (lambda d: d.pop("name"), "name", "add the key 'name'"),
    "missing dim": (lambda d: op(0, d)["dims"].pop("k"), "phases[0].ops[0].dims.k", "add the key 'k'"),
    "missing kind": (lambda d: op(0, d).pop("kind"), "phases[0].ops[0].kind", "add the key 'kind'"),
    "unknown op kind": (lambda d: op(0, d).update(kind="cov"), "phases[0].ops[0].kind", "did you mean 'conv'"),
    "unknown phase kind": (lambda d: d["phases"][0].update(kind="prefil"), "phases[0].kind", "did you mean 'prefill'"),
    "unknown tensor kind": (lambda d: d["tensors"][1].update(kind="wait"), "tensors[1].kind", "allowed"),
    "schema version": (lambda d: d.update(schema_version=2), "schema_version", "allowed: 1"),
    "zero dim": (lambda d: op(0, d)["dims"].update(n=0), "phases[0].ops[0].dims.n", "greater than or equal to 1"),
    "negative dim": (lambda d: op(1, d)["dims"].update(rows=-4), "phases[0].ops[1].dims.rows", "greater than"),
    "fractional dim": (lambda d: op(1, d)["dims"].update(cols=4.0), "phases[0].ops[1].dims.cols", "valid integer"),
    "huge dim": (lambda d: op(1, d)["dims"].update(cols=2**70), "phases[0].ops[1].dims.cols", "less than or equal"),
    "text for a dim": (lambda d: op(0, d)["dims"].update(h="8"), "phases[0].ops[0].dims.h", "valid integer"),
    "true for bits": (lambda d: d["tensors"][0].update(bits=True), "tensors[0].bits", "valid integer"),
    "bits 0": (lambda d: d["tensors"][0].update(bits=0), "tensors[0].bits", "greater than or equal to 1"),
    "bits 65": (lambda d: d["tensors"][0].update(bits=65), "tensors[0].bits", "less than or equal to 64"),
    "NaN": (lambda d: d["oracle"].update(macs=float("nan")), "oracle.macs", "valid integer"),
    "infinite": (lambda d: d["tensors"][0].update(shape=[float("inf")]), "tensors[0].shape[0]", "valid integer"),
    "negative oracle": (lambda d: d["oracle"].update(macs=-1), "oracle.macs", "greater than or equal to 0"),
    "tensor id twice": (lambda d: d["tensors"][5].update(id="x"), "tensors[5].id", "once"),
    "op id twice": (lambda d: op(1, d).update(id=0, after=[]), "phases[0].ops[1].id", "its own id"),
    "op name twice": (lambda d: op(1, d).update(name="conv"), "phases[0].ops[1].name", "once"),
    "phase name twice": (lambda d: d["phases"].append(d["phases"][0] | {"ops": []}), "phases[1].name", "once"),
    "unknown tensor": (lambda d: op(0, d).update(inputs=["x", "ww"]), "phases[0].ops[0].inputs[1]", "did you mean 'w'"),
    "after itself": (lambda d: op(1, d).update(after=[1]), "phases[0].ops[1].after[0]", "earlier"),
    "after a later op": (lambda d: op(0, d).update(after=[1]), "phases[0].ops[0].after[0]", "earlier"),
    "ifmap shape": (lambda d: d["tensors"][0].update(shape=[4]), "phases[0].ops[0].inputs[0]", "n*groups*c*h*w = 256"),
    "weight shape": (lambda d: d["tensors"][1].update(shape=[9]), "phases[0].ops[0].inputs[1]", "= 108 elements"),
    "ofmap shape": (lambda d: op(0, d)["dims"].update(padding=[0, 0]), "phases[0].ops[0].outputs[0]", "= 54"),
    "bias shape": (lambda d: d["tensors"][2].update(shape=[7]), "phases[0].ops[0].inputs[2]", "divides"),
    "no output left": (lambda d: op(0, d)["dims"].update(dilation=[9, 9]), "phases[0].ops[0].dims", "shrink kernel"),
    "one conv input": (lambda d: op(0, d).update(inputs=["x"]), "phases[0].ops[0].inputs", "ifmap, weight"),
    "no outputs": (lambda d: op(1, d).update(outputs=[]), "phases[0].ops[1].outputs", "at least 1 item"),
    "group size": (lambda d: op(0, d)["psum"].update(bits=32), "phases[0].ops[0].psum", "needs bits below 16"),
    "psum on softmax": (lambda d: op(1, d).update(psum={"bits": 8}), "phases[0].ops[1].psum", "allowed"),
    "view of nothing": (lambda d: d["tensors"][4].update(view_of="q"), "tensors[4].view_of", "tensors"),
    "view of a view": (lambda d: d["tensors"][5].update(view_of="y[0]"), "tensors[5].view_of", "not itself a view"),
    "no phases": (lambda d: d.update(phases=[]), "phases", "at least 1 item"),
    "control character": (lambda d: d.update(name="a\x1b[2J"), "name", "match pattern"),
    "lone surrogate": (lambda d: d["tensors"][0].update(id="\ud800"), "tensors[0].id", "valid string"),
    "ops is an object": (lambda d: d["phases"][0].update(ops={}), "phases[0].ops", "valid list"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(case: str) -> None:
    change, path, fix = MALFORMED[case]
    broken = document()
    change(broken)
    with pytest.raises(UserError) as caught:
        from_json(json.dumps(broken), "bad.json")
    mine = [fault for fault in caught.value.faults if fault.name == path]
    assert mine, str(caught.value)
    assert fix in mine[0].fix
    assert mine[0].found
    assert str(caught.value).isascii()


def test_all_faults_at_once() -> None:
    broken = document()
    for case in ("unknown tensor key", "schema version", "zero dim", "text for a dim"):
        MALFORMED[case][0](broken)
    text = json.dumps(broken).replace('"name": "small"', '"name": "small", "name": "twice"')
    with pytest.raises(UserError) as caught:
        from_json(text, "bad.json")
    names = {fault.name for fault in caught.value.faults}
    dims = "phases[0].ops[0].dims"
    assert names == {"tensors[0].bitz", "schema_version", f"{dims}.n", f"{dims}.h", "name"}


@pytest.mark.parametrize("text", ["", "[", '{"a":1,}', "nul", "[" * 100_000, "9" * 10_000, "[]", "null", '"x"'])
def test_not_a_trace(text: str) -> None:
    with pytest.raises(UserError):
        from_json(text, "bad.json")


def test_syntax_fault_has_line_and_column() -> None:
    with pytest.raises(UserError) as caught:
        from_json('{\n"name": x}', "bad.json")
    assert str(caught.value).startswith("bad.json:2:9: JSON:")


def test_bytes_that_are_no_trace() -> None:
    good = trace_bytes(small_trace())
    for data in (
        b"",
        b"\x1f\x8b",
        good[:-9],
        good[:40],
        b"{}",
        good[:30] + b"\0\0\0" + good[33:],
        zlib.compress(b"{}"),
    ):
        with pytest.raises(UserError):
            parse_trace(data, "bad.json.gz")
    with pytest.raises(UserError, match="UTF-8"):
        parse_trace(b"\xff\xfe", "bad.json")
    with pytest.raises(UserError, match="64 MiB"):
        parse_trace(gzip.compress(b" " * (MAX_BYTES + 1), 1), "bomb.json.gz")


@pytest.mark.parametrize("name", ["/no/such/file.json", "./", "../x.yaml", "no_such", "", "bert-bas", "/"])
def test_names_that_lead_nowhere(name: str) -> None:
    with pytest.raises(UserError):
        load_trace(name)


def test_near_name_is_suggested() -> None:
    with pytest.raises(UserError, match="did you mean 'bert_base'"):
        load_trace("bert-bas")


def test_matmul_literal() -> None:
    trace = load_trace("matmul:2x128x768x3072")
    assert trace.macs == trace.oracle.macs == 2 * 128 * 768 * 3072
    assert from_json(to_json(trace), "x.json") == trace
    assert load_trace("matmul:128x768x3072").macs == 128 * 768 * 3072


@pytest.mark.parametrize("dims", ["", "1x2", "1x2x3x4x5", "0x1x1", "1x-1x1", "ax1x1", "1x1x1048577", "1 x1x1", "٣x1x1"])
def test_bad_matmul_literal(dims: str) -> None:
    with pytest.raises(UserError):
        load_trace(f"matmul:{dims}")


def test_psum_overrides() -> None:
    trace = load_trace("bert_base")
    overrides = {"workload.psum.bits": "8", "workload.psum.group_size": "4"}
    changed = workload_overrides(trace, overrides)
    assert changed == with_psum(trace, PsumScheme(8, 4))
    ops = changed.phases[0].ops
    assert {op.psum for op in ops if op.kind == "matmul"} == {PsumScheme(8, 4)}
    assert {op.psum for op in ops if op.kind != "matmul"} == {None}
    assert workload_overrides(trace, {}) is trace
    assert from_json(to_json(changed), "x.json") == changed


@pytest.mark.parametrize(
    ("overrides", "fix"),
    [
        ({"workload.psum.bit": "8"}, "did you mean 'workload.psum.bits'"),
        ({"workload.psum.group_size": "2"}, "also give workload.psum.bits"),
        ({"workload.psum.bits": "eight"}, "whole number"),
        ({"workload.psum.bits": "8.0"}, "whole number"),
        ({"workload.psum.bits": "-8"}, "whole number"),
        ({"workload.psum.bits": "1"}, "2..15"),
        ({"workload.psum.bits": "65"}, "2..15"),
        ({"workload.psum.bits": "32", "workload.psum.group_size": "2"}, "2..15"),
        ({"workload.psum.bits": "8", "workload.psum.group_size": "17"}, "1..16"),
        ({"workload.psum.bits": "8", "workload.psum.group_size": "1000000000000"}, "1..16"),
        ({"workload.psum.bits": "8", "workload.psum.group_size": "9" * 9999}, "a number of 9999 digits"),
    ],
)
def test_bad_overrides(overrides: dict[str, str], fix: str) -> None:
    with pytest.raises(UserError) as caught:
        workload_overrides(load_trace("bert_base"), overrides)
    assert fix in str(caught.value)


def test_an_override_that_changes_nothing() -> None:
    trace = small_trace()
    phase = trace.phases[0]
    vectors = Phase(phase.name, phase.kind, 1, 0, 1, phase.ops[1:])
    with pytest.raises(UserError, match="no matmul or conv"):
        workload_overrides(Trace("v", (), trace.oracle, trace.tensors, (vectors,)), {"workload.psum.bits": "8"})


def test_schema_names_every_key() -> None:
    text = json.dumps(trace_json_schema())
    assert all(f'"{key}"' in text for key in (*document(), "view_of", "dilation", "group_size", "causal"))


Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every path inside a JSON value but the top."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, child in items for place in ((*path, key), *places(child, (*path, key)))]


PLACES = places(document())


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(["set", "drop", "add"]), Json), min_size=1, max_size=3)
)
def test_mutated_traces_raise_only_user_errors(changes: list[tuple[tuple[str | int, ...], str, object]]) -> None:
    broken: object = copy.deepcopy(document())
    for path, action, value in changes:
        parent = broken
        try:
            for key in path[:-1]:
                parent = parent[key]  # type: ignore[index]
            if action == "drop":
                del parent[path[-1]]  # type: ignore[attr-defined]
            else:
                parent[path[-1] if action == "set" else "extra"] = value  # type: ignore[index]
        except (TypeError, KeyError, IndexError):
            continue  # an earlier change took the place away
    try:
        trace = from_json(json.dumps(broken), "fuzz.json")
    except UserError as error:
        answer = str(error)
    else:
        answer = to_json(trace)
        assert from_json(answer, "again.json") == trace
    assert answer.isascii()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 10**6))
def test_damaged_bytes_raise_only_user_errors(noise: bytes, where: int) -> None:
    data = trace_bytes(small_trace())
    where %= len(data)
    for name in ("fuzz.json.gz", "fuzz.json"):
        try:
            parse_trace(data[:where] + noise + data[where + len(noise) :], name)
        except UserError:
            continue
