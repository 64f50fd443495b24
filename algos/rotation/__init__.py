"""Hadamard rotations: folded into weights where they can be, at run time where they cannot."""
