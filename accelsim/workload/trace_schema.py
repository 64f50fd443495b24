"""The trace file's format as pydantic models: what each key may hold, and the dataclasses it makes.

Only what one value alone can get wrong is checked here; what values say about each other (ids that
exist, shapes that fit) is in `trace_check`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from accelsim.schemes import CodebookScheme, LutScheme, PsumScheme, QuantScheme, RotationScheme
from accelsim.schemes.quant import Granularity
from accelsim.workload.trace import (
    SCHEMA_VERSION,
    ConvDims,
    MatmulDims,
    Op,
    Oracle,
    Phase,
    PhaseKind,
    Tensor,
    TensorKind,
    Trace,
    UnknownOp,
    VectorDims,
)

MAX_EXTENT = 2**32
MAX_COUNT = 2**62  # MACs and bits are summed in int64

Text = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+$")]
LongText = Annotated[str, Field(max_length=10_000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]
Extent = Annotated[int, Field(ge=1, le=MAX_EXTENT)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Bits = Annotated[int, Field(ge=1, le=64)]
Pair = tuple[Extent, Extent]
PaddingPair = tuple[Annotated[int, Field(ge=0, le=MAX_EXTENT)], Annotated[int, Field(ge=0, le=MAX_EXTENT)]]
VectorKind = Literal[
    "nonlinear", "normalize", "softmax", "elementwise", "reduce", "rotate", "kv_append", "gather", "scan", "copy",
]  # fmt: skip


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class CodebookModel(_Model):
    block_rows: int
    block_cols: int
    entries: int
    group: int | None = None
    value_bits: int = 4
    scale_bits: int = 16

    @model_validator(mode="after")
    def _possible(self) -> CodebookModel:
        self.build()
        return self

    def build(self) -> CodebookScheme:
        return CodebookScheme(
            self.block_rows, self.block_cols, self.entries, self.group, self.value_bits, self.scale_bits
        )


class RotationModel(_Model):
    width: int
    points: int
    order: int = 1
    local: bool = False
    seed: int | None = None

    @model_validator(mode="after")
    def _possible(self) -> RotationModel:
        self.build()
        return self

    def build(self) -> RotationScheme:
        return RotationScheme(self.width, self.points, self.order, self.local, self.seed)


class QuantModel(_Model):
    bits: int
    granularity: Granularity = "tensor"

    @model_validator(mode="after")
    def _possible(self) -> QuantModel:
        self.build()
        return self

    def build(self) -> QuantScheme:
        return QuantScheme(self.bits, self.granularity)


class TensorModel(_Model):
    id: Text
    kind: TensorKind
    shape: Annotated[list[Extent], Field(max_length=16)]
    bits: Bits
    view_of: Text | None = None
    quant: QuantModel | None = None
    codebook: CodebookModel | None = None
    zeros: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0

    def build(self) -> Tensor:
        quant = None if self.quant is None else self.quant.build()
        codebook = None if self.codebook is None else self.codebook.build()
        return Tensor(self.id, self.kind, tuple(self.shape), self.bits, self.view_of, quant, codebook, self.zeros)


class MatmulDimsModel(_Model):
    b: Extent
    g: Extent
    m: Extent
    k: Extent
    n: Extent

    def build(self) -> MatmulDims:
        return MatmulDims(self.b, self.g, self.m, self.k, self.n)


class ConvDimsModel(_Model):
    n: Extent
    groups: Extent
    c: Extent
    k: Extent
    h: Extent
    w: Extent
    r: Extent
    s: Extent
    stride: Annotated[Pair, Field(strict=False)] = (1, 1)
    padding: Annotated[PaddingPair, Field(strict=False)] = (0, 0)
    dilation: Annotated[Pair, Field(strict=False)] = (1, 1)

    def build(self) -> ConvDims:
        sizes = (self.n, self.groups, self.c, self.k, self.h, self.w, self.r, self.s)
        return ConvDims(*sizes, self.stride, self.padding, self.dilation)


class VectorDimsModel(_Model):
    rows: Extent
    cols: Extent

    def build(self) -> VectorDims:
        return VectorDims(self.rows, self.cols)


class PsumModel(_Model):
    bits: int
    group_size: int = 1
    k_tile: int | None = None

    @model_validator(mode="after")
    def _possible(self) -> PsumModel:
        self.build()
        return self

    def build(self) -> PsumScheme:
        return PsumScheme(self.bits, self.group_size, self.k_tile)


class _OpModel(_Model):
    id: Count
    name: Text
    inputs: list[Text]
    outputs: Annotated[list[Text], Field(min_length=1)]
    function: Text | None = None
    after: list[Count] = []
    causal: bool = False


class MatmulOpModel(_OpModel):
    kind: Literal["matmul"]
    dims: MatmulDimsModel
    psum: PsumModel | None = None


class ConvOpModel(_OpModel):
    kind: Literal["conv"]
    dims: ConvDimsModel
    psum: PsumModel | None = None


class VectorOpModel(_OpModel):
    kind: VectorKind
    dims: VectorDimsModel
    rotation: RotationModel | None = None
    luts: Annotated[list[dict[str, object]], Field(max_length=8)] = []
    """As `LutScheme.to_dict` writes them."""

    @field_validator("luts")
    @classmethod
    def _possible(cls, luts: list[dict[str, object]]) -> list[dict[str, object]]:
        for lut in luts:
            LutScheme.from_dict(lut)
        return luts


OpModel = Annotated[MatmulOpModel | ConvOpModel | VectorOpModel, Field(discriminator="kind")]


def _build_op(op: MatmulOpModel | ConvOpModel | VectorOpModel) -> Op:
    scheme = None if isinstance(op, VectorOpModel) or op.psum is None else op.psum.build()
    vector = op if isinstance(op, VectorOpModel) else None
    return Op(
        op.id,
        op.name,
        op.kind,
        op.dims.build(),
        tuple(op.inputs),
        tuple(op.outputs),
        op.function,
        tuple(op.after),
        scheme,
        op.causal,
        luts=() if vector is None else tuple(LutScheme.from_dict(lut) for lut in vector.luts),
        rotation=None if vector is None or vector.rotation is None else vector.rotation.build(),
    )


class PhaseModel(_Model):
    name: Text
    kind: PhaseKind
    tokens: Extent
    context: Annotated[int, Field(ge=0, le=MAX_EXTENT)]
    batch: Extent
    ops: list[OpModel]

    def build(self) -> Phase:
        ops = tuple(_build_op(op) for op in self.ops)
        return Phase(self.name, self.kind, self.tokens, self.context, self.batch, ops)


class OracleModel(_Model):
    macs: Count | None
    method: LongText


class UnknownOpModel(_Model):
    function: Text
    module: LongText
    count: Extent


class TraceModel(_Model):
    """One file."""

    schema_version: Literal[SCHEMA_VERSION]  # type: ignore[valid-type]
    name: Text
    provenance: dict[Text, LongText]
    oracle: OracleModel
    tensors: list[TensorModel]
    phases: Annotated[list[PhaseModel], Field(min_length=1)]
    unknown_ops: list[UnknownOpModel] = []

    def build(self) -> Trace:
        """The dataclasses that the simulator works with; the schema version stays in the file."""
        return Trace(
            name=self.name,
            provenance=tuple(self.provenance.items()),
            oracle=Oracle(self.oracle.macs, self.oracle.method),
            tensors=tuple(tensor.build() for tensor in self.tensors),
            phases=tuple(phase.build() for phase in self.phases),
            unknown_ops=tuple(UnknownOp(op.function, op.module, op.count) for op in self.unknown_ops),
        )


# Which model stands where, by the path without its list indices; an op's path has its kind in it.
MODEL_AT: dict[tuple[str, ...], type[BaseModel]] = {
    (): TraceModel,
    ("oracle",): OracleModel,
    ("tensors",): TensorModel,
    ("tensors", "quant"): QuantModel,
    ("tensors", "codebook"): CodebookModel,
    ("phases",): PhaseModel,
    ("unknown_ops",): UnknownOpModel,
    ("phases", "ops", "matmul"): MatmulOpModel,
    ("phases", "ops", "matmul", "dims"): MatmulDimsModel,
    ("phases", "ops", "matmul", "psum"): PsumModel,
    ("phases", "ops", "conv"): ConvOpModel,
    ("phases", "ops", "conv", "dims"): ConvDimsModel,
    ("phases", "ops", "conv", "psum"): PsumModel,
    **{("phases", "ops", kind): VectorOpModel for kind in VectorKind.__args__},  # type: ignore[attr-defined]
    **{("phases", "ops", kind, "dims"): VectorDimsModel for kind in VectorKind.__args__},  # type: ignore[attr-defined]
    **{("phases", "ops", kind, "rotation"): RotationModel for kind in VectorKind.__args__},  # type: ignore[attr-defined]
}


def trace_json_schema() -> dict[str, object]:
    """The JSON schema of the (unzipped) trace file, draft 2020-12."""
    schema: Callable[[], dict[str, object]] = TraceModel.model_json_schema
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema()
