"""Passes: a draft step, a verify of k tokens, or both at once, as instructions on the chip's queues."""
