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
class Silicon:
    """Machines or circuits that others measured, with what we simulate of them; pictures can be drawn of these."""

    measure: Callable[[], Measurement]


@dataclass(frozen=True)
class Dataset:
    """One validation; `source` makes its rows (from nothing or from a peer's answers) or its measured runs."""

    name: str
    title: str
    source: Peer | Silicon | Callable[[], Iterable[Row]]

    def compare(self, live: bool, progress: Progress) -> tuple[Row, ...] | Measurement:
        """Its rows or runs; `live` asks the peer now (UserError if not installed) instead of its recording."""
        if isinstance(self.source, Peer):
            answers = self.source.ask(progress) if live else recorded(self.name)
            return tuple(self.source.compare(answers))
        return self.source.measure() if isinstance(self.source, Silicon) else tuple(self.source())


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
    Dataset("gemmini", "Gemmini RTL in FireSim: explicit mappings, networks, CNN layers", Silicon(gemmini.measurement)),
    Dataset(
        "arithmetic", "Multipliers and adders by width: three sources and our own RTL", Silicon(arithmetic.measurement)
    ),
    Dataset("vta", "VTA on PYNQ (FPGA): convs in TVM's tuned tilings", Silicon(vta.measurement)),
    Dataset("eyeriss", "Eyeriss chip: AlexNet under its own mapping, VGG-16", Silicon(eyeriss.measurement)),
    Dataset("tpu", "TPU v6e: matmuls, feed-forward blocks and attention of language models", Silicon(tpu.measurement)),
    Dataset("gpu", "A100 and MI210: operators, and a GPT-3 layer; nothing fitted", Silicon(gpu.measurement)),
    Dataset("walk", "A slow walk of 300 random loop nests", walked.rows),
    Dataset("roofline", "max(work / peak, bytes / bandwidth), where the answer is beyond doubt", roofline.rows),
    Dataset("published", "Published energies and areas", published.rows),
)


def chosen(names: Sequence[str], live: bool, drawn: bool = False) -> tuple[Dataset, ...]:
    """The datasets called `names` (none means all).

    UserError for an unknown one, if `live` and none has a peer, or if `drawn` and none has pictures.
    """
    by_name = {dataset.name: dataset for dataset in DATASETS}
    for name in names:
        if name not in by_name:
            raise user_error("command line", "--only", f"no validation {name!r}", did_you_mean(name, by_name))
    found = tuple(dataset for dataset in DATASETS if not names or dataset.name in names)
    for asked, option, kind, lacks in (
        (live, "--live", Peer, "a peer to run"),
        (drawn, "--plot", Silicon, "measured runs to draw"),
    ):
        if asked and not any(isinstance(dataset.source, kind) for dataset in found):
            known = ", ".join(dataset.name for dataset in DATASETS if isinstance(dataset.source, kind))
            raise user_error("command line", option, f"none of these has {lacks}", f"choose from: {known}")
    return found
