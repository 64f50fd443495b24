"""The fused APSQ pass and its gradients against a loop over tiles with autograd, and calibration against all shifts."""

from __future__ import annotations

import itertools
import math
import random

import pytest

torch = pytest.importorskip("torch")

from accelsim.schemes import PsumScheme  # noqa: E402
from algos.apsq import ApsqPsums  # noqa: E402
from tests.reference.apsq_loop import naive_apsq  # noqa: E402

CASES = 150


def _case(rng: random.Random) -> tuple[ApsqPsums, torch.Tensor, torch.Tensor, float]:
    """Psums with shifts that clamp some sums, and operands; the last tile may be ragged."""
    tile, bits, group = rng.choice([1, 3, 7, 8, 9, 16, 20]), rng.randint(2, 15), rng.randint(1, 4)
    batch, m, n = rng.choice([(), (2,), (2, 3)]), rng.choice([1, 2, 9, 70]), rng.choice([1, 5, 16, 33, 300])
    k = rng.randint(tile + 1, 8 * tile)
    psums = ApsqPsums(PsumScheme(bits, group, tile), k)
    fitting = max(0.0, math.log2(127 * 127 * tile) - bits)
    steps = -(-k // tile)
    log2 = torch.tensor([fitting + rng.uniform(-1.5, 2.0) for _ in range(steps)])
    psums.log2_scale, psums.ready = torch.nn.Parameter(log2), True
    left = torch.randint(-127, 128, (*batch, m, k)).double()
    right = torch.randint(-127, 128, (*batch, n, k)).double().mT  # as a linear layer stores its weight
    right = right if rng.random() < 0.5 else right.contiguous()
    return psums, left, right, 2.0 ** (bits - 1) - 1


def test_sums_and_gradients() -> None:
    """Sums equal; gradients of operands and of log2 of the scales, with LSQ's factor, to rounding."""
    torch.manual_seed(0)
    rng, clamped = random.Random(0), 0
    for _ in range(CASES):
        psums, left, right, qmax = _case(rng)
        own = [left.clone().requires_grad_(), right.clone().requires_grad_()]
        sums = psums.train()(*own, 127 * 127)
        alphas = torch.exp2(torch.floor(psums.log2_scale.detach() + 0.5).clamp_min(0)).double().requires_grad_()
        loop = [left.clone().requires_grad_(), right.clone().requires_grad_()]
        scheme = psums.scheme
        expected = naive_apsq(*loop, alphas, scheme.k_tile, scheme.group_size, int(qmax))
        assert torch.equal(sums.double(), expected)
        gradient = torch.randn_like(expected)
        sums.backward(gradient.to(sums.dtype))
        expected.backward(gradient)
        exact = sums.dtype == torch.float64
        for got, wanted in zip(own, loop, strict=True):
            torch.testing.assert_close(
                got.grad, wanted.grad, rtol=1e-9 if exact else 1e-4, atol=1e-9 if exact else 2e-2
            )
        of_log2 = alphas.grad * alphas.detach() * math.log(2) / math.sqrt(expected.numel() * qmax)
        of_log2 = of_log2 * (psums.log2_scale >= 0)
        torch.testing.assert_close(
            psums.log2_scale.grad.double(), of_log2, rtol=1e-3, atol=1e-3 * float(of_log2.abs().max())
        )
        clamped += int((loop[0].grad == 0).any())
    assert clamped > 5


def test_wide_sums_are_exact() -> None:
    """Sums beyond 2^24 are computed in float64."""
    psums = ApsqPsums(PsumScheme(15, 1, 2048), 4096).eval()
    psums.log2_scale, psums.ready = torch.nn.Parameter(torch.tensor([11.0, 12.0])), True
    left, right = torch.full((3, 4096), 127.0), torch.full((4096, 2), 127.0)
    left[0, 0] = 126
    sums = psums(left, right, 127 * 127)
    half = math.floor((2048 * 127**2 - 127) / 2048 + 0.5) * 2048
    whole = math.floor((half + 2048 * 127**2) / 4096 + 0.5) * 4096
    assert sums.dtype == torch.float64
    assert sums[0].tolist() == [min(whole, 4096 * (2**14 - 1))] * 2


def test_calibration_takes_the_least_squares() -> None:
    """Of two steps, all pairs of shifts in order: the first has the least error, and then the second."""
    torch.manual_seed(0)
    for bits, group in itertools.product((3, 4, 8), (1, 2)):
        psums = ApsqPsums(PsumScheme(bits, group, 8), 16)
        left, right = (30 * torch.randn(40, 16)).round(), (30 * torch.randn(16, 20)).round()
        psums.start(0)
        psums(left, right, 127 * 127)
        psums.end(0)
        held = torch.zeros(40, 20)
        for step, shift in enumerate(psums.scales().shifts):
            total = held + left[:, 8 * step : 8 * step + 8] @ right[8 * step : 8 * step + 8]
            stored = {
                tried: torch.floor(total / 2**tried + 0.5).clamp(1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1) * 2**tried
                for tried in range(20)
            }
            errors = {tried: float((total - value).square().sum()) for tried, value in stored.items()}
            assert errors[shift] == min(errors.values())
            held = stored[shift]


def test_psums_say_when_they_cannot_run() -> None:
    psums = ApsqPsums(PsumScheme(8, 1, 8), 24)
    with pytest.raises(ValueError, match=r"run algos\.calibrate_"):
        psums(torch.ones(2, 24), torch.ones(24, 2), 127 * 127)
    psums.log2_scale, psums.ready = torch.nn.Parameter(torch.zeros(3)), True
    with pytest.raises(ValueError, match="4 steps of psums, and scales of 3"):
        psums(torch.ones(2, 32), torch.ones(32, 2), 127 * 127)
    alone = ApsqPsums(PsumScheme(2, 1, 8), 8)  # one tile never leaves the accumulator
    assert float(alone(torch.full((1, 8), 127.0), torch.full((8, 1), 127.0), 127 * 127)) == 8 * 127**2
