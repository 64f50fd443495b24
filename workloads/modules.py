"""A model of the user's own: `path.py:function`, whose function returns a module and its inputs."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import torch

from accelsim.errors import Fault, UserError, did_you_mean, user_error
from accelsim.workload.trace import PhaseKind, Trace
from workloads.aten import tensors_in
from workloads.export import Inputs, export_trace
from workloads.foreign import answered
from workloads.sizes import EIGHT_BITS, Widths

META = torch.device("meta")
RETURNS = "return (module, inputs): a torch.nn.Module in eval mode, and a tensor, a list or a dict of its arguments"


def trace_module(spec: str, phase: PhaseKind = "encode", widths: Widths = EIGHT_BITS) -> Trace:
    """The trace of what `path.py:function` returns: (module, inputs), as `export_trace` takes them.

    The function takes no arguments and runs under `torch.device("meta")`, so that what it creates
    without naming a device needs no memory. Raises UserError, with the file, for a file or function
    that does not exist, for what the file, the function or the model raises, and for another result.
    """
    file, function = _parts(spec)
    with answered(file, function, "correct the file; accelsim runs it as it is"), _beside(file):
        module = _load(file)
        network, inputs = _result(file, function, _function(file, function, module))
    try:
        with answered(file, function, "make the module run on its inputs, both on one device (best: meta)"):
            return export_trace(network, inputs, phase, name=function, **asdict(widths))
    except UserError as error:  # the exporter knows the module's path in the model, not the file
        raise UserError(
            fault if fault.file == file else Fault(file, 0, 0, function, f"{fault.file}: {fault.found}", fault.fix)
            for fault in error.faults
        ) from None


def _parts(spec: str) -> tuple[str, str]:
    file, colon, function = spec.rpartition(":")
    if not colon or not file.endswith(".py") or not function.isidentifier():
        raise user_error("command line", "--module", repr(spec), "write path.py:function, like model.py:build")
    if not Path(file).is_file():
        raise user_error(file, function, "no such file", "name a readable Python file")
    return file, function


@contextmanager
def _beside(file: str) -> Iterator[None]:
    """While it lasts, the file may import its neighbours, as a script may."""
    folder = str(Path(file).resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _load(file: str) -> ModuleType:
    name = f"accelsim_user_{Path(file).stem}"
    found = importlib.util.spec_from_file_location(name, Path(file).resolve())
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and pickles of the file look it up there
    with META:
        found.loader.exec_module(module)
    return module


def _function(file: str, name: str, module: ModuleType) -> Callable[[], object]:
    function = getattr(module, name, None)
    if function is None:
        functions = [value for value in vars(module).values() if inspect.isfunction(value)]
        own = [value.__name__ for value in functions if value.__module__ == module.__name__]
        raise user_error(file, name, "no such function", did_you_mean(name, own) if own else "define it in the file")
    if not callable(function):
        raise user_error(file, name, f"{_described(function)}, not a function", RETURNS)
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise user_error(file, name, f"cannot be called: {error}", "let it take no arguments") from None
    except ValueError:  # a builtin without a signature
        pass
    found: Callable[[], object] = function
    return found


def _result(file: str, name: str, function: Callable[[], object]) -> tuple[torch.nn.Module, Inputs]:
    with META:
        made = function()
    if not isinstance(made, tuple | list) or len(made) != 2 or not isinstance(made[0], torch.nn.Module):
        raise user_error(file, name, f"returned {_described(made)}", RETURNS)
    network, inputs = made
    named = isinstance(inputs, Mapping) and all(isinstance(key, str) for key in inputs)
    listed = isinstance(inputs, Sequence) and not isinstance(inputs, str)
    if not (named or listed or isinstance(inputs, torch.Tensor)) or not tensors_in(inputs):
        raise user_error(file, name, f"no tensor in its inputs, {_described(inputs)}", RETURNS)
    if network.training:
        raise user_error(file, name, "the module is in training mode", "call module.eval() before returning it")
    return network, inputs


def _described(value: object) -> str:
    if isinstance(value, tuple | list) and value:
        return f"({', '.join(type(item).__name__ for item in value)})"
    return f"a value of type {type(value).__name__}"
