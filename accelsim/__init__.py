"""accelsim: a hardware-algorithm co-design simulator for compressed transformers.

The names below are the contract; each is imported on first use, so `import accelsim` stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelsim.errors import UserError as UserError
    from accelsim.explore.codesign import codesign as codesign
    from accelsim.explore.sweep import sweep as sweep
    from accelsim.report import Report as Report
    from accelsim.simulation import simulate as simulate
    from accelsim.spec import load_arch as load_arch
    from accelsim.workload import load_trace as load_trace

__version__ = "0.1.0"

_HOMES = {
    "Report": "accelsim.report",
    "UserError": "accelsim.errors",
    "codesign": "accelsim.explore.codesign",
    "load_arch": "accelsim.spec",
    "load_trace": "accelsim.workload",
    "simulate": "accelsim.simulation",
    "sweep": "accelsim.explore.sweep",
}
__all__ = ["Report", "UserError", "__version__", "codesign", "load_arch", "load_trace", "simulate", "sweep"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'accelsim' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
