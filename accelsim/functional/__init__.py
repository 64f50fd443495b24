"""Bit-exact execution of mapped ops on integers, with every access counted as it happens."""

from accelsim.functional.calibration import calibrate_scales
from accelsim.functional.execution import Execution, run

__all__ = ["Execution", "calibrate_scales", "run"]
