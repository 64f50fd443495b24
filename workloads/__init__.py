"""Models to traces (needs the extra `torch`), and the traces that ship with the package.

`build` traces a model by name, `trace_config` one that a HuggingFace config file describes,
`trace_module` what a function in a Python file returns, `export_trace` any module with its inputs.
`template` and `config_template` are of a language model's pass over any tokens behind any context.
`python -m workloads.ship` writes the shipped traces again. Importing this package imports no torch;
its functions do, at first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workloads.configs import config_template, trace_config
    from workloads.export import export_trace
    from workloads.modules import trace_module
    from workloads.registry import build, model_names, template

__all__ = ["build", "config_template", "export_trace", "model_names", "template", "trace_config", "trace_module"]

_HOME = {
    "build": "workloads.registry",
    "config_template": "workloads.configs",
    "export_trace": "workloads.export",
    "model_names": "workloads.registry",
    "template": "workloads.registry",
    "trace_config": "workloads.configs",
    "trace_module": "workloads.modules",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'workloads' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
