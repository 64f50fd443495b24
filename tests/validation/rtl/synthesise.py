"""Synthesise the modules of this folder with Yosys to simple gates; prints a CSV of um2 by design, a gate at the area
of Nangate's 45 nm cell of drive X1.

    python tests/validation/rtl/synthesise.py > accelsim/validate/data/rtl_yosys.csv
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
DESIGNS = (
    ("mac", {"BITS": 4, "ACC": 16}), ("mac", {"BITS": 8, "ACC": 32}), ("mac", {"BITS": 16, "ACC": 64}),
    ("lut_unit", {"BITS": 8}), ("lut_unit", {"BITS": 16}),
    ("requantiser", {"BITS": 4, "ACC": 32}), ("requantiser", {"BITS": 8, "ACC": 32}),
)  # fmt: skip


CELLS_UM2 = {
    "NOT": 0.532, "NAND": 0.798, "NOR": 0.798, "AND": 1.064, "OR": 1.064, "AOI3": 1.064, "OAI3": 1.064, "XOR": 1.596,
    "XNOR": 1.596, "MUX": 1.862, "DFF": 4.522,
}  # fmt: skip


def yosys() -> str | None:
    """Where Yosys is; None where it is not installed."""
    return shutil.which("yosys")


def version() -> str:
    """Of the Yosys that is installed."""
    return subprocess.run(["yosys", "-V"], capture_output=True, text=True, check=True).stdout.split("(")[0].strip()


def area_um2(module: str, parameters: dict[str, int]) -> float:
    """Area of a module at these parameters, um2."""
    sets = " ".join(f"-set {name} {value}" for name, value in parameters.items())
    script = "; ".join((
        f"read_verilog {HERE / module}.v", f"chparam {sets} {module}", f"synth -flatten -noabc -top {module}",
        "abc -g AND,NAND,OR,NOR,XOR,XNOR,MUX,AOI3,OAI3", "clean", "stat",
    ))  # fmt: skip
    run = subprocess.run(["yosys", "-p", script], capture_output=True, text=True, check=True)
    report = run.stdout[run.stdout.rindex("Printing statistics") :]
    counts = re.findall(r"\$_([A-Z0-9]+)(?:_[A-Z0-9]+)?_ +(\d+)", report)
    return sum(CELLS_UM2["DFF" if "DFF" in cell else cell] * int(count) for cell, count in counts)


def main() -> None:
    """All designs as a CSV."""
    lines = [
        f"# source: {version()}, tests/validation/rtl, simple gates at Nangate's 45 nm areas",
        "module,parameters,area_um2",
    ]
    for module, parameters in DESIGNS:
        text = " ".join(f"{name}={value}" for name, value in parameters.items())
        lines.append(f"{module},{text},{area_um2(module, parameters):.3f}")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
