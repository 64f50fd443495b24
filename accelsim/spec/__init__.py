"""The accelerator spec: the YAML a user writes, read safely and validated whole."""

from accelsim.spec.load import ResolvedArch, load_arch, load_arch_resolved
from accelsim.spec.models import ArchSpec
from accelsim.spec.overrides import split_overrides
from accelsim.spec.provenance import resolved_rows, spec_hash

__all__ = [
    "ArchSpec",
    "ResolvedArch",
    "load_arch",
    "load_arch_resolved",
    "resolved_rows",
    "spec_hash",
    "split_overrides",
]
