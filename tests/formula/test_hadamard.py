"""Hadamard matrices and rotation schemes against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.schemes import FixedRatio, RotationScales, RotationScheme, construction
from accelsim.schemes.hadamard import hadamard
from accelsim.schemes.hadamard_orders import factorise

ORDERS = [order for order in range(1, 345) if construction(order)]


@pytest.mark.parametrize("order", ORDERS)
def test_rows_are_orthogonal(order):
    matrix = hadamard(order).astype(np.int64)
    assert set(np.unique(matrix)) <= {-1, 1}
    assert np.array_equal(matrix @ matrix.T, order * np.eye(order, dtype=np.int64))


def test_orders_in_reach():
    assert {1, 2, 4, 12, 20, 28, 36, 40, 108, 124, 344} <= set(ORDERS)
    assert not any(construction(order) for order in (0, -4, 3, 6, 18, 92, 8192))
    assert construction(28) == "Paley I over GF(27)"
    assert construction(124) == "Paley II over GF(61)"
    assert construction(40) == "Sylvester 2 x (Paley I over GF(19))"
    with pytest.raises(ValueError, match="order 92"):
        hadamard(92)


@pytest.mark.parametrize(
    ("width", "split"),
    [(768, (64, 12)), (11008, (32, 344)), (13824, (128, 108)), (14336, (512, 28)), (4096, (4096, 1))],
)
def test_widths_of_known_networks(width, split):
    assert factorise(width) == split


def test_width_without_a_split():
    with pytest.raises(ValueError, match="width 7"):
        factorise(7)


def test_adds_are_those_published():
    """Adds of a 2^k x m rotation: LLaMA3-8B's down projection 129 k and 0.40 M; the chip's two stages 2 x 1.03 M."""
    assert RotationScheme.full(14336).adds == 14336 * 9 + 14336 * 28
    chip = RotationScheme.two_stage(14336)
    assert (chip.points, chip.order) == (64, 124)
    assert chip.adds == 2 * 124 * 64 * (6 + 124)
    assert round(chip.adds / (14336 * 4096), 3) == 0.035


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 600).map(lambda n: 8 * n), st.integers(1, 6), st.floats(0.0, 0.6))
def test_two_stages_cover_the_width(width, log_points, overlap):
    try:
        scheme = RotationScheme.two_stage(width, max_points=2**log_points, overlap=overlap)
    except ValueError:
        return
    (first,), (second,) = scheme.stages
    assert first.start == 0
    assert second.start + second.size == width
    shared = first.start + first.size - second.start
    assert shared >= overlap * width - 1e-6
    assert first.points <= 2**log_points


@pytest.mark.parametrize(
    "fields",
    [
        {"width": 0, "points": 1},
        {"width": 12, "points": 3},
        {"width": 12, "points": 8},
        {"width": 24, "points": 2, "order": 6},
        {"width": 64, "points": 16, "order": 1, "local": True},
        {"width": 64, "points": 16, "order": 4, "local": True},
        {"width": 8, "points": 8, "seed": -1},
    ],
)
def test_impossible_schemes(fields):
    with pytest.raises(ValueError, match=r"rotation|windows"):
        RotationScheme(**fields)


def test_signs_are_pinned():
    """The bits of PCG64 for seed 0, written down."""
    assert RotationScheme(8, 8).signs.tolist() == [1] * 8
    signs = "".join("+" if sign > 0 else "-" for sign in RotationScheme(16, 16, seed=0).signs)
    assert signs == "--+--+----+++--+"
    assert 0 < np.sum(RotationScheme(256, 256, seed=1).signs == 1) < 256


@given(st.floats(1e-9, 6e4))
def test_fixed_point_is_within_half_a_multiplier(ratio):
    point = FixedRatio.nearest(ratio)
    assert math.isclose(point.multiplier / 2**point.shift, ratio, rel_tol=2**-16 * 1.01)


@pytest.mark.parametrize("scheme", [RotationScheme(24, 4, 2, seed=3), RotationScheme(48, 4, 8, local=True)])
def test_dictionaries_come_back(scheme):
    assert RotationScheme.from_dict(scheme.to_dict()) == scheme
    scales = RotationScales.from_ratio(scheme, 0.7)
    assert RotationScales.from_dict(scales.to_dict()) == scales
    with pytest.raises(ValueError, match="rotation"):
        RotationScheme.from_dict({"width": 8})
    with pytest.raises(ValueError, match="integers"):
        RotationScheme.from_dict(scheme.to_dict() | {"width": 24.0})


def test_scales_belong_to_their_stages():
    one, two = RotationScheme(16, 16), RotationScheme(48, 4, 8, local=True)
    with pytest.raises(ValueError, match="two stages"):
        RotationScales(one, 8, 8, FixedRatio(1, 0), between=FixedRatio(1, 0), kept=FixedRatio(1, 0))
    with pytest.raises(ValueError, match="two stages"):
        RotationScales(two, 8, 8, FixedRatio(1, 0))
    with pytest.raises(ValueError, match="no room"):
        (
            RotationScales(RotationScheme(2**16, 2**16), 16, 8, FixedRatio(1, 0)),
            RotationScales.from_ratio(RotationScheme.two_stage(2**20, max_points=2**16), 1.0, input_bits=16),
        )
