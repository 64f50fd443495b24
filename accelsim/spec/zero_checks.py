"""What makes use of zeros, and what does not know that they are left out of DRAM traffic."""

from __future__ import annotations

from collections.abc import Iterator

from accelsim.spec.clash import Clash, Rule
from accelsim.spec.models import ArchSpec, PeGridArray


def uses_zeros(spec: ArchSpec) -> bool:
    """Whether zeros of activations change anything on such a machine."""
    return spec.dram.run_length is not None or (isinstance(spec.array, PeGridArray) and spec.array.zero_gating)


def _run_length_is_known(spec: ArchSpec) -> Iterator[Clash]:
    if spec.dram.run_length is None:
        return
    others = {"strided_dma": spec.strided_dma, "host": spec.host, "kernels": spec.kernels}
    for name in (name for name, other in others.items() if other is not None):
        yield Clash(("dram", "run_length"), f"beside {name}, which moves values as they are", "remove one of the two")
    if spec.mapping.fusion != "none":
        yield Clash(("mapping", "fusion"), f"{spec.mapping.fusion} beside dram.run_length", "write none")


ZERO_RULES: tuple[Rule, ...] = (Rule(("dram", "strided_dma", "host", "kernels", "mapping"), _run_length_is_known),)
