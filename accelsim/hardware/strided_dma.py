"""A DMA engine that moves a conv's tile run by run, each run of consecutive addresses asked for by itself.

Tensors lie in blocks, as `[images][channels][rows][columns][image block][channel block]`, and weights as
`[filters][channels][taps][filter block][channel block]`. A tile is moved as the box around what it
needs, strides and all. Rows that padding surrounds lie apart on chip, and are a run each.
"""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.spec.dram import StridedDma as StridedDmaSpec

FS_PER_NS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class StridedDma:
    """Blocks of the layout in DRAM, and the time that each run adds to a transfer, femtoseconds."""

    run_fs: int
    image_block: int
    channel_block: int
    filter_block: int


def build_strided_dma(spec: StridedDmaSpec | None) -> StridedDma | None:
    """The engine of a spec, if it has one."""
    if spec is None:
        return None
    return StridedDma(
        run_fs=round(spec.run_ns * FS_PER_NS),
        image_block=spec.image_block,
        channel_block=spec.channel_block,
        filter_block=spec.filter_block,
    )
