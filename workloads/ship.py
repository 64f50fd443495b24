"""Writes the traces that ship with the package: `python -m workloads.ship`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from accelsim.workload import write_trace
from accelsim.workload.load import TRACE_SUFFIX
from accelsim.workload.template import TEMPLATE_SUFFIX, template_bytes
from accelsim.workload.trace import Trace
from workloads.registry import build, template

SHIPPED: dict[str, Callable[[], Trace]] = {
    "bert_base": partial(build, "bert-base", seq=128),
    "efficientvit_b1": partial(build, "efficientvit-b1"),
    "llama2_7b_decode_2048": partial(build, "llama2-7b", phase="decode", context=2048),
    "llama2_7b_decode_4096": partial(build, "llama2-7b", phase="decode", context=4096),
    "llama2_7b_prefill_2048": partial(build, "llama2-7b", phase="prefill", seq=2048),
    "llama2_7b_prefill_4096": partial(build, "llama2-7b", phase="prefill", seq=4096),
    "resnet_50": partial(build, "resnet-50"),
    "segformer_b0": partial(build, "segformer-b0"),
    "vit_b_16": partial(build, "vit-b-16"),
}
LANGUAGE_MODELS = ("llama-160m", "llama-296m-like", "llama2-7b", "llama3-8b", "vicuna-1b-like")


def main() -> None:
    """Traces every shipped workload again, next to this file."""
    for name in LANGUAGE_MODELS:
        fitted = template(name)
        Path(__file__).with_name(f"{fitted.name}{TEMPLATE_SUFFIX}").write_bytes(template_bytes(fitted))
    for name, make in SHIPPED.items():
        write_trace(make(), Path(__file__).with_name(f"{name}{TRACE_SUFFIX}"))


if __name__ == "__main__":
    main()
