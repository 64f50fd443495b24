"""CPU time of a call, and time and memory of a process."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

ROUNDS = 5
# Linux's ru_maxrss outlives an exec, so a small process starts the one that is measured.
LAUNCHER = """
import json, os, subprocess, sys, time
start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
print(json.dumps([time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, status]))
"""


def cpu_seconds(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Median CPU time of a call."""
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


@dataclass(frozen=True)
class Process:
    """Medians of some runs of a command, and the highest peak."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float


def new_process(arguments: Sequence[str], rounds: int = ROUNDS) -> Process:
    """Run `accelsim` with these arguments, once for numba's disk cache, then `rounds` times; mappings are not kept."""
    runs = [_run(arguments) for _ in range(rounds + 1)][1:]
    wall, cpu, peak = zip(*runs, strict=True)
    return Process(statistics.median(wall), statistics.median(cpu), max(peak))


def _run(arguments: Sequence[str]) -> tuple[float, float, float]:
    command = [sys.executable, "-S", "-c", LAUNCHER, sys.executable, "-m", "accelsim", *arguments]
    env = {**os.environ, "ACCELSIM_MAPPING_CACHE": "off"}
    wall, cpu, peak, status = json.loads(subprocess.run(command, check=True, capture_output=True, env=env).stdout)
    assert status == 0, f"{arguments} ended with status {status}"
    return wall, cpu, peak
