"""Layers by table: their integers against the torch-free twins, their gradients, and what they cost in a trace."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

import algos
import workloads
from accelsim import load_arch, simulate
from accelsim.errors import UserError
from accelsim.functional.lut import look_up
from accelsim.functional.lut_rows import norm_codes, softmax_codes
from accelsim.schemes.lut_functions import FUNCTIONS
from accelsim.workload.trace_json import from_json, to_json
from algos.gqa_lut.exact import search
from algos.gqa_lut.found import exp_scheme, row_scheme
from algos.gqa_lut.modules import LutActivation, LutNorm, LutSoftmax

ACTIVATIONS = {
    "gelu": torch.nn.GELU(), "silu": torch.nn.SiLU(), "hardswish": torch.nn.Hardswish(), "tanh": torch.nn.Tanh(),
    "sigmoid": torch.nn.Sigmoid(), "softplus": torch.nn.Softplus(),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("mode", ["shared", "per_scale"])
def test_activation_equals_its_twin_on_every_int8_code(name: str, mode: str) -> None:
    scheme = search(FUNCTIONS[name], 8, mode=mode)  # type: ignore[arg-type]
    layer = LutActivation(scheme, ACTIVATIONS[name])
    for shift in scheme.shifts:
        layer.input_codes.set(shift)
        x = torch.arange(-150, 150) * 2.0**-shift  # a seventh of them saturates
        codes, results, bits = layer.integers(x)
        expected = look_up(scheme, codes.numpy(), shift)
        assert codes.unique().numel() == 256
        assert np.array_equal(results.numpy(), expected.values)
        assert bits == int(expected.fraction_bits)
        assert np.array_equal(layer(x).detach().double().numpy(), expected.real())


@pytest.mark.parametrize("name", ["gelu", "exp"])
def test_activation_equals_its_twin_on_random_int16_codes(name: str) -> None:
    scheme = search(FUNCTIONS[name], 16, shifts=(9, 12), input_bits=16)
    layer = LutActivation(scheme, torch.exp)
    for shift in scheme.shifts:
        layer.input_codes.set(shift)
        x = torch.from_numpy(np.random.default_rng(shift).uniform(-9, 9, 1000)) * (8 if shift == 12 else 1)
        codes, results, _ = layer.integers(x)
        expected = look_up(scheme, codes.numpy(), shift)
        assert np.array_equal(results.numpy(), expected.values)
        assert np.array_equal(layer(x).detach().numpy(), expected.real())
        assert np.mean(np.abs(codes.numpy()) >= 2**15 - 1) > 0.01 or shift == 9


@pytest.mark.parametrize(
    ("row_bits", "base_2", "tolerance"), [(8, True, 0.04), (16, True, 0.012), (8, False, 0.4), (16, False, 0.4)]
)
def test_softmax_equals_its_twin(row_bits: int, base_2: bool, tolerance: float) -> None:
    """Without the reduction, errors of up to 129 small exponentials add up in a row; rows lie far from 0."""
    exp_table = exp_scheme(8, "per_scale", base_2)
    layer = LutSoftmax(exp_table, row_scheme("reciprocal", 8, row_bits))  # type: ignore[arg-type]
    rng = np.random.default_rng(row_bits)
    worst = 0.0
    for case in range(60):
        x = torch.from_numpy(rng.normal(0, rng.uniform(0.5, 6), (20, int(rng.integers(1, 130)))))
        x += torch.from_numpy(rng.uniform(-3000, 3000, (20, 1)))
        x[:, 1:][torch.rand(20, x.shape[1] - 1, generator=torch.Generator().manual_seed(case)) < 0.1] = -math.inf
        q, p = layer.integers(x)
        exp, reciprocal = (scheme for scheme in layer.lut_schemes)
        assert np.array_equal(p.numpy(), softmax_codes(exp, reciprocal, q.numpy(), layer.input_codes.shift))
        worst = max(worst, float((layer(x) - x.softmax(-1)).abs().max()))
    assert worst < tolerance


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("row_bits", [8, 16])
def test_norm_equals_its_twin(centred: bool, row_bits: int) -> None:
    rng = np.random.default_rng(row_bits)
    scheme = row_scheme("rsqrt", 8, row_bits)  # type: ignore[arg-type]
    worst = 0.0
    for case in range(60):
        width = int(rng.integers(2, 300))
        plain = torch.nn.LayerNorm(width, eps=1e-5) if centred else torch.nn.RMSNorm(width, eps=1e-5)
        layer = LutNorm(scheme, plain, plain.weight, getattr(plain, "bias", None), 1e-5, centred)
        layer.input_codes.set(int(rng.integers(6, 12)))
        x = torch.from_numpy(rng.normal(rng.uniform(-1, 1), rng.uniform(0.01, 3), (20, width))).float()
        q, y = layer.integers(x)
        expected = norm_codes(layer.lut_schemes[0], q.numpy(), layer.input_codes.shift, 1e-5, centred)
        assert np.array_equal(y.numpy(), expected)
        if case % 4 == 0:
            layer.input_codes.set(9)
            clear = torch.from_numpy(rng.normal(1, 3, (20, width))).float()
            with torch.no_grad():
                worst = max(worst, float((layer(clear) - plain(clear)).abs().max() / plain(clear).abs().max()))
    assert worst < (0.055 if row_bits == 8 else 0.02)


@pytest.mark.parametrize("width", [1024, 1025, 4096, 4097, 20_000])
@pytest.mark.parametrize("centred", [True, False])
def test_wide_norm_equals_its_twin_where_one_channel_holds_all(width: int, centred: bool) -> None:
    """A row's largest normalised value is sqrt(width): the codes hold it, up to the last one's rounding."""
    plain = torch.nn.LayerNorm(width) if centred else torch.nn.RMSNorm(width, eps=1e-5)
    scheme = row_scheme("rsqrt", 8, 16)
    layer = LutNorm(scheme, plain, plain.weight, getattr(plain, "bias", None), 1e-5, centred)
    layer.input_codes.set(7)
    x = torch.from_numpy(np.random.default_rng(width).normal(0, 0.05, (6, width))).float()
    x[torch.arange(6), torch.arange(6)] = torch.tensor([250.0, -250, 180, 60, 9, 0])
    q, y = layer.integers(x)
    assert np.array_equal(y.numpy(), norm_codes(layer.lut_schemes[0], q.numpy(), 7, 1e-5, centred))
    with torch.no_grad():
        largest = plain(x).diagonal()[:3]
        assert (largest.abs() > 0.97 * math.sqrt(width)).all()
        assert layer(x).diagonal()[:3].tolist() == pytest.approx(largest.tolist(), rel=0.01)


def test_activation_gradient_is_the_slope_of_the_segment() -> None:
    scheme = search(FUNCTIONS["gelu"], 8)
    layer = LutActivation(scheme, torch.nn.GELU())
    layer.input_codes.set(5)
    x = torch.tensor([-9.0, -1.3, 0.4, 3.2, 9.0], requires_grad=True)
    layer(x).sum().backward()
    table = scheme.table(5)
    inside = [
        table.slopes[int(np.searchsorted(scheme.segment_starts(table), math.floor(v * 32 + 0.5), "right"))]
        * scheme.slope.step
        for v in x[1:4].tolist()
    ]
    assert x.grad is not None
    assert x.grad.tolist() == pytest.approx([0, *inside, 0])
    # LSQ: the scale's gradient is q - x / S inside the clamp, q outside; d scale / d exponent = -S ln 2.
    steps = x.detach().double() * 32
    codes = steps.clamp(-128, 127)
    slopes = torch.tensor([table.slopes[0] * scheme.slope.step, *inside, table.slopes[-1] * scheme.slope.step])
    rests = torch.where(steps == codes, torch.floor(codes + 0.5) - steps, codes)
    expected = float((slopes * rests).sum() * -math.log(2) / 32)
    assert float(layer.input_codes.exponent.grad) == pytest.approx(expected, rel=1e-5)


def test_clamped_functions_have_no_gradient_beyond_their_range() -> None:
    layer = LutActivation(search(FUNCTIONS["sigmoid"], 8), torch.nn.Sigmoid())
    layer.input_codes.set(3)
    x = torch.tensor([-9.0, 0.5, 9.0], requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None
    assert [bool(slope) for slope in x.grad] == [False, True, False]


def test_rows_have_the_gradient_of_the_function() -> None:
    x = torch.randn(3, 16, dtype=torch.float64, requires_grad=True, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(3, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    plain = torch.nn.LayerNorm(16, dtype=torch.float64)
    norm = LutNorm(row_scheme("rsqrt", 8, 16), plain, plain.weight, plain.bias, plain.eps, True)
    norm.input_codes.set(10)
    softmax = LutSoftmax(exp_scheme(8, "per_scale"), row_scheme("reciprocal", 8, 16))
    for layer, function in ((norm, plain), (softmax, torch.nn.Softmax(-1))):
        (ours,) = torch.autograd.grad((layer(x) * weight).sum(), x)
        (theirs,) = torch.autograd.grad((function(x) * weight).sum(), x)
        assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-12)


class _Attention(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.scaled_dot_product_attention(x, x, x)


class _Small(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear, self.attention = torch.nn.LayerNorm(16), torch.nn.Linear(16, 16), _Attention()
        self.act, self.wide, self.mha = torch.nn.GELU(), torch.nn.LayerNorm((4, 16)), torch.nn.Softplus(beta=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mha(self.wide(self.act(self.linear(self.attention(self.norm(x))))))


def _compressed(seed: int = 0, **settings: object) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    model, x = _Small().eval(), torch.randn(2, 4, 16)
    before = model(x).detach()
    algos.compress_(model, algos.GqaLutConfig(**settings), [x])  # type: ignore[arg-type]
    return model, x, before


def test_compress_replaces_what_it_can_and_says_what_it_cannot() -> None:
    torch.manual_seed(0)
    model, x = _Small().eval(), torch.randn(2, 4, 16)
    planned = algos.plan(model, algos.GqaLutConfig())
    before = model(x).detach()
    report = algos.compress_(model, algos.GqaLutConfig(), [x])
    assert planned == report
    assert [change.path for change in report.changed] == ["norm", "attention", "act"]
    assert {change.path: change.skipped for change in report.skipped} == {
        "wide": "normalises over 2 axes", "mha": "has beta 2",
    }  # fmt: skip
    after = model(x)
    assert not torch.equal(after, before)
    assert torch.allclose(after, before, atol=0.05)
    assert torch.equal(copy.deepcopy(model)(x), after)
    again = algos.plan(model, algos.GqaLutConfig(), strict=False)
    assert not again.changed
    with pytest.raises(UserError, match="changes no layer"):
        algos.compress_(model, algos.GqaLutConfig())


def test_quantised_products_and_tables_in_either_order() -> None:
    outputs = []
    for order in ((algos.QuantConfig(), algos.GqaLutConfig()), (algos.GqaLutConfig(), algos.QuantConfig())):
        torch.manual_seed(0)
        model, x = _Small().eval(), torch.randn(2, 4, 16)
        before = model(x).detach()
        algos.compress_(model, order, [x])
        outputs.append(model(x).detach())
        assert float((outputs[-1] - before).norm() / before.norm()) < 0.04
        assert {"product_0", "softmax_0"} <= {name for name, _ in model.attention.named_children()}
    assert float((outputs[0] - outputs[1]).norm() / outputs[1].norm()) < 0.04


def test_uncalibrated_layers_say_so_and_a_state_restores_them() -> None:
    model, x, _ = _compressed()
    expected = model(x)
    fresh = _Small().eval()
    algos.compress_(fresh, algos.GqaLutConfig())
    with pytest.raises(ValueError, match="no scale yet"):
        fresh(x)
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh(x), expected)


def test_finetuning_learns_through_the_tables() -> None:
    model, x, before = _compressed(entries=4)
    model.train()
    optimiser = torch.optim.SGD([p for name, p in model.named_parameters() if "exponent" not in name], lr=0.02)
    losses = []
    for _ in range(30):
        loss = (model(x) - before).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


def test_trace_carries_the_tables_and_their_loads_are_charged() -> None:
    torch.manual_seed(0)
    plain, x = _Small().eval(), torch.randn(2, 4, 16)
    without = workloads.export_trace(plain, x, "encode", name="small")
    arch = load_arch("apsq_edge_ws")
    moved = {}
    for mode in ("shared", "per_scale"):
        model, _, _ = _compressed(row_bits=8, mode=mode)
        trace = workloads.export_trace(model, x, "encode", name="small")
        assert from_json(to_json(trace), "small") == trace
        assert [op.name for op in trace.phases[0].ops] == [
            {"attention.softmax": "attention.softmax_0"}.get(op.name, op.name) for op in without.phases[0].ops
        ]
        assert {op.name: [scheme.function for scheme in op.luts] for op in trace.phases[0].ops if op.luts} == {
            "norm": ["rsqrt"], "attention.softmax_0": ["exp2", "reciprocal"], "act": ["gelu"],
        }  # fmt: skip
        report = simulate(arch, trace)
        assert not report.infeasible
        frame = report.to_frame()
        moved[mode] = {
            op: int(frame[(frame.op == op) & (frame.operand == "constant") & (frame.block == "dram")].bits_useful.sum())
            for op in ("attention.softmax_0", "act")
        }
    # 8 entries of 8 bits: 23 bytes a table, 7 of them breakpoints; the reciprocal has one table only.
    assert moved["per_scale"] == {"attention.softmax_0": 2 * 23 * 8, "act": 23 * 8}
    assert moved["shared"] == {"attention.softmax_0": (23 + 7) * 8, "act": 7 * 8}
    narrow = simulate(load_arch("apsq_edge_ws", {"arch.lut_unit.entries": 4}), trace)
    assert {row.op: (row.resource, row.demand, row.bound) for row in narrow.infeasible} == dict.fromkeys(
        ("norm", "attention.softmax_0", "act"), ("lut_unit", 8, 4)
    )


def test_trace_with_an_impossible_table_is_the_users_mistake() -> None:
    model, x, _ = _compressed()
    text = to_json(workloads.export_trace(model, x, "encode", name="small"))
    with pytest.raises(UserError, match=r"ops\[\d+\]\.luts[\s\S]*breakpoints for 8 entries"):
        from_json(text.replace('"breakpoints":[', '"breakpoints":[-128,', 1), "small")
