"""Measured machines beside what their plain specs simulate to: one dataset a file."""
