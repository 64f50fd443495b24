"""Rotations folded into weights: the residual stream (R1), values and outputs per head (R2), the down projection."""

from __future__ import annotations

import torch

from accelsim.schemes import RotationScheme
from algos.rotation.norms import along_, centred, fold_gain_, is_foldable, plain_norm, subtracts_mean, written
from algos.rotation.rotate import OnlineRotation, rotate
from algos.rotation.stream import Base, heads


class RotatedLinear(torch.nn.Module):
    """A linear layer whose weight is rotated along its inputs, behind the rotation of those inputs."""

    def __init__(self, linear: torch.nn.Linear, rotation: torch.nn.Module) -> None:
        super().__init__()
        self.rotation = rotation
        self.linear = linear

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.linear(self.rotation(x))
        return result


class RotatedBack(torch.nn.Module):
    """A final norm on a rotated stream that hands out what it did before: norm, inverse rotation, gain, bias."""

    def __init__(self, norm: torch.nn.Module, scheme: RotationScheme, gain: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.norm = norm
        self.rotation = OnlineRotation(scheme, inverse=True)
        self.weight = torch.nn.Parameter(gain)
        self.bias = torch.nn.Parameter(bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.rotation(self.norm(x)) * self.weight + self.bias
        return result


def stream_obstacle(model: torch.nn.Module, base: Base) -> str:
    """Why the residual stream cannot be rotated, or ""."""
    family = base.family
    if family.no_stream:
        return family.no_stream
    _, reason = heads(model, base)
    reason = reason or _no_linear(base)
    if reason:
        return reason
    norms = [layer.get_submodule(norm) for _, layer in base.layers() for norm, _ in family.norms]
    norms.append(base.module.get_submodule(family.final_norm))
    strange = next((norm for norm in norms if not is_foldable(norm)), None)
    if strange is not None:
        return f"{type(strange).__name__} is not known to be x / rms(x) times a gain"
    if len({subtracts_mean(norm) for norm in norms}) > 1:
        return "some norms centre the stream and some do not"
    width = stream_width(base)
    try:
        for module in _writers(base):
            written(module, width)
    except ValueError as error:
        return str(error)
    return ""


def stream_width(base: Base) -> int:
    """Channels of the residual stream."""
    _, layer = base.layers()[0]
    return int(_linear(layer, base.family.output).out_features)


def fold_norms_(model: torch.nn.Module, base: Base) -> None:
    """Gains and biases into the linears behind the norms, means into the writers; norms become x / rms(x).

    The network computes what it did. The final norm of a network without heads keeps its gain and bias.
    """
    untie_(model, base)
    family, width = base.family, stream_width(base)
    final = base.module.get_submodule(family.final_norm)
    if subtracts_mean(final):
        for module in _writers(base):
            for parameter, axis in written(module, width):
                along_(parameter, axis, centred)
    for _, layer in base.layers():
        for path, readers in family.norms:
            norm = layer.get_submodule(path)
            fold_gain_(norm, [_linear(layer, reader) for reader in readers])
            layer.set_submodule(path, plain_norm(norm, width))
    read_by, _ = heads(model, base)
    if read_by:
        fold_gain_(final, read_by)
        base.module.set_submodule(family.final_norm, plain_norm(final, width))


def rotate_stream_(model: torch.nn.Module, base: Base, scheme: RotationScheme) -> None:
    """R1: the stream x becomes x Q, folded into what writes it and what reads it. Norms must be folded."""
    family = base.family
    for module in _writers(base):
        for parameter, axis in written(module, scheme.width):
            along_(parameter, axis, lambda values: rotate(values, scheme))
    readers = [_linear(layer, path) for _, layer in base.layers() for _, paths in family.norms for path in paths]
    read_by, _ = heads(model, base)
    for linear in readers + read_by:
        along_(linear.weight, 1, lambda values: rotate(values, scheme))
    if not read_by:
        final = base.module.get_submodule(family.final_norm)
        gain = torch.as_tensor(final.weight).detach().clone()
        bias = getattr(final, "bias", None)
        bias = torch.zeros_like(gain) if bias is None else bias.detach().clone()
        back = RotatedBack(plain_norm(final, scheme.width), scheme, gain, bias)
        base.module.set_submodule(family.final_norm, back.train(final.training))


def rotate_values_(layer: torch.nn.Module, base: Base, head: RotationScheme) -> None:
    """R2: every head's values v become v Q, folded into the value and the output projection."""
    value, output = _linear(layer, base.family.value), _linear(layer, base.family.output)
    for linear, axis in ((value, 0), (output, 1)):
        scheme = RotationScheme(linear.weight.shape[axis], head.points, head.order, seed=None)
        along_(linear.weight, axis, lambda values, scheme=scheme: rotate(values, scheme))  # type: ignore[misc]
    if value.bias is not None:
        scheme = RotationScheme(value.out_features, head.points, head.order)
        along_(value.bias, 0, lambda values: rotate(values, scheme))


def rotate_down_(
    layer: torch.nn.Module, base: Base, scheme: RotationScheme, rotation: torch.nn.Module | None = None
) -> None:
    """The down projection reads x Q, made at run time by `rotation`, with its weight rotated to match."""
    down = _linear(layer, base.family.down)
    along_(down.weight, 1, lambda values: rotate(values, scheme))
    rotated = RotatedLinear(down, OnlineRotation(scheme) if rotation is None else rotation)
    layer.set_submodule(base.family.down, rotated.train(down.training))


def head_width(layer: torch.nn.Module, base: Base) -> int:
    """Channels of one head's values."""
    attention = layer.get_submodule(base.family.value.rpartition(".")[0])
    width = getattr(attention, "head_dim", None) or getattr(attention, "attention_head_size", None)
    assert isinstance(width, int)
    return width


def untie_(model: torch.nn.Module, base: Base) -> None:
    """A head that shares its weight with the embedding gets one of its own; only it takes the final gain."""
    shared = {id(parameter) for module in _writers(base) for parameter in module.parameters()}
    for linear in heads(model, base)[0]:
        if id(linear.weight) in shared:
            linear.weight = torch.nn.Parameter(linear.weight.detach().clone())
            for config in (getattr(model, "config", None), getattr(base.module, "config", None)):
                if config is not None:
                    config.tie_word_embeddings = False


def _no_linear(base: Base) -> str:
    """Which reader or writer of the stream is no plain linear layer any more, or ""."""
    family = base.family
    paths = [path for _, readers in family.norms for path in readers] + [family.output, family.down]
    for where, layer in base.layers():
        for path in paths:
            if not is_linear(layer, path):
                return f"{where}.{path} is a {type(layer.get_submodule(path)).__name__}"
    return ""


def _writers(base: Base) -> list[torch.nn.Module]:
    family = base.family
    outputs = [layer.get_submodule(path) for _, layer in base.layers() for path in (family.output, family.down)]
    return [base.module.get_submodule(path) for path in family.embeddings] + outputs


def is_linear(layer: torch.nn.Module, path: str) -> bool:
    """Whether a plain linear layer stands there, one with rotated inputs included."""
    return isinstance(_plain(layer.get_submodule(path)), torch.nn.Linear)


def _plain(module: torch.nn.Module) -> torch.nn.Module:
    return module.linear if isinstance(module, RotatedLinear) else module


def _linear(layer: torch.nn.Module, path: str) -> torch.nn.Linear:
    module = _plain(layer.get_submodule(path))
    assert isinstance(module, torch.nn.Linear), f"{path} is a {type(module).__name__}"
    return module
