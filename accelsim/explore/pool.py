"""The points of a plan run here or in several processes, with the same results in the same order."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

from accelsim.errors import user_error

if TYPE_CHECKING:
    from accelsim.explore.point import Result
    from accelsim.explore.points import Plan, Point
    from accelsim.workload import Trace

MAX_CHUNK = 16
"""Points handed over at once: enough to make the way there cheap, few enough to stop soon."""
CHUNKS_PER_PROCESS = 8

Progress = Callable[[int, int], None]
"""Told how many points are done, and of how many."""


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_points(plan: Plan, processes: int, progress: Progress | None) -> list[Result]:
    """The result of every point, in the plan's order.

    Raises UserError when a process dies, BrokenInvariant when the simulator contradicts itself.
    """
    # Loaded before the pool starts: processes that are forked then have the simulator already.
    from accelsim.explore.point import run_point

    total = len(plan.points)
    if progress is not None:
        progress(0, total)
    if min(processes, total) > 1:
        return _in_processes(plan, min(processes, total), progress)
    results = []
    for point in plan.points:
        results.append(sound(run_point(point, plan.arch, plan.traces[point.workload])))
        if progress is not None:
            progress(len(results), total)
    return results


def _in_processes(plan: Plan, processes: int, progress: Progress | None) -> list[Result]:
    total = len(plan.points)
    size = max(1, min(MAX_CHUNK, total // (processes * CHUNKS_PER_PROCESS)))
    results: dict[int, list[Result]] = {}
    done = 0
    pool = ProcessPoolExecutor(processes, initializer=_start, initargs=(plan.arch, plan.traces))
    try:
        starts: dict[Future[list[Result]], int] = {
            pool.submit(_run_chunk, plan.points[start : start + size]): start for start in range(0, total, size)
        }
        for future in as_completed(starts):
            chunk = [sound(result) for result in future.result()]
            results[starts[future]] = chunk
            done += len(chunk)
            if progress is not None:
                progress(done, total)
    except BrokenProcessPool:
        fix = "use one process; a script that sweeps needs `if __name__ == '__main__':` around its own calls"
        raise user_error("sweep", "processes", "one ended early, maybe for want of memory", fix) from None
    finally:
        pool.shutdown(cancel_futures=True)
    return [result for start in sorted(results) for result in results[start]]


def sound(result: Result) -> Result:
    """The same result, unless it tells of a mistake of the simulator itself."""
    if result.status == "broken":
        from accelsim.report.invariants import BrokenInvariant

        raise BrokenInvariant("sweep", result.reason)
    return result


_ARCH = ""
_TRACES: dict[str, Trace] = {}


def _start(arch: str, traces: dict[str, Trace]) -> None:
    """Prepare a process: what it sweeps, one thread for numba, and Ctrl-C left to the parent."""
    global _ARCH, _TRACES
    _ARCH, _TRACES = arch, traces
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if "numba" not in sys.modules:
        os.environ["NUMBA_NUM_THREADS"] = "1"


def _run_chunk(points: tuple[Point, ...]) -> list[Result]:
    from accelsim.explore.point import run_point

    return [run_point(point, _ARCH, _TRACES[point.workload]) for point in points]
