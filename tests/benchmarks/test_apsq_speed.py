"""How fast requantised sums are: the fused pass beside the loop over tiles and a plain matmul, one thread each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

torch = pytest.importorskip("torch")

from accelsim.schemes import PsumScheme  # noqa: E402
from algos.apsq import ApsqPsums  # noqa: E402
from tests.benchmarks.measuring import cpu_seconds  # noqa: E402
from tests.benchmarks.results import Results  # noqa: E402
from tests.reference.apsq_loop import naive_apsq  # noqa: E402

TOKENS, COLUMNS, TILE = 128, 768, 8
TIMES_FASTER = 3.0


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("reductions", [768, 3072])
def test_apsq_forward_and_training_step(reductions: int, results: Results) -> None:
    torch.manual_seed(0)
    left = torch.randint(-127, 128, (TOKENS, reductions)).float()
    right = torch.randint(-127, 128, (COLUMNS, reductions)).float().t()  # as a linear layer stores its weight
    psums = ApsqPsums(PsumScheme(8, 1, TILE), reductions)
    psums.start(0)
    psums(left, right, 127 * 127)
    psums.end(0)
    alphas = torch.exp2(psums.log2_scale.detach())
    gradient = torch.randn(TOKENS, COLUMNS)

    def fused(a: torch.Tensor, b: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return psums(a, b, 127 * 127)

    def naive(a: torch.Tensor, b: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        return naive_apsq(a, b, scales, TILE, 1, 127)

    def plain(a: torch.Tensor, b: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return a @ b

    def step(sums: Callable[..., torch.Tensor]) -> None:
        operands = [tensor.clone().requires_grad_() for tensor in (left, right, alphas)]
        sums(*operands).backward(gradient)

    with torch.no_grad():
        assert torch.equal(fused(left, right, alphas), naive(left, right, alphas))
        forward = {
            kind.__name__: cpu_seconds(lambda kind=kind: kind(left, right, alphas)) for kind in (plain, naive, fused)
        }
    step(fused)  # compiles the gradient's kernel
    training = {kind.__name__: cpu_seconds(lambda kind=kind: step(kind)) for kind in (plain, naive, fused)}
    for what, seconds in (("forward", forward), ("training step", training)):
        ratio = seconds["naive"] / seconds["fused"]
        results.add(
            "apsq", what=what, tokens=str(TOKENS), k=str(reductions), n=str(COLUMNS),
            **{f"{kind}_ms": f"{1e3 * spent:.1f}" for kind, spent in seconds.items()}, naive_to_fused=f"{ratio:.1f}",
        )  # fmt: skip
        results.at_least(f"APSQ {what}, K = {reductions}: naive loop to fused pass", ratio, TIMES_FASTER, "times")
