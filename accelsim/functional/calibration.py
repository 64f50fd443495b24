"""Psum scales from data: the smallest power of two at each step that saturates nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from accelsim.functional.accesses import AccessTable
from accelsim.functional.arrangement import Ints, box_shape
from accelsim.functional.execution import walk
from accelsim.functional.operands import checked_operands
from accelsim.functional.psums import Step, requantise, rounded
from accelsim.hardware.machine import Machine
from accelsim.mapping.nest import Mapping
from accelsim.mapping.problem import Problem
from accelsim.schemes import PsumScales


def calibrate_scales(
    problem: Problem,
    mapping: Mapping,
    machine: Machine,
    ifmaps: Sequence[NDArray[np.integer]],
    weight: NDArray[np.integer],
    *,
    ifmap_zero_point: int = 0,
    name: str = "op",
) -> PsumScales:
    """Scales of an op's APSQ scheme from one or more ifmaps, shaped as in `run`.

    Step by step, on the sums that the steps before leave: k_n is the smallest shift that saturates no
    sum of step n. An op whose outputs never leave the accumulator gets no shifts. Holds T times the
    outputs in memory. Raises UserError for tensors of a wrong shape or width, ValueError for a problem
    whose psums are stored unquantised or for no ifmaps.
    """
    if not problem.psum.is_apsq:
        raise ValueError(f"psums of {problem.psum.bits} bits are stored as they are and have no scales")
    if not ifmaps:
        raise ValueError("no ifmaps to calibrate on")
    samples = []
    for ifmap in ifmaps:
        bias = np.zeros(problem.bias_values, np.int64) if problem.bias_values else None
        operands = checked_operands(problem, ifmap, weight, bias, ifmap_zero_point, name)
        recorder = _Recorder()
        walk(problem, mapping, machine, operands, recorder, AccessTable(), "weight")
        samples.append(_Sample(recorder.steps, box_shape(problem, "output"), problem.psum.group_size))
    shifts: list[int] = []
    for number in range(max(sample.count for sample in samples)):
        totals = [total for sample in samples for total in sample.totals(number)]
        shifts.append(_smallest_shift(totals, problem.psum.bits))
        for sample in samples:
            sample.store(number, shifts[-1], problem.psum.bits)
    return PsumScales(problem.psum, tuple(shifts))


def _smallest_shift(totals: Sequence[Ints], bits: int) -> int:
    limit = 2 ** (bits - 1) - 1
    ends = np.array([min(int(total.min()) for total in totals), max(int(total.max()) for total in totals)])
    shift = 0
    while np.abs(rounded(ends, shift)).max() > limit:
        shift += 1
    return shift


class _Recorder:
    """Takes down what every visit adds up; what is stored in between stands for nothing."""

    group_size = 1

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def see(self, step: Step) -> None:
        self.steps.append(Step(step.number, step.last, step.summed, step.index, step.total.copy()))

    def store(self, step: int, total: Ints) -> Ints:
        return np.zeros_like(total)

    def value(self, step: int, stored: Ints) -> Ints:
        return stored


class _Sample:
    """One ifmap's accumulation, taken step by step over all outputs at once."""

    def __init__(self, steps: Sequence[Step], shape: tuple[int, ...], group_size: int) -> None:
        self._at: dict[int, list[Step]] = {}
        for step in steps:
            if step.number or not step.last:  # an output with one step is no psum
                self._at.setdefault(step.number, []).append(step)
        self._group_size = group_size
        self._live = np.zeros(shape, np.int64)
        """What the stored psums of each output's group stand for together."""

    @property
    def count(self) -> int:
        return len(self._at)

    def totals(self, number: int) -> list[Ints]:
        return [self._total(step) for step in self._at.get(number, ())]

    def store(self, number: int, shift: int, bits: int) -> None:
        for step in self._at.get(number, ()):
            value = requantise(self._total(step), shift, bits) << shift
            self._live[step.index] = value if self._adds(step) else self._live[step.index] + value

    def _total(self, step: Step) -> Ints:
        return step.total + self._live[step.index] if self._adds(step) else step.total

    def _adds(self, step: Step) -> bool:
        return step.last or step.number % self._group_size == 0
