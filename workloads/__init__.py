"""Models to traces (needs the extra `torch`), and the traces that ship with the package.

Importing this package imports no torch; `export_trace` and `build` do, at first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workloads.export import export_trace
    from workloads.registry import build, model_names

__all__ = ["build", "export_trace", "model_names"]

_HOME = {"export_trace": "workloads.export", "build": "workloads.registry", "model_names": "workloads.registry"}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'workloads' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
