"""The result of a simulation, its files and its pictures."""

from accelsim.report.report import Report

__all__ = ["Report"]
