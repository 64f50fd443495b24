"""Combinations that rule one another out among kernels, the host and its DMA engine."""

from __future__ import annotations

from collections.abc import Iterator

from accelsim.spec.clash import Clash, Rule
from accelsim.spec.models import AdderTreeArray, ArchSpec, SystolicArray


def _one_way_to_be_driven(spec: ArchSpec) -> Iterator[Clash]:
    if spec.kernels is not None and spec.host is not None:
        yield Clash(("host",), "beside kernels", "a machine runs kernels or is issued commands: remove one of the two")


def _host_has_a_dma(spec: ArchSpec) -> Iterator[Clash]:
    if (spec.host is None) != (spec.dma is None):
        there, missing = ("host", "dma") if spec.dma is None else ("dma", "host")
        yield Clash((there,), f"without {missing}", f"add {missing}: a host's commands are loaded by a DMA engine")


def _host_has_a_systolic_array(spec: ArchSpec) -> Iterator[Clash]:
    if spec.host is None:
        return
    if not isinstance(spec.array, SystolicArray):
        yield Clash(("array", "kind"), f"{spec.array.kind} under a host", "use systolic, or remove host and dma")
    elif spec.array.spatial_reduction != "nested":
        yield Clash(("array", "spatial_reduction"), f"{spec.array.spatial_reduction} under a host", "write nested")


def _kernels_have_an_array(spec: ArchSpec) -> Iterator[Clash]:
    if spec.kernels is None or isinstance(spec.array, AdderTreeArray):
        return
    if not (isinstance(spec.array, SystolicArray) and spec.array.dataflow == "weight_stationary"):
        found = f"{spec.array.kind}, {spec.array.dataflow}, under kernels"
        yield Clash(("array", "kind"), found, "use an adder_tree, or a weight_stationary systolic array")


def _ops_are_launched_one_by_one(spec: ArchSpec) -> Iterator[Clash]:
    if spec.kernels is None and spec.host is None:
        return
    if spec.mapping.fusion != "none":
        yield Clash(("mapping", "fusion"), f"{spec.mapping.fusion} under kernels or a host", "write none")
    if spec.mapping.prefetch != "none":
        yield Clash(("mapping", "prefetch"), f"{spec.mapping.prefetch} under kernels or a host", "write none")


OFFLOAD_RULES: tuple[Rule, ...] = (
    Rule(("kernels", "host"), _one_way_to_be_driven),
    Rule(("dma", "host"), _host_has_a_dma),
    Rule(("host", "array"), _host_has_a_systolic_array),
    Rule(("kernels", "array"), _kernels_have_an_array),
    Rule(("kernels", "host", "mapping"), _ops_are_launched_one_by_one),
)
