"""Rotation as a compression scheme: what `compress_` and recipes take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias, get_args

import torch

from accelsim.schemes import RotationScheme, construction
from accelsim.schemes.rotation import CHIP_POINTS
from accelsim.schemes.rotation_scales import MAX_BITS
from algos.calibrate import calibrate_
from algos.changes import LayerChange
from algos.layers import matches
from algos.rotation.fuse import (
    RotatedLinear,
    fold_norms_,
    head_width,
    is_linear,
    rotate_down_,
    rotate_stream_,
    rotate_values_,
    stream_obstacle,
    stream_width,
)
from algos.rotation.integers import QuantisedRotation
from algos.rotation.key_query import key_obstacle, rotate_keys_
from algos.rotation.stream import FAMILIES, Base, find_base
from algos.scheme_config import Batch, SchemeConfig

Down = Literal["full", "local", "none"]
Step: TypeAlias = tuple[LayerChange, Callable[[], None]]


@dataclass(frozen=True, kw_only=True)
class RotationConfig(SchemeConfig):
    """Which rotations go into a transformer. The network computes what it did, up to rounding.

    `residual`: the residual stream (R1), folded into weights after the norms' gains and means; pre-norm
    networks only. `values`: every head's values (R2), folded. `down`: the down projection's inputs, at run time, in one
    stage over the whole width or by the chip's two local ones with transforms of at most `max_points`
    whose windows share at least `overlap` of the width; with `down_bits` it runs on integers of that
    width in and out, with calibrated scales. `keys`: queries and keys per head after their
    rotary embedding, at run time, for a quantised key cache. `seed` draws the signs. `layers` and `skip`
    match the base model's path (residual stream), output projections (values), down projections and
    attentions (keys). ValueError for settings out of range or that rotate nothing.
    """

    name: ClassVar[str] = "rotation"

    residual: bool = True
    values: bool = True
    down: Down = "full"
    down_bits: int | None = None
    keys: bool = False
    max_points: int = CHIP_POINTS
    overlap: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.down not in get_args(Down):
            raise ValueError(f"down {self.down!r} is none of {', '.join(get_args(Down))}")
        if not (self.residual or self.values or self.keys or self.down != "none"):
            raise ValueError("nothing is rotated")
        if self.down_bits is not None and not 2 <= self.down_bits <= MAX_BITS:
            raise ValueError(f"down_bits {self.down_bits} is outside 2..{MAX_BITS}")
        if self.max_points < 1 or self.max_points & (self.max_points - 1):
            raise ValueError(f"max_points {self.max_points} is not a power of two")
        if not 0 <= self.overlap < 1 or self.seed < 0:
            raise ValueError(f"overlap {self.overlap} is outside 0..1, or seed {self.seed} is negative")

    def plan(self, model: torch.nn.Module) -> list[LayerChange]:
        """The residual stream, then per layer its values, down projection and keys."""
        return [change for change, _ in self._steps(model)]

    def apply_(self, model: torch.nn.Module, batches: Sequence[Batch]) -> list[LayerChange]:
        """Fold what can be folded; with `down_bits`, `batches` calibrate the scales."""
        steps = list(self._steps(model))
        for _, act in steps:
            act()
        if batches and self.down_bits is not None:
            calibrate_(model, batches)
        return [change for change, _ in steps]

    def _steps(self, model: torch.nn.Module) -> Iterator[Step]:
        base = find_base(model)
        if base is None:
            known = f"none of the networks that rotation knows ({', '.join(FAMILIES)})"
            yield LayerChange("", self.name, type(model).__name__, skipped=known), _nothing
            return
        if self.residual and matches(base.path or type(model).__name__, self.layers):
            yield self._stream(model, base)
        for number, (path, layer) in enumerate(base.layers()):
            family = base.family
            output, down, attention = family.output, family.down, family.value.rpartition(".")[0]
            if self.values and matches(f"{path}.{output}", self.layers):
                yield self._values(base, path, layer)
            if self.down != "none" and matches(f"{path}.{down}", self.layers):
                yield self._down(base, path, layer, number)
            if self.keys and matches(f"{path}.{attention}", self.layers):
                yield self._keys(model, base, f"{path}.{attention}", layer)

    def _stream(self, model: torch.nn.Module, base: Base) -> Step:
        kind = type(base.module).__name__
        obstacle = "named in skip" if matches(base.path or kind, self.skip) else stream_obstacle(model, base)
        scheme = None if obstacle else _full(stream_width(base), self.seed)
        if scheme is None:
            skipped = obstacle or f"{stream_width(base)} channels have no Hadamard matrix here"
            return LayerChange(base.path, self.name, kind, skipped=skipped), _nothing

        def act() -> None:
            fold_norms_(model, base)
            rotate_stream_(model, base, scheme)

        return LayerChange(base.path, self.name, kind, f"residual stream, {described(scheme)}, folded"), act

    def _values(self, base: Base, layer_path: str, layer: torch.nn.Module) -> Step:
        path, kind = f"{layer_path}.{base.family.output}", type(layer.get_submodule(base.family.output)).__name__
        reason = "named in skip" if matches(path, self.skip) else ""
        if not reason and not (is_linear(layer, base.family.value) and is_linear(layer, base.family.output)):
            reason = "values and output are not both plain linear layers"
        scheme = None if reason else _full(head_width(layer, base), None)
        if scheme is None:
            skipped = reason or f"heads of {head_width(layer, base)} channels have no Hadamard matrix here"
            return LayerChange(path, self.name, kind, skipped=skipped), _nothing
        change = LayerChange(path, self.name, kind, f"values per head, {described(scheme)}, folded")
        return change, lambda: rotate_values_(layer, base, scheme)

    def _down(self, base: Base, layer_path: str, layer: torch.nn.Module, number: int) -> Step:
        path, module = f"{layer_path}.{base.family.down}", layer.get_submodule(base.family.down)
        kind, reason = type(module).__name__, "named in skip" if matches(path, self.skip) else ""
        if not reason and not isinstance(module, torch.nn.Linear):
            reason = "rotated already" if isinstance(module, RotatedLinear) else "not a plain linear layer"
        scheme = None if reason else self._down_scheme(int(module.in_features), self.seed + 1 + number)
        if scheme is None:
            skipped = reason or f"{module.in_features} channels have no {self.down} rotation here"
            return LayerChange(path, self.name, kind, skipped=skipped), _nothing
        bits = self.down_bits
        on = "at run time" if bits is None else f"at run time on INT{bits}"
        change = LayerChange(path, self.name, kind, f"inputs, {described(scheme)}, {on}")
        rotation = None if bits is None else QuantisedRotation(scheme, input_bits=bits, output_bits=bits)
        return change, lambda: rotate_down_(layer, base, scheme, rotation)

    def _down_scheme(self, width: int, seed: int) -> RotationScheme | None:
        if self.down == "full":
            return _full(width, seed)
        try:
            return RotationScheme.two_stage(width, max_points=self.max_points, overlap=self.overlap, seed=seed)
        except ValueError:
            return None

    def _keys(self, model: torch.nn.Module, base: Base, path: str, layer: torch.nn.Module) -> Step:
        attention = layer.get_submodule(base.family.value.rpartition(".")[0])
        kind = type(attention).__name__
        reason = "named in skip" if matches(path, self.skip) else key_obstacle(base, attention)
        scheme = None if reason else _full(head_width(layer, base), None)
        if scheme is None:
            skipped = reason or f"heads of {head_width(layer, base)} channels have no Hadamard matrix here"
            return LayerChange(path, self.name, kind, skipped=skipped), _nothing
        change = LayerChange(path, self.name, kind, f"queries and keys per head, {described(scheme)}, at run time")
        return change, lambda: rotate_keys_(attention, scheme)


def described(scheme: RotationScheme) -> str:
    """The factorisation in words."""
    order = "" if scheme.order == 1 else f" x order {scheme.order} ({construction(scheme.order)})"
    stages = "two overlapping stages of " if scheme.local else ""
    return f"{scheme.width} wide: {stages}{scheme.points} points{order}"


def _full(width: int, seed: int | None) -> RotationScheme | None:
    try:
        return RotationScheme.full(width, seed)
    except ValueError:
        return None


def _nothing() -> None:
    """What a skipped layer needs."""
