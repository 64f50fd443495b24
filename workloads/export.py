"""`export_trace`: run a torch module once (on the meta device, without weights) and write down what it does."""

from __future__ import annotations

import copy
import importlib.metadata
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch.utils.flop_counter import FlopCounterMode

from accelsim.errors import UserError, user_error
from accelsim.workload.trace import Oracle, Phase, PhaseKind, Trace
from workloads.aten import tensors_in
from workloads.compressed import as_exported
from workloads.finish import finish
from workloads.graph import BIAS_BITS, Graph, Widths
from workloads.one_op import rotations_left_out
from workloads.watch import Watcher, bind_inputs, eager_attention

EXPORTER_VERSION = 1
CONFIG_SIZES = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "intermediate_size", "max_position_embeddings", "image_size", "patch_size", "num_channels",
)  # fmt: skip
UNCOUNTED = frozenset(("_grouped_mm", "mv", "addmv"))  # products that FlopCounterMode passes over

Inputs: TypeAlias = torch.Tensor | Sequence[object] | Mapping[str, object]


def export_trace(
    model: torch.nn.Module,
    inputs: Inputs,
    phase: PhaseKind,
    *,
    name: str | None = None,
    tokens: int | None = None,
    context: int | None = None,
    batch: int | None = None,
    weight_bits: int = 8,
    activation_bits: int = 8,
    kv_bits: int = 8,
) -> Trace:
    """The trace of one forward pass of any torch module in eval mode.

    On the meta device no weights are needed. `inputs` are the forward's arguments: one tensor, a
    sequence, or a mapping of keywords; a KV cache among them is read as context and not changed.
    `tokens` (new ones per sequence), `context` (earlier ones) and `batch` are taken from the inputs
    unless given. Widths are bits per element; biases and gains have 32. A layer that says how it is
    compressed (see `workloads.compressed`) is one op, with its own widths and psum scheme. Raises UserError for a model
    in training mode and for one that reads values which meta tensors lack.
    """
    if model.training:
        raise user_error(type(model).__name__, "training", "the model is in training mode", "call model.eval() first")
    named = _named(inputs)
    sizes = _sizes(named, tokens, context, batch)
    graph = Graph(Widths(weight_bits, activation_bits, kv_bits))
    run = copy.deepcopy(named)
    bind_inputs(graph, model, run)
    watcher = Watcher(graph, model)
    with torch.no_grad(), as_exported(model), watcher.watching():
        _call(model, inputs, run)
    oracle = _oracle(model, inputs, copy.deepcopy(named), watcher.met)
    tensors, ops, unknown = finish(graph)
    provenance = _provenance(model, sizes, graph)
    title = name or type(model).__name__.lower()
    return Trace(title, provenance, oracle, tensors, (Phase(phase, phase, *sizes, ops),), unknown)


def _named(inputs: Inputs) -> dict[str, object]:
    if isinstance(inputs, Mapping):
        return dict(inputs)
    values = [inputs] if isinstance(inputs, torch.Tensor) else list(inputs)
    return {"input" if not number else f"input_{number}": value for number, value in enumerate(values)}


def _call(model: torch.nn.Module, inputs: Inputs, named: Mapping[str, object]) -> None:
    if isinstance(inputs, Mapping):
        model(**named)
    else:
        model(*named.values())


def _sizes(
    named: Mapping[str, object], tokens: int | None, context: int | None, batch: int | None
) -> tuple[int, int, int]:
    """Tokens, context and batch: as given, else as the first input and the cache say."""
    first = next(iter(tensors_in(list(named.values()))), None)
    shape = (1, 1) if first is None or first.dim() == 0 else tuple(first.shape)
    length = 0
    for value in named.values():
        if hasattr(value, "get_seq_length"):
            length = int(value.get_seq_length())
    sequence = shape[1] if len(shape) in (2, 3) else 1  # ids or embeddings; an image is one token
    return (
        sequence if tokens is None else tokens,
        length if context is None else context,
        shape[0] if batch is None else batch,
    )


def _oracle(model: torch.nn.Module, inputs: Inputs, named: Mapping[str, object], met: set[str]) -> Oracle:
    """What torch's own counter says of the same run, which shares no code with the exporter."""
    device = next((parameter.device.type for parameter in model.parameters()), "cpu")
    method = f"torch FlopCounterMode / 2, eager attention, {device} device"
    missed = sorted(met & UNCOUNTED)
    config = getattr(model, "config", None)
    by_expert = missed == ["_grouped_mm"] and hasattr(config, "_experts_implementation")
    if by_expert:
        method += ", experts as batched_mm"
    elif missed:
        return Oracle(None, f"{method}: does not count {', '.join(missed)}")
    counter = FlopCounterMode(display=False)
    try:
        with (
            torch.no_grad(),
            as_exported(model),
            rotations_left_out(model) as rotations,
            eager_attention(),
            _experts_batched(config if by_expert else None),
            counter,
        ):
            _call(model, inputs, named)
    except (RuntimeError, NotImplementedError, UserError) as error:
        return Oracle(None, f"{method}: could not run ({type(error).__name__})")
    left_out = ", run-time rotations left out" if rotations else ""
    return Oracle(counter.get_total_flops() // 2, method + left_out)


@contextmanager
def _experts_batched(config: Any) -> Iterator[None]:
    """While it lasts, experts multiply token by token, which the counter sees; with None, nothing changes."""
    if config is None:
        yield
        return
    before = config._experts_implementation
    config._experts_implementation = "batched_mm"
    try:
        yield
    finally:
        config._experts_implementation = before


def _provenance(model: torch.nn.Module, sizes: tuple[int, int, int], graph: Graph) -> tuple[tuple[str, str], ...]:
    """What the trace was made from and with; no path, time or host."""
    entries = {"model": type(model).__name__, "parameters": str(sum(item.numel() for item in model.parameters()))}
    config = getattr(model, "config", None)
    for size in CONFIG_SIZES:
        if isinstance(getattr(config, size, None), int):
            entries[f"config.{size}"] = str(getattr(config, size))
    entries |= {"tokens": str(sizes[0]), "context": str(sizes[1]), "batch": str(sizes[2])}
    widths = graph.widths
    entries["assumed_bits"] = (
        f"weight {widths.weight}, activation {widths.activation}, kv {widths.kv}, bias and gain {BIAS_BITS}"
    )
    entries["exporter"] = str(EXPORTER_VERSION)
    entries["torch"] = importlib.metadata.version("torch")
    if "transformers" in sys.modules:
        entries["transformers"] = importlib.metadata.version("transformers")
    for number, (policy, count) in enumerate(sorted(graph.policies.items())):
        entries[f"policy.{number}"] = f"{policy} ({count} times)"
    return tuple(entries.items())
