"""A HuggingFace model from its config file: built on the meta device, without weights or download."""

from __future__ import annotations

import difflib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from accelsim.errors import Fault, UserError, user_error
from accelsim.workload.trace import PhaseKind, Trace
from workloads.foreign import answered
from workloads.registry import META, template_of, trace_image, trace_tokens
from workloads.sizes import EIGHT_BITS, Request, Widths

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

    from accelsim.workload.template import TraceTemplate

MAX_BYTES = 2**20
NOT_READ = "config.keys_not_read"
"""Provenance entry: keys of the file that the config's class does not have."""
# Keys that every config file may hold and that no config class lists among its defaults.
# Rotary keys of older files become `rope_parameters`.
COMMON_KEYS = frozenset((
    "_name_or_path", "auto_map", "torch_dtype", "transformers_version", "rope_scaling", "rope_theta",
))  # fmt: skip
CORRECT = "correct the config, or trace the model with --module"
MISSPELT = 0.9  # how alike an unknown key and a key that the file lacks must be to be called a slip


def trace_config(
    path: str | Path,
    *,
    phase: PhaseKind | None = None,
    seq: int | None = None,
    context: int | None = None,
    size: int | None = None,
    batch: int = 1,
    widths: Widths = EIGHT_BITS,
) -> Trace:
    """The trace of the model that a HuggingFace `config.json` describes, with eager attention.

    Its first entry in `architectures` chooses the class; without one, the bare model. Causal language
    models have the phases prefill and decode, every other model encode. Sizes are those of `build`.
    Raises UserError, with the file, for one that cannot be read, an unknown model type or
    architecture, a misspelt key, values that the model refuses, and models that read anything but
    token ids or images.
    """
    file, request = str(path), Request(phase, seq, context, size, batch)
    document = _read(file)
    config = _config(file, document)
    network = _network(file, document, config)
    stem = Path(file).stem.removesuffix(".config")
    title = str(document["model_type"]) if stem == "config" else stem
    return _with_strays(_trace(file, network, request, title, widths), document, config)


def _with_strays(trace: Trace, document: dict[str, object], config: PreTrainedConfig) -> Trace:
    strays = sorted(set(document) - _known(config))
    return replace(trace, provenance=(*trace.provenance, (NOT_READ, ", ".join(strays)))) if strays else trace


def config_template(path: str | Path) -> TraceTemplate:
    """The template of the causal language model that a HuggingFace `config.json` describes.

    It ends where learned positions do, or the window of its attention. UserError as `trace_config`, for any other
    model, and for one whose work is not affine in tokens and context (a mixture of experts).
    """
    file = str(path)
    document = _read(file)
    config = _config(file, document)
    network = _network(file, document, config)
    name = type(network).__name__
    if not _is_causal(network):
        fix = f"a template needs a KV cache: name such a class in the file, {_example(config)}"
        raise user_error(file, name, "is no causal language model", fix)
    stem = Path(file).stem.removesuffix(".config")
    title = str(document["model_type"]) if stem == "config" else stem
    ends = [most for most in (_positions(config), _window(config)) if most is not None]
    with answered(file, name, CORRECT):
        try:
            made = template_of(network, title, min(ends, default=None))
            return replace(made, trace=_with_strays(made.trace, document, config))
        except ValueError as error:
            found = f"is no template: {error}"
            raise user_error(file, name, found, "trace it pass by pass: leave out --template, give --phase") from None


def _trace(file: str, network: PreTrainedModel, request: Request, title: str, widths: Widths) -> Trace:
    config, kind = network.config, network.main_input_name
    causal = _is_causal(network)
    if not causal and request.phase in ("prefill", "decode"):
        fix = f"name a language model in the file, {_example(config)}"
        raise user_error(file, type(network).__name__, f"has no phase {request.phase!r}", fix)
    phases: tuple[PhaseKind, ...] = ("prefill", "decode") if causal else ("encode",)
    phase = request.phase_of(file, phases)
    if kind == "pixel_values":
        default = getattr(config, "image_size", None)
        pixels = request.pixels(file, default if isinstance(default, int) else None)
        with answered(file, type(network).__name__, CORRECT):
            return trace_image(network, title, pixels, getattr(config, "num_channels", 3), request.batch, widths)
    if kind != "input_ids":
        raise user_error(file, type(network).__name__, f"reads {kind}", "give it its inputs with --module")
    tokens = request.tokens(file, phase, _positions(config))
    title = f"{title}-{phase}-{tokens}" if causal else title
    with answered(file, type(network).__name__, CORRECT):
        return trace_tokens(network, title, phase, tokens, request.batch, widths)


def _is_causal(network: PreTrainedModel) -> bool:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return type(network).__name__ in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()


def _example(config: PreTrainedConfig) -> str:
    """The causal language model of a model type as a config names it, if there is one."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    name = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type, "LlamaForCausalLM")
    return f'"architectures": ["{name if isinstance(name, str) else name[0]}"]'


def _window(config: PreTrainedConfig) -> int | None:
    """Tokens up to which every layer attends to all of them; None where all always do."""
    config = config.get_text_config()
    layers = getattr(config, "layer_types", None)
    if layers is not None and set(layers) <= {"full_attention"}:
        return None
    windows = (getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size"))
    return min((window for window in windows if isinstance(window, int)), default=None)


def _positions(config: PreTrainedConfig) -> int | None:
    """Where learned positions end; rotary and relative ones do not."""
    config = config.get_text_config()
    if getattr(config, "rope_parameters", None):
        return None
    most = getattr(config, "max_position_embeddings", getattr(config, "max_seq_len", None))
    return most if isinstance(most, int) and most > 0 else None


def _read(file: str) -> dict[str, object]:
    try:
        data = Path(file).read_bytes()
    except OSError as error:
        raise user_error(file, "file", error.strerror or str(error), "name a readable config.json") from None
    if len(data) > MAX_BYTES:
        raise user_error(file, "file", f"{len(data)} bytes", f"a config has at most {MAX_BYTES}")
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=lambda pairs: _once(file, pairs))
    except json.JSONDecodeError as error:
        raise UserError([Fault(file, error.lineno, error.colno, "JSON", error.msg, "correct the syntax")]) from None
    except (UnicodeDecodeError, RecursionError, ValueError):
        raise user_error(file, "JSON", "not UTF-8 JSON of sensible depth", "save the config as UTF-8 JSON") from None
    if not isinstance(document, dict):
        raise user_error(file, "JSON", f"a {type(document).__name__}", "a config is one JSON object")
    return document


def _once(file: str, pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise UserError(Fault(file, 0, 0, name, "this key stands here twice", "keep one of the two") for name in twice)
    return result


def _config(file: str, document: dict[str, object]) -> PreTrainedConfig:
    from transformers import CONFIG_MAPPING, AutoConfig

    name = document.get("model_type")
    if not isinstance(name, str) or name not in CONFIG_MAPPING:
        if name is None:
            raise user_error(file, "model_type", "missing", 'add it, like "model_type": "llama"')
        found, near = f"unknown: {name!r}", _near(str(name), list(CONFIG_MAPPING), "type of transformers")
        raise user_error(file, "model_type", found, near)
    values = {key: value for key, value in document.items() if key not in ("model_type", "auto_map")}
    with answered(file, name, CORRECT):
        config = AutoConfig.for_model(name, **values)
    slips = [(key, _slip(key, document, config)) for key in sorted(set(document) - _known(config))]
    faults = [Fault(file, 0, 0, key, "unknown key", f"did you mean {near!r}?") for key, near in slips if near]
    if faults:
        raise UserError(faults)
    return config


def _known(config: PreTrainedConfig) -> set[str]:
    """Keys that the config's class reads."""
    return set(type(config)().to_dict()) | set(config.attribute_map) | COMMON_KEYS


def _slip(key: str, document: dict[str, object], config: PreTrainedConfig) -> str | None:
    """The key that an unknown one was meant to be; None when no missing key is close to it."""
    free = sorted(_known(config) - set(document))
    return next(iter(difflib.get_close_matches(key, free, n=1, cutoff=MISSPELT)), None)


def _network(file: str, document: dict[str, object], config: PreTrainedConfig) -> PreTrainedModel:
    """The model on the meta device, in bfloat16: the experts of a mixture run in nothing else there."""
    import transformers

    listed = document.get("architectures")
    name = listed[0] if isinstance(listed, list) and listed else None
    options = {"attn_implementation": "eager", "dtype": torch.bfloat16}
    with answered(file, str(name or document["model_type"]), CORRECT), META:
        if name is None:
            network = transformers.AutoModel.from_config(config, **options).eval()
        else:
            network = _architecture(file, name)._from_config(config, **options).eval()
    for parameter, held in network.named_parameters():
        if not held.numel():
            raise user_error(file, parameter, f"has no elements: {' x '.join(map(str, held.shape))}", CORRECT)
    layers = getattr(config.get_text_config(), "num_hidden_layers", 1)
    if not isinstance(layers, int) or layers < 1:
        raise user_error(file, "num_hidden_layers", f"{layers!r}", "give the model a layer")
    return network


def _architecture(file: str, name: object) -> type[PreTrainedModel]:
    import transformers

    found = getattr(transformers, name, None) if isinstance(name, str) else None
    if isinstance(found, type) and issubclass(found, transformers.PreTrainedModel):
        return found
    classes = [item for item in dir(transformers) if "For" in item or item.endswith("Model")]
    raise user_error(file, "architectures", f"unknown: {name!r}", _near(str(name), classes, "model class"))


def _near(word: str, allowed: list[str], what: str) -> str:
    """The nearest spellings alone: transformers has hundreds."""
    spelt = {each.lower(): each for each in sorted(allowed)}
    near = [spelt[each] for each in difflib.get_close_matches(word.lower(), spelt, n=3, cutoff=0.5)]
    return f"did you mean {' or '.join(map(repr, near))}?" if near else f"name a {what}"
