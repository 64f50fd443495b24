"""APSQ layers in eval mode against the integer execution of the mapped op: the same integers, bit for bit."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from accelsim import load_arch  # noqa: E402
from accelsim.functional import MappedOp, map_op  # noqa: E402
from accelsim.mapping.placement import Infeasible  # noqa: E402
from accelsim.schemes import PsumScales, PsumScheme  # noqa: E402
from accelsim.spec import ArchSpec  # noqa: E402
from accelsim.workload import ConvDims, MatmulDims  # noqa: E402
from algos import ApsqConfig, compress_  # noqa: E402
from algos.apsq import ApsqPsums  # noqa: E402
from tests.reference.executed import executed_linear  # noqa: E402

BITS, GROUPS, TILES = tuple(range(4, 16)), (1, 2, 3, 4), (3, 4, 8, 11)
LANES = 4
EDGE = {"arch.psum_engine.bits": list(BITS), "arch.psum_engine.group_sizes": list(GROUPS)}


@pytest.fixture(scope="module")
def arches() -> dict[tuple[str, int], ArchSpec]:
    """Two dataflows, each with every reduction width."""
    return {
        (name, tile): load_arch(name, {**EDGE, "arch.array.pci": tile, "arch.array.po": LANES, "arch.array.pco": LANES})
        for name in ("apsq_edge_ws", "apsq_edge_is")
        for tile in TILES
    }


def _given(psums: ApsqPsums, shifts: list[int]) -> None:
    psums.log2_scale = nn.Parameter(torch.tensor([float(shift) for shift in shifts]))
    psums.ready = True


def _drawn(rng: random.Random, seen: Counter[str]) -> tuple[PsumScheme, tuple[int, int, int], list[int]]:
    tile = rng.choice(TILES)
    scheme = PsumScheme(rng.choice(BITS), rng.choice(GROUPS), tile)
    m, n = rng.randint(LANES + 1, 12), rng.randint(LANES + 1, 12)  # within the lanes, outputs never leave the array
    k = rng.randint(tile + 1, 9 * tile)
    fitting = max(0, (127 * 127 * tile).bit_length() - scheme.bits)
    shifts = [max(0, fitting + rng.randint(-2, 2)) for _ in range(-(-k // tile))]
    seen.update({f"gs {scheme.group_size}": 1, f"bits {scheme.bits}": 1, "ragged": k % tile > 0})
    return scheme, (m, k, n), shifts


def test_a_thousand_matmuls(arches: dict[tuple[str, int], ArchSpec]) -> None:
    """Every width from 4 to 15 bits, every group size, ragged tiles; at least 1 % of all psums saturate."""
    rng, numbers, seen = random.Random(0), np.random.default_rng(0), Counter[str]()
    saturated = psums = 0
    for number in range(1000):
        scheme, (m, k, n), shifts = _drawn(rng, seen)
        assert scheme.k_tile is not None
        largest = rng.choice((20, 127))
        left, right = numbers.integers(-largest, largest + 1, (m, k)), numbers.integers(-127, 128, (k, n))
        arch = arches["apsq_edge_ws" if number % 2 else "apsq_edge_is", scheme.k_tile]
        op = map_op(arch, MatmulDims(1, 1, m, k, n), scheme)
        assert isinstance(op, MappedOp)
        execution = op.run(left[None, None], right[None], scales=PsumScales(scheme, tuple(shifts)))
        layer = ApsqPsums(scheme, k).eval()
        _given(layer, shifts)
        sums = layer(torch.from_numpy(left).float(), torch.from_numpy(right).float(), 127 * 127)
        assert np.array_equal(execution.outputs[0, 0], sums.detach().numpy()), (scheme, m, k, n)
        assert execution.psum_visits == len(shifts)
        saturated, psums = saturated + execution.saturated_psums, psums + m * n * len(shifts)
    assert saturated >= 0.01 * psums
    assert all(seen[f"gs {group}"] >= 100 for group in GROUPS)
    assert all(seen[f"bits {bits}"] >= 40 for bits in BITS)
    assert 100 <= seen["ragged"] <= 999


def test_whole_layers(arches: dict[tuple[str, int], ArchSpec]) -> None:
    """Calibrated linear layers with biases: quantise the input, execute, and the layer's output follows."""
    torch.manual_seed(0)
    for bits, group in ((4, 1), (6, 3), (8, 1), (8, 2), (8, 4), (12, 2)):
        model = nn.Sequential(nn.Linear(50, 21), nn.ReLU(), nn.Linear(21, 7, bias=False)).eval()
        data = torch.randn(13, 50)
        compress_(model, ApsqConfig(bits=bits, group_size=group, k_tile=8), [data])
        x = 1.5 * torch.randn(13, 50)  # wider than what was calibrated on
        for layer in (model[0], model[2]):
            execution = executed_linear(layer, x, arches["apsq_edge_ws", 8])
            sums, scale = layer.integers(x)
            assert np.array_equal(execution.outputs[0, 0], sums.detach().numpy())
            x = layer(x)
            assert torch.equal(x, (sums * scale).float())


def test_convolutions(arches: dict[tuple[str, int], ArchSpec]) -> None:
    """Strided, padded, dilated, grouped, depthwise; the reduction is r, s, c, c fastest."""
    torch.manual_seed(1)
    shapes = [
        (6, 8, 3, {"padding": 1}),
        (6, 8, 3, {"stride": 2, "padding": 1}),
        (4, 8, 3, {"dilation": 2, "padding": "same", "groups": 2}),
        (8, 8, 3, {"groups": 8, "padding": 1}),
        (12, 5, 1, {}),
    ]
    for bits, group in ((4, 2), (8, 1), (8, 3)):
        for inputs, outputs, kernel, more in shapes:
            conv = nn.Conv2d(inputs, outputs, kernel, **more)
            model = nn.Sequential(conv).eval()
            image = torch.randn(2, inputs, 7, 6)
            compress_(model, ApsqConfig(bits=bits, group_size=group, k_tile=8), [image])
            layer = model[0]
            sums, scale = layer.integers(image)
            with torch.no_grad():
                whole, x_scale = layer.activation_quantiser(image)
                filters, w_scale = layer.weight_quantiser(layer.weight)
                bias = torch.floor(layer.bias / (x_scale * w_scale.reshape(-1)) + 0.5).long().numpy()
            pads = [2, 2] if more.get("padding") == "same" else [conv.padding[0], conv.padding[1]]
            dims = ConvDims(
                2, conv.groups, inputs // conv.groups, outputs // conv.groups, 7, 6, kernel, kernel,
                conv.stride, (pads[0], pads[1]), conv.dilation,
            )  # fmt: skip
            op = map_op(arches["apsq_edge_ws", 8], dims, layer.psum_scheme, bias_values=bias.size)
            assert isinstance(op, MappedOp)
            execution = op.run(whole.long().numpy(), filters.long().numpy(), bias, layer.psums.scales())
            assert np.array_equal(execution.outputs, sums.detach().numpy()), (bits, group, conv)
            assert torch.equal(layer(image), (sums * scale).float())


def test_a_scheme_that_no_mapping_keeps_says_what_to_change() -> None:
    dims, scheme = MatmulDims(1, 1, 32, 48, 16), PsumScheme(8, 1, 12)
    found = map_op(load_arch("apsq_edge_ws"), dims, scheme)
    assert isinstance(found, Infeasible)
    assert (found.resource, found.demand, found.bound) == ("array", 12, 8)
    assert "train the psum scheme with k_tile 8, or change the array's reduction width to 12" in found.lever
    assert isinstance(map_op(load_arch("apsq_edge_os"), dims, scheme), MappedOp)  # nothing leaves: any scheme runs
    unflattened = load_arch("apsq_edge_ws", {"arch.array.spatial_reduction": "channels_only"})
    conv = map_op(unflattened, ConvDims(1, 1, 15, 8, 9, 9, 3, 3), PsumScheme(8, 1, 8))
    assert isinstance(conv, Infeasible)
    assert "flatten_crs" in conv.lever
    assert isinstance(map_op(unflattened, ConvDims(1, 1, 15, 8, 9, 9, 1, 1), PsumScheme(8, 1, 8)), MappedOp)
    assert isinstance(map_op(unflattened, ConvDims(1, 1, 16, 8, 9, 9, 3, 3), PsumScheme(8, 1, 8)), MappedOp)
    unrolled = load_arch("row_stationary_12x14", {"arch.array.registers.psum.capacity_bits": 32})
    rows_at_once = map_op(unrolled, ConvDims(1, 1, 12, 8, 9, 9, 3, 3), PsumScheme(32, 1, 3))
    assert isinstance(rows_at_once, Infeasible)  # three products to a psum, but of three kernel rows
    assert (rows_at_once.demand, rows_at_once.bound, rows_at_once.unit) == (1, 3, "kernel elements of one psum")
