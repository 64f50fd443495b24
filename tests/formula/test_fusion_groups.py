"""Which ops of a phase are found to run as one: by their tensors, whatever they are called."""

from __future__ import annotations

import dataclasses

import pytest

from accelsim import load_trace
from accelsim.mapping.fusion import Fusion, candidates
from accelsim.workload.trace import MatmulDims, Op, Oracle, Phase, Tensor, Trace, VectorDims

B, M, D, N = 2, 6, 4, 5


def tensor(name: str, *shape: int, kind: str = "activation", view_of: str | None = None) -> Tensor:
    return Tensor(name, kind, shape, 8, view_of)  # type: ignore[arg-type]


TENSORS = (
    tensor("q", B, M, D), tensor("k", B, N, D, kind="kv"), tensor("v", B, N, D), tensor("s", B, M, N),
    tensor("scaled", B, M, N), tensor("mask", 1, M, N, kind="constant"), tensor("p", B, M, N), tensor("o", B, M, D),
    tensor("again", B, M, N), tensor("w", D, D, kind="weight"), tensor("y", B, M, D), tensor("z", B, M, D),
    tensor("part", 1, M, N, view_of="p"),
)  # fmt: skip
QK = Op(0, "one", "matmul", MatmulDims(B, 1, M, D, N), ("q", "k"), ("s",))
SCALE = Op(1, "two", "elementwise", VectorDims(B * M, N), ("s", "mask"), ("scaled",), "add")
SOFTMAX = Op(2, "three", "softmax", VectorDims(B * M, N), ("scaled",), ("p",), "softmax")
PV = Op(3, "four", "matmul", MatmulDims(B, 1, M, N, D), ("p", "v"), ("o",))
LINEAR = Op(4, "five", "matmul", MatmulDims(1, 1, B * M, D, D), ("o", "w"), ("y",))
GELU = Op(5, "six", "nonlinear", VectorDims(B * M, D), ("y",), ("z",), "gelu")
ALL = (QK, SCALE, SOFTMAX, PV, LINEAR, GELU)


def found(fusion: Fusion, *ops: Op) -> list[tuple[str, list[int], tuple[int, ...]]]:
    phase = Phase("encode", "encode", M, M, 1, ops)
    trace = Trace("t", (), Oracle(None, ""), TENSORS, (phase,))
    return [(c.kind, [op.id for op in c.ops], c.through) for c in candidates(trace, phase, fusion)]


def test_attention_and_chains() -> None:
    assert found("none", *ALL) == []
    assert found("attention", *ALL) == [("attention", [0, 1, 2, 3], (0, 0, 0))]
    assert found("auto", *ALL) == [("attention", [0, 1, 2, 3], (0, 0, 0)), ("chain", [4, 5], (0,))]
    swapped = dataclasses.replace(SCALE, inputs=("mask", "s"))
    assert found("attention", QK, swapped, SOFTMAX, PV) == [("attention", [0, 1, 2, 3], (1, 0, 0))]


@pytest.mark.parametrize(
    "ops",
    [
        (*ALL[:4], dataclasses.replace(GELU, inputs=("s",), outputs=("again",))),  # the scores are read twice
        (*ALL[:4], dataclasses.replace(GELU, inputs=("part",), outputs=("again",))),  # a view of probabilities is
        (QK, SCALE, SOFTMAX, dataclasses.replace(PV, dims=MatmulDims(1, 1, B * M, N, D))),  # other rows
        (QK, SCALE, SOFTMAX, dataclasses.replace(PV, inputs=("v", "p"))),  # probabilities as the weight
        (QK, SCALE, dataclasses.replace(SOFTMAX, dims=VectorDims(M * N, B)), PV),  # normalised along another axis
        (QK, dataclasses.replace(SCALE, inputs=("s", "w")), SOFTMAX, PV),  # an operand of no shape that goes along
        (QK, dataclasses.replace(SOFTMAX, inputs=("s",), kind="nonlinear", function="relu"), PV),  # no softmax
        (QK, SCALE, SOFTMAX),
    ],
)
def test_what_is_no_attention(ops: tuple[Op, ...]) -> None:
    assert found("attention", *ops) == []


def test_a_chain_ends_where_sizes_change_or_another_op_reads_too() -> None:
    residual = Op(6, "seven", "elementwise", VectorDims(B * M, D), ("o", "z"), ("q",), "add")
    assert found("auto", LINEAR, GELU, residual) == [("chain", [4, 5, 6], (0, 1))]
    other = Op(7, "eight", "nonlinear", VectorDims(B * M, D), ("z",), ("o",), "relu")
    assert found("auto", LINEAR, GELU, residual, other) == [("chain", [4, 5], (0,))]
    mean = dataclasses.replace(GELU, kind="normalize", function="layernorm")
    assert found("auto", LINEAR, mean) == []


@pytest.mark.parametrize(
    ("workload", "groups", "dims"),
    [
        ("bert_base", 12, MatmulDims(12, 1, 128, 64, 128)),
        ("llama2_7b_prefill_2048", 32, MatmulDims(32, 1, 2048, 128, 2048)),
        ("segformer_b0", 8, MatmulDims(1, 1, 16384, 32, 256)),
        ("vit_b_16", 12, MatmulDims(12, 1, 197, 64, 197)),
        ("efficientvit_b1", 0, None),
    ],
)
def test_shipped_models(workload: str, groups: int, dims: MatmulDims | None) -> None:
    trace = load_trace(workload)
    attentions = candidates(trace, trace.phases[0], "attention")
    assert len(attentions) == groups
    assert [[op.kind for op in each.ops] for each in attentions] == [["matmul", "softmax", "matmul"]] * groups
    assert not attentions or attentions[0].ops[0].dims == dims
    if workload == "bert_base":
        assert attentions[0].name == "encoder.layer.0.attention.self.(qk, softmax, pv)"
        chains = [c for c in candidates(trace, trace.phases[0], "auto") if c.kind == "chain"]
        assert len(chains) == 37
        assert {tuple(op.function for op in c.ops[1:]) for c in chains} == {("gelu",), ("add",), ("tanh",)}
