"""The command group, and what a failing command answers and exits with.

0 done, 1 output that nobody takes (a closed pipe, a full disk) or a bug of ours, 2 a mistake in the
input, 130 stopped by Ctrl-C.

Nothing heavy is imported here or at the top of a command's module, so that `--help` is instant.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import sys
from collections.abc import Sequence

import click

from accelsim import __version__
from accelsim.cli.codesigning import codesign
from accelsim.cli.decoding import decode
from accelsim.cli.diffing import diff
from accelsim.cli.exporting import trace
from accelsim.cli.hardware import area, explain
from accelsim.cli.listing import list_, schema
from accelsim.cli.mapping import map_
from accelsim.cli.reproducing import reproduce
from accelsim.cli.simulating import simulate
from accelsim.cli.sweeping import sweep
from accelsim.cli.validating import validate
from accelsim.errors import UserError

FAILED, MISTAKE, INTERRUPTED = 1, 2, 130


class App(click.Group):
    """A click group that answers every mistake with one block of text and an exit code."""

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: object,
    ) -> None:
        """Run one command line and exit."""
        sys.exit(self._exit_code(args, prog_name, complete_var))

    def _exit_code(self, args: Sequence[str] | None, prog_name: str | None, complete_var: str | None) -> int:
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False)
            sys.stdout.flush()  # a closed pipe shows here, where it can still be answered
        except click.ClickException as error:
            error.show()
            if isinstance(error, click.UsageError) and error.ctx is None:  # click's parser knows no command
                click.echo("Try 'accelsim COMMAND --help' for help.", err=True)
            return error.exit_code
        except UserError as error:
            click.echo(str(error), err=True)
            return MISTAKE
        except (click.Abort, KeyboardInterrupt):
            return INTERRUPTED
        except OSError as error:
            _drop_output()
            if not isinstance(error, BrokenPipeError):
                click.echo(f"accelsim: {error}", err=True)
            return FAILED
        except Exception as error:
            if type(error).__name__ != "BrokenInvariant":  # imported by name, it would load the simulator
                raise
            click.echo(f"accelsim contradicts itself, please report it: {error}", err=True)
            return FAILED
        return code if isinstance(code, int) else 0

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, but an unknown command is answered with the nearest one and all there are."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            names = self.list_commands(ctx)
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            guess = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"No such command {name!r}.{guess} Commands: {', '.join(names)}.", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=App,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  accelsim list
  accelsim simulate apsq_edge_ws bert_base
  accelsim simulate apsq_edge_ws bert_base --set workload.psum.bits=8 --json int8.json
  accelsim sweep apsq_edge_ws bert_base --over workload.psum.bits=4,8,32 --plot sweep.png
  accelsim codesign apsq_int8_gs1 apsq_edge_ws --over recipe.apsq.bits=4,8 --scores apsq_byte_lm_target
  accelsim diff int32.json int8.json
  accelsim explain apsq_edge_ws

'accelsim COMMAND --help' has more of them.""",
)
@click.version_option(__version__, "--version", message="accelsim %(version)s")
def cli() -> None:
    """What a compressed transformer costs on an accelerator: energy, area, time, and where each goes."""


for command in (
    simulate, decode, map_, sweep, codesign, diff, area, explain, trace, list_, schema, reproduce, validate
):  # fmt: skip
    cli.add_command(command)


def _drop_output() -> None:
    """Forget what is still buffered: it cannot be written, and the interpreter would complain at its end."""
    with contextlib.suppress(OSError):  # a test's standard output has no file behind it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> None:
    """Entry point of the `accelsim` command."""
    if sys.stdout is None:  # closed by whoever started us
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without µ gets a ? for it
    cli.main(prog_name="accelsim")
