"""Integer rotation: the unit's execution, the torch module and the matrix product agree."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from accelsim.functional.rotation import rotate_integers
from accelsim.schemes import RotationScales, RotationScheme
from accelsim.schemes.hadamard import hadamard

SCHEMES = (
    RotationScheme(16, 16),
    RotationScheme(48, 4, 12, seed=5),
    RotationScheme(24, 2, 4, seed=1),
    RotationScheme(320, 16, 20, seed=2),
    RotationScheme(128, 128),
    RotationScheme.two_stage(96, seed=4),
    RotationScheme.two_stage(160, max_points=8, seed=7),
    RotationScheme.two_stage(224, overlap=0.4),
)
ROWS = 150  # of 8 schemes x 2 ratios: 2,400 random rows


def random_rows(width: int, seed: int) -> np.ndarray:
    """Rows of bell-shaped, flat and extreme values, all in 8 bits."""
    rng = np.random.default_rng(seed)
    bell = np.clip(np.rint(rng.normal(0, 30, (ROWS // 3, width))), -127, 127)
    flat = rng.integers(-128, 128, (ROWS // 3, width))
    ends = rng.choice([-128, -127, 127], (ROWS // 3, width))
    return np.concatenate((bell, flat, ends)).astype(np.int64)


@pytest.mark.parametrize("ratio", [0.4, 2.3])
@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_torch_module_and_unit_agree(scheme, ratio):
    from algos.rotation.integers import QuantisedRotation

    torch = pytest.importorskip("torch")
    module = QuantisedRotation(scheme).eval()
    module.set_scales(ratio, 1.0)
    rows = random_rows(scheme.width, seed=scheme.width)
    unit = rotate_integers(module.rotation_scales, rows)
    assert np.array_equal(module.integers(torch.from_numpy(rows)).numpy(), unit)
    share = np.mean(np.abs(unit) == 127)
    assert share >= 0.01 or ratio < 1
    assert np.mean(np.abs(unit) < 127) > 0.2
    # the floating forward, on values that quantise to these rows
    inside = np.abs(rows).max(1) <= 127
    with torch.no_grad():
        forward = module(torch.from_numpy(rows[inside] * ratio)).numpy()
    assert np.array_equal(forward, unit[inside])


@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES if not scheme.local], ids=str)
def test_one_stage_is_a_matrix_product(scheme):
    """Against Kronecker products written out, with the requantiser in exact rational arithmetic."""
    rows = random_rows(scheme.width, seed=3)
    scales = RotationScales.from_ratio(scheme, 0.7)
    block = np.kron(hadamard(scheme.order).astype(int), hadamard(scheme.points).astype(int))
    matrix = np.kron(np.eye(scheme.width // len(block), dtype=int), block)
    sums = (rows * scheme.signs) @ matrix.T
    assert np.abs(sums).max() < 2 ** (scales.accumulator_bits - 1)
    times, shift = scales.last.multiplier, scales.last.shift
    rounded = [[math.floor(Fraction(int(v) * times, 2**shift) + Fraction(1, 2)) for v in row] for row in sums[::7]]
    expected = [[max(-127, min(127, value)) for value in row] for row in rounded]
    assert rotate_integers(scales, rows)[::7].tolist() == expected


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_integers_follow_the_real_rotation(scheme):
    """Within one and a half units of the floating-point rotation where nothing saturates."""
    torch = pytest.importorskip("torch")
    from algos.rotation.rotate import rotate

    rows = random_rows(scheme.width, seed=11)[: ROWS // 3]
    exact = rotate(torch.from_numpy(rows).double(), scheme).numpy() * 0.3
    unit = rotate_integers(RotationScales.from_ratio(scheme, 0.3), rows)
    assert np.abs(unit - np.clip(exact, -127, 127)).max() < 1.5


def test_what_does_not_fit_is_refused():
    scales = RotationScales.from_ratio(RotationScheme(16, 16), 1.0)
    with pytest.raises(ValueError, match="16 wide"):
        rotate_integers(scales, np.zeros((2, 8), np.int64))
    with pytest.raises(ValueError, match="more than 8 bits"):
        rotate_integers(scales, np.full((1, 16), 128))
    assert rotate_integers(scales, np.zeros((0, 16), np.int8)).shape == (0, 16)
