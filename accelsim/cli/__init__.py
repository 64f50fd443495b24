"""The `accelsim` command. Thin: a command reads its input, calls the library and prints the result."""

from accelsim.cli.app import cli, main

__all__ = ["cli", "main"]
