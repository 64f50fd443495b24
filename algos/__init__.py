"""Home of the PyTorch compression algorithms; their schemes are in `accelsim.schemes`. None is here yet."""
