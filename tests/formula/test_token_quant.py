"""Per-token dynamic quantisation against integers written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from algos.compress import compress_, plan  # noqa: E402
from algos.token_quant import TokenQuantConfig  # noqa: E402


def integers(x: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    largest = 2 ** (bits - 1) - 1
    scale = np.abs(x).max(-1, keepdims=True) / largest
    return np.floor(x / scale + 0.5), scale


@pytest.mark.parametrize(("weight_bits", "activation_bits"), [(8, 8), (4, 8), (4, 4), (2, 3)])
def test_products_of_integers(weight_bits, activation_bits):
    rng = np.random.default_rng(weight_bits + activation_bits)
    weight, bias, x = rng.normal(size=(6, 16)), rng.normal(size=6), rng.normal(size=(3, 5, 16))
    x *= np.exp(3 * rng.normal(size=(3, 5, 1)))  # every token with a size of its own
    linear = torch.nn.Linear(16, 6, dtype=torch.float64)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(weight))
        linear.bias.copy_(torch.from_numpy(bias))
    model = torch.nn.Sequential(linear)
    compress_(model, TokenQuantConfig(weight_bits=weight_bits, activation_bits=activation_bits))
    (q, s), (w, t) = integers(x, activation_bits), integers(weight, weight_bits)
    assert np.allclose(model(torch.from_numpy(x)).detach().numpy(), (q @ w.T) * s * t[:, 0] + bias, rtol=1e-12)


def test_zero_tokens_and_gradients():
    model = torch.nn.Sequential(torch.nn.Linear(4, 2))
    compress_(model, TokenQuantConfig(activation_bits=4))
    x = torch.zeros(2, 4, requires_grad=True)
    model(x).sum().backward()
    assert torch.equal(model(x)[0], model[0].bias)
    assert torch.allclose(x.grad, model[0].weight.sum(0).expand(2, 4), atol=0.02)


def test_the_report():
    model = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Conv2d(1, 1, 1))
    changes = plan(model, TokenQuantConfig(weight_bits=4)).changes
    assert [str(change) for change in changes] == ["0 (Linear): token_quant: linear layer on integers, W4 A8 per token"]
    with pytest.raises(ValueError, match=r"2\.\.16"):
        TokenQuantConfig(weight_bits=1)
