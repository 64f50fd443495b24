"""Compression algorithms for PyTorch models: APSQ, GQA-LUT, rotation, block vector quantisation."""
