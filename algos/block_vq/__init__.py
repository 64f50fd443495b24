"""Weights out of shared integer codebooks: block-level codebooks of a chip, and classic vector quantisation."""
