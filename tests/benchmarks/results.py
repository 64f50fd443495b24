"""What the benchmarks measured, as tables; `make bench` writes them to results.md, whole."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import accelsim

SECTIONS = {
    "targets": ("Bounds the project keeps", "A missed one fails `make bench`."),
    "counting": (
        "Mappings counted",
        "With the search's bounds off. A counted mapping is a loop nest with its tile sizes and a memory for each "
        "operand, priced whole (accesses, energy, time).",
    ),
    "exact": (
        "Search of the very best",
        "Tolerance 0: the mapping of least energy over all tile sizes and orders. Those that a bound rules out are not "
        "counted. Kernels compiled, CPU time of `search`, median of 5.",
    ),
    "search": (
        "Search of each distinct matmul",
        "Default budget and tolerance, energy as the objective, kernels compiled, CPU time of `search`, median of 5. "
        "The gap bounds how much lower the energy of any mapping of the map space can be.",
    ),
    "apsq": (
        "Partial sums requantised as they are added (APSQ)",
        "INT8 psums, tile 8, group size 1, one thread, CPU time, median of 5; a training step is a forward and its "
        "gradients of both operands and of the scales. Naive is a loop over the tiles in torch; plain a float32 matmul.",
    ),
    "simulate": ("`simulate` in one process", "Mapped by the fixed dataflow, kernels compiled, median wall time of 5."),
    "process": (
        "The whole command in a new process",
        "Numba's disk cache filled, mapping cache off, medians; the peak is of that process alone.",
    ),
    "peers": (
        "Peers on the same layers, all together",
        "Sums of the two tables below. A missed target stands here; it does not fail the command.",
    ),
    "scalesim": (
        "Beside SCALE-Sim",
        "The same GEMM on the same 32 x 32 weight-stationary array; its cycles equal ours, which is checked. Both as "
        "calls in one process, warmed up, CPU time, ours the median of 5; SCALE-Sim also writes its reports.",
    ),
    "zigzag": (
        "Beside ZigZag",
        "The best mapping for energy of the same GEMM on the same accelerator (`accelsim.validate.equal_tree`), with its "
        "energy and latency. Its search orders at most 6 loop factors; ours covers every tile size and says "
        "how far off the best can be. Both as calls in one process, warmed up, CPU time, medians of 5. Energies are "
        "both counted by us. \"As good\": our search with the least budget (a power of ten) that is no worse than "
        "ZigZag's. The whole process is `accelsim simulate` with 8-bit results.",
    ),
}  # fmt: skip
PEERS = ("scalesim", "zigzag-dse")


@dataclass
class Results:
    """Tables by section; a row is its cells by column."""

    rows: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, section: str, **cells: str) -> None:
        """Print a row and keep it. Columns are words joined by underscores."""
        row = {name.replace("_", " "): cell for name, cell in cells.items()}
        self.rows.setdefault(section, []).append(row)
        print(f"\n{section}: " + ", ".join(f"{name} {cell}" for name, cell in row.items()))

    def at_most(self, what: str, measured: float, bound: float, unit: str) -> None:
        """Keep a measurement beside the bound that it must not pass, then assert it."""
        self._bound(what, f"{measured:,.3g} {unit}", f"at most {bound:,g} {unit}", measured <= bound)

    def at_least(self, what: str, measured: float, bound: float, unit: str) -> None:
        """As `at_most`, the other way round."""
        self._bound(what, f"{measured:,.3g} {unit}", f"at least {bound:,g} {unit}", measured >= bound)

    def _bound(self, what: str, measured: str, bound: str, met: bool) -> None:
        self.add("targets", what=what, measured=measured, bound=bound, met="yes" if met else "**missed**")
        assert met, f"{what}: {measured}, {bound}"

    def skip(self, section: str, why: str) -> None:
        self.skipped[section] = why

    def markdown(self) -> str:
        """The whole file."""
        parts = ["# Measured speed", f"Written by `make bench`. {_machine()}"]
        for name, (title, preface) in SECTIONS.items():
            table = _table(self.rows[name]) if name in self.rows else self.skipped.get(name, "Not measured.")
            parts += [f"## {title}", preface, table]
        return "\n\n".join(parts) + "\n"


def _table(rows: list[dict[str, str]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _machine() -> str:
    tools = [f"accelsim {accelsim.__version__}", f"Python {platform.python_version()}"]
    tools += [f"{name} {version(name)}" for name in ("numpy", "numba")]
    for peer in PEERS:
        try:
            tools.append(f"{peer} {version(peer)}")
        except PackageNotFoundError:
            tools.append(f"no {peer}")
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.processor()
    return f"Machine: {model}, {len(models) or 'unknown'} cores. {', '.join(tools)}."
