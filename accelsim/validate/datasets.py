"""Every validation by name: what it compares, how its rows are made, and the peer that can be asked again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from accelsim.errors import did_you_mean, user_error
from accelsim.validate import (
    published,
    record_scalesim,
    record_zigzag,
    roofline,
    scalesim,
    walked,
    zigzag,
)
from accelsim.validate.measured import Measurement
from accelsim.validate.recording import Recording, recorded
from accelsim.validate.row import Row
from accelsim.validate.silicon import arithmetic, eyeriss, gemmini, gpu, tpu, vta

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Peer:
    """Another simulator whose answers are recorded: how to compare them, and how to ask for them again."""

    compare: Callable[[Recording], Iterable[Row]]
    ask: Callable[[Progress], Recording]


@dataclass(frozen=True)
class Dataset:
    """One validation; `source` makes its rows (from nothing or from a peer's answers) or measures a machine."""

    name: str
    title: str
    source: Peer | Callable[[], Iterable[Row] | Measurement]

    def compare(self, live: bool, progress: Progress) -> tuple[Row, ...] | Measurement:
        """Its rows or runs; `live` asks the peer now (UserError if not installed) instead of its recording."""
        if isinstance(self.source, Peer):
            answers = self.source.ask(progress) if live else recorded(self.name)
            return tuple(self.source.compare(answers))
        found = self.source()
        return found if isinstance(found, Measurement) else tuple(found)


DATASETS = (
    Dataset(
        "scalesim",
        "SCALE-Sim 3.0.0: systolic arrays",
        Peer(scalesim.rows, lambda progress: record_scalesim.record(record_scalesim.all_runs(), progress)),
    ),
    Dataset(
        "zigzag",
        "ZigZag 3.9.1: the same accelerator, constants and layers",
        Peer(zigzag.rows, lambda progress: record_zigzag.record(tuple(record_zigzag.LAYERS), progress)),
    ),
    Dataset("gemmini", "Gemmini RTL in FireSim: explicit mappings, networks, CNN layers", gemmini.measurement),
    Dataset("arithmetic", "Multipliers and adders by width: three sources and our own RTL", arithmetic.measurement),
    Dataset("vta", "VTA on PYNQ (FPGA): convs in TVM's tuned tilings", vta.measurement),
    Dataset("eyeriss", "Eyeriss chip: AlexNet under its own mapping, VGG-16", eyeriss.measurement),
    Dataset("tpu", "TPU v6e: matmuls, feed-forward blocks and attention of language models", tpu.measurement),
    Dataset("gpu", "A100 and MI210: operators, and a GPT-3 layer; nothing fitted", gpu.measurement),
    Dataset("walk", "A slow walk of 300 random loop nests", walked.rows),
    Dataset("roofline", "max(work / peak, bytes / bandwidth), where the answer is beyond doubt", roofline.rows),
    Dataset("published", "Published energies and areas", published.rows),
)


def chosen(names: Sequence[str], live: bool) -> tuple[Dataset, ...]:
    """The datasets called `names` (none means all). UserError for an unknown one, or if `live` and none has a peer."""
    by_name = {dataset.name: dataset for dataset in DATASETS}
    for name in names:
        if name not in by_name:
            raise user_error("command line", "--only", f"no validation {name!r}", did_you_mean(name, by_name))
    found = tuple(dataset for dataset in DATASETS if not names or dataset.name in names)
    if live and not any(isinstance(dataset.source, Peer) for dataset in found):
        peers = ", ".join(dataset.name for dataset in DATASETS if isinstance(dataset.source, Peer))
        raise user_error("command line", "--live", "none of these has a peer to run", f"choose from: {peers}")
    return found
