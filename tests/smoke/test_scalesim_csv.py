"""SCALE-Sim topology files: what their layers become, and what each mistake in one is answered with."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from accelsim.cli import cli
from accelsim.errors import UserError
from accelsim.workload import ConvDims, MatmulDims, Trace, load_trace

CONV = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,"
GEMM = "Layer, M, N, K,"


def read(folder: Path, *lines: str, name: str = "net.csv") -> Trace:
    path = folder / name
    path.write_text("\n".join(lines))
    return load_trace(path)


def test_convolutions(tmp_path: Path) -> None:
    """Spaces, blank lines, comments behind the last comma and rows without it, as the shipped files have them."""
    trace = read(
        tmp_path, CONV, ",,,,,,,,", "Conv1, 227, 227, 11, 11, 3, 96, 4,", "",
        "\tdw_1 ,112,112,3,3,1,1,1,#dw", "FC,1,1,1,1,1024,1000,1",
    )  # fmt: skip
    assert trace.name == "net"
    assert [(op.name, op.dims) for op in trace.phases[0].ops] == [
        ("Conv1", ConvDims(1, 1, 3, 96, 227, 227, 11, 11, (4, 4))),
        ("dw_1", ConvDims(1, 1, 1, 1, 112, 112, 3, 3)),
        ("FC", ConvDims(1, 1, 1024, 1000, 1, 1, 1, 1)),
    ]
    assert trace.macs == trace.oracle.macs == 55 * 55 * 11 * 11 * 3 * 96 + 110 * 110 * 9 + 1024 * 1000
    assert {tensor.bits for tensor in trace.tensors} == {8}
    assert trace.oracle.method == "SCALE-Sim's formula; cells of unnamed columns: not read (1 times)"


def test_products(tmp_path: Path) -> None:
    trace = read(tmp_path, GEMM, "qkv,128,1536,512,", "qkv,1,5,16,", "qkv_2,7,1,2")
    assert [(op.name, op.dims) for op in trace.phases[0].ops] == [
        ("qkv", MatmulDims(1, 1, 128, 512, 1536)),
        ("qkv_2", MatmulDims(1, 1, 1, 16, 5)),
        ("qkv_2_2", MatmulDims(1, 1, 7, 2, 1)),
    ]
    assert trace.macs == trace.oracle.macs == 128 * 1536 * 512 + 5 * 16 + 14


@pytest.mark.parametrize(
    ("row", "dims", "windows"),
    [
        ("a,224,224,7,7,3,64,2,", ConvDims(1, 1, 3, 64, 225, 225, 7, 7, (2, 2)), 110 * 110),
        ("a,56,28,1,1,3,64,2,", ConvDims(1, 1, 3, 64, 57, 29, 1, 1, (2, 2)), 29 * 15),
        ("a,5,7,5,2,3,64,3,", ConvDims(1, 1, 3, 64, 5, 8, 5, 2, (3, 3)), 3),
        ("a,3,3,2,2,3,64,8,", ConvDims(1, 1, 3, 64, 10, 10, 2, 2, (8, 8)), 4),
    ],
)
def test_windows_are_rounded_up(row: str, dims: ConvDims, windows: int, tmp_path: Path) -> None:
    trace = read(tmp_path, CONV, row)
    assert trace.phases[0].ops[0].dims == dims
    assert dims.p * dims.q == windows
    assert trace.macs == trace.oracle.macs == windows * dims.r * dims.s * 3 * 64
    assert "enlarged" in trace.oracle.method


def test_depthwise_by_name_and_strides_by_axis(tmp_path: Path) -> None:
    trace = read(tmp_path, CONV.replace("Strides", "Stride height, Stride width"), "DP1,12,13,3,3,8,2,1,2,")
    assert trace.phases[0].ops[0].dims == ConvDims(1, 8, 1, 2, 12, 13, 3, 3, (1, 2))
    assert trace.macs == trace.oracle.macs == 10 * 6 * 9 * 8 * 2


def test_what_is_ignored_is_said(tmp_path: Path) -> None:
    trace = read(tmp_path, "Layer Name, M, N, K, Sparsity, note,", "a,3,5,16,3:4,x,", "b,3,5,16,1:1,", "c,3,5,16,1")
    assert trace.macs == 3 * 3 * 5 * 16
    assert [text for key, text in trace.provenance if key.startswith("policy")] == [
        "cells of unnamed columns: not read (1 times)",
        "column 'note': not read (1 times)",
        "sparsity 3:4: the layer is traced dense (1 times)",
    ]
    batched = read(tmp_path, f"{CONV}Batch Size,", "a,8,8,1,1,4,4,1,1,", "b,8,8,1,1,4,4,1,,")
    assert batched.oracle.method == "SCALE-Sim's formula"


@pytest.mark.parametrize(
    ("lines", "answers"),
    [
        ((), (":1:1: layer name: this column is missing",)),
        ((GEMM,), (":1:1: layer name: no layers",)),
        ((CONV.replace("Channels", "Chanels"), "a,8,8,1,1,4,4,1,"), (":1:1: channels", "instead of 'chanels'?")),
        ((CONV.replace("IFMAP Height", "IFMAP Width"),), (":1:13: ifmap width: this column stands here twice",)),
        (("Layer, M, N,", "a,1,2,"), (":1:1: k: this column is missing",)),
        ((GEMM, "a,1,2,x,", "b,0, 2,,"), (":2:7: k: 'x'", ":3:3: m: '0'", ":3:8: k: missing")),
        ((GEMM, ",1,2,3,", "b,1"), (":2:1: layer name: missing", ":3:4: n: missing", ":3:4: k: missing")),
        ((GEMM, "a,1,2,9999999,"), ("whole number from 1 to 1048576",)),
        ((CONV, "a,2,8,3,9,4,4,1,"), (":2:7: filter height: 3 is larger", ":2:9: filter width: 9 is larger")),
        ((f"{CONV}Sparsity,", "a,8,8,1,1,4,4,1,4:2,"), (":2:17: sparsity: '4:2'",)),
        ((f"{CONV}Batch size,", "a,8,8,1,1,4,4,1,2,"), (":2:17: batch size: '2'", "one input at a time")),
        ((CONV, "a" + ",1048576" * 2 + ",1,1,1048576,1048576,1,"), ("MACs", "keep one op below")),
    ],
)
def test_every_mistake_of_a_file_is_told_at_once(
    lines: tuple[str, ...], answers: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, *lines)
    for answer in answers:
        assert answer in str(caught.value)


@pytest.mark.parametrize(
    ("data", "answer"), [(b"\xff\xfe", "not UTF-8"), (b"," * (2**20 + 1), "split the file"), (None, "No such file")]
)
def test_files_that_cannot_be_read(data: bytes | None, answer: str, tmp_path: Path) -> None:
    path = tmp_path / "net.csv"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UserError, match=answer):
        load_trace(path)


def test_simulate_reads_a_topology(tmp_path: Path) -> None:
    path = tmp_path / "net.csv"
    path.write_text(f"{GEMM}\nfirst,16,32,64,\n")
    result = CliRunner().invoke(cli, ["simulate", "systolic_32x32", str(path)])
    assert result.exit_code == 0, result.output
    assert "32,768 in the trace, 32,768 by the oracle" in result.stdout
    assert "first" in result.stdout


@pytest.mark.oracles
@pytest.mark.parametrize("product", [False, True])
def test_scalesim_reads_the_same(product: bool, tmp_path: Path) -> None:
    topology = pytest.importorskip("scalesim.topology_utils").topologies()
    rows = (
        ["a,128,30,12,", "b,1,5,16,"]
        if product
        else ["a,224,224,7,7,3,64,2,", "DP,12,9,3,3,8,2,1,", "c,56,56,1,1,3,4,2,"]
    )
    trace = read(tmp_path, GEMM if product else CONV, *rows)
    topology.load_arrays(str(tmp_path / "net.csv"), mnk_inputs=product)
    assert trace.macs == topology.get_all_mac_ops()
