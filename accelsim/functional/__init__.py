"""Bit-exact execution of mapped ops on integers, with every access counted as it happens."""

from accelsim.functional.accesses import Access
from accelsim.functional.calibration import calibrate_scales
from accelsim.functional.execution import Execution, run
from accelsim.functional.op import MappedOp, map_op, map_trace_op, run_op

__all__ = ["Access", "Execution", "MappedOp", "calibrate_scales", "map_op", "map_trace_op", "run", "run_op"]
