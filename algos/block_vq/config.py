"""Codebook weights as a compression scheme: what `compress_` and recipes take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from accelsim.schemes import CodebookBits, CodebookScheme
from algos.block_vq.layer import CodebookLinear
from algos.calibrate import forward
from algos.changes import LayerChange
from algos.layers import candidates, replace_
from algos.scheme_config import Batch, SchemeConfig


@dataclass(frozen=True, kw_only=True)
class BlockVqConfig(SchemeConfig):
    """Linear weights as blocks of `block_rows` x `block_cols` values out of codebooks; see CodebookScheme.

    The defaults are the chip's two bits per value: groups of 8 blocks along the reduction share 4 INT4
    blocks. `group` None is one codebook for the whole matrix; with 1 x 4 blocks, 256 entries and 8-bit
    values that is classic vector quantisation. Codebooks come from k-means (`seed`), weighted with
    the calibration data's E[x^2] per input channel if there is any; training then learns entries,
    indices and scales jointly. ValueError for sizes out of range.
    """

    name: ClassVar[str] = "block_vq"

    block_rows: int = 16
    block_cols: int = 16
    entries: int = 4
    group: int | None = 8
    value_bits: int = 4
    scale_bits: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        self.scheme  # noqa: B018 - checks the sizes
        if self.seed < 0:
            raise ValueError(f"seed {self.seed} is negative")

    @property
    def scheme(self) -> CodebookScheme:
        """The shared definition of these settings."""
        return CodebookScheme(
            self.block_rows, self.block_cols, self.entries, self.group, self.value_bits, self.scale_bits
        )

    def plan(self, model: torch.nn.Module) -> list[LayerChange]:
        """Every linear layer that is asked for, with its bits per value."""
        return [change for change, _ in self._found(model)]

    def apply_(self, model: torch.nn.Module, batches: Sequence[Batch]) -> list[LayerChange]:
        """Put the layers in with codebooks from k-means; on the meta device with none."""
        found = list(self._found(model))
        linears = [linear for change, linear in found if not change.skipped]
        moments = second_moments(model, linears, batches)
        for linear in linears:
            layer = CodebookLinear(self.scheme, linear)
            if not linear.weight.is_meta:
                layer.fit_(linear.weight, moments.get(linear), seed=self.seed)
            replace_(model, linear, layer)
        return [change for change, _ in found]

    def _found(self, model: torch.nn.Module) -> Iterator[tuple[LayerChange, torch.nn.Linear]]:
        held = {id(parameter) for parameter in _embedded(model)}
        for path, linear, skipped in candidates(model, (torch.nn.Linear,), self.layers, self.skip):
            assert isinstance(linear, torch.nn.Linear)
            reason, kind = skipped or self._obstacle(path, linear, held), type(linear).__name__
            change = "" if reason else self._described(linear)
            yield LayerChange(path, self.name, kind, change, reason), linear

    def _obstacle(self, path: str, linear: torch.nn.Linear, held: set[int]) -> str:
        rows, cols = linear.weight.shape
        if not path:
            return "is the whole model"
        if id(linear.weight) in held:
            return "its weight is also an embedding's"
        if not self.scheme.fits(rows, cols):
            return f"blocks of {self.block_rows} x {self.block_cols} do not cover its {rows} x {cols} weight"
        if self.scheme.blocks(rows, cols) < self.entries:
            return f"its {self.scheme.blocks(rows, cols)} blocks are fewer than {self.entries} entries"
        return ""

    def _described(self, linear: torch.nn.Linear) -> str:
        bits = self.scheme.bits(*linear.weight.shape)
        shared = f"{bits.codebook_bits} b of codebooks, {bits.index_bits} b of indices, {bits.scale_bits} b of scales"
        return f"weight from codebooks, {bits.per_value:.3f} bits a value ({shared})"


def storage(model: torch.nn.Module) -> CodebookBits:
    """What all codebook layers of a model take together. ValueError if it has none."""
    layers = [module.bits for module in model.modules() if isinstance(module, CodebookLinear)]
    if not layers:
        raise ValueError("the model has no codebook layer")
    return sum(layers[1:], layers[0])


def _embedded(model: torch.nn.Module) -> list[torch.Tensor]:
    return [module.weight for module in model.modules() if isinstance(module, torch.nn.Embedding)]


def second_moments(
    model: torch.nn.Module, linears: Sequence[torch.nn.Linear], batches: Sequence[Batch]
) -> Mapping[torch.nn.Linear, torch.Tensor]:
    """E[x^2] per input channel of these layers; those that no batch reached are left out."""
    sums: dict[torch.nn.Linear, torch.Tensor] = {}

    def see(linear: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(linear, torch.nn.Linear)
        seen = given[0].detach().double().flatten(0, -2)
        total = torch.cat((seen.square().sum(0), seen.new_tensor([len(seen)])))
        sums[linear] = total if linear not in sums else sums[linear] + total

    handles = [linear.register_forward_pre_hook(see) for linear in linears]
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            for batch in batches:
                forward(model, batch)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in training.items():
            module.training = mode
    return {linear: total[:-1] / total[-1] for linear, total in sums.items()}
