"""What several commands share: `--set`, output paths, and where text goes."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from accelsim.errors import Fault, UserError, user_error

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from accelsim.spec import ArchSpec

WIDTH = 100

Command = TypeVar("Command", bound=Callable[..., None])


def set_option(example: str) -> Callable[[Command], Command]:
    """`--set KEY=VALUE`, any number of times, as `overrides`."""
    help_text = f"Override one value for this run, for example {example}. May be given several times."
    return click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help=help_text)


def arch_overrides(overrides: Sequence[str]) -> dict[str, str]:
    """The `arch.*` overrides of a command that has no workload; any other is the user's mistake."""
    from accelsim.spec import split_overrides

    arch, workload = split_overrides(overrides)
    if workload:
        fix = "leave it out, or use `accelsim simulate ARCH WORKLOAD`"
        raise UserError(Fault("override", 0, 0, key, "this command has no workload", fix) for key in workload)
    return arch


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error where that is a terminal, and nothing anywhere else."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (what, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Redrawn by hand: a thread that redraws would be forked along with the workers.
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total, refresh=True)


def plain_table(left: Sequence[str], right: Sequence[str]) -> Table:
    """An empty table without lines: columns of text, then of numbers."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def searches(spec: ArchSpec) -> bool:
    """Whether ops get their mapping from a search."""
    return spec.mapping.tiles == "searched" or spec.array.dataflow == "search"


def say_if_compiling(search: bool, engine: bool = True) -> None:
    """Say why the first run (or search) after an install takes longer. Numba keeps its kernels beside the source."""
    import accelsim

    root = Path(accelsim.__path__[0])
    used = [root / "engine"] * engine + [root / "mapping" / "search"] * search
    missing = [folder for folder in used if not any((folder / "__pycache__").glob("*.nbi"))]
    beside = "NUMBA_CACHE_DIR" not in os.environ and all(os.access(folder, os.W_OK) for folder in missing)
    if missing and beside:
        click.echo("compiling kernels (once)", err=True)


def check_outputs(outputs: Sequence[tuple[Path | None, tuple[str, ...]]], inputs: Sequence[str] = ()) -> None:
    """Raises UserError, before any work is done, for every output that could not be written at its end.

    Each output comes with the suffixes it may have. None of them may be one of the `inputs`.
    """
    faults: list[Fault] = []
    seen: set[str] = set()
    read = {os.path.realpath(name) for name in inputs if os.path.exists(name)}
    for path, suffixes in outputs:
        if path is None:
            continue
        fault = _output_fault(path, suffixes)
        if fault is None and os.path.realpath(path) in read | seen:
            fault = _fault(path, "this file is already an input or an output of the command", "name another file")
        if fault is not None:
            faults.append(fault)
        seen.add(os.path.realpath(path))
    if faults:
        raise UserError(faults)


def _output_fault(path: Path, suffixes: tuple[str, ...]) -> Fault | None:
    from accelsim.report.files import probe

    allowed = " or ".join(suffixes)
    try:
        if path.is_dir():
            return _fault(path, "this is a folder", f"name a file in it, ending in {allowed}")
        if not path.name.endswith(suffixes):
            found = f"cannot write {path.suffix}" if path.suffix else "the name has no suffix"
            return _fault(path, found, f"use {allowed}")
        if not path.parent.is_dir():
            return _fault(path, f"no such folder: {path.parent}", f"create it first: mkdir -p {path.parent}")
        probe(path)
    except OSError as error:  # a name that the file system refuses
        return _fault(path, error.strerror or str(error), "name a writable place")
    except UserError as error:
        return error.faults[0]
    return None


def _fault(path: Path, found: str, fix: str) -> Fault:
    return Fault(str(path), 0, 0, "output", found, fix)


def array_text(spec: ArchSpec) -> str:
    """`adder_tree 16 x 8 x 8, weight_stationary`."""
    from accelsim.spec.models import AdderTreeArray

    array = spec.array
    sizes = (array.po, array.pci, array.pco) if isinstance(array, AdderTreeArray) else (array.rows, array.cols)
    return f"{array.kind} {' x '.join(map(str, sizes))}, {array.dataflow}"


def technology_text(spec: ArchSpec) -> str:
    """`28 nm, 0.9 V, 500 MHz`."""
    technology = spec.technology
    return f"{technology.node_nm:g} nm, {technology.supply_v:g} V, {technology.clock_mhz:g} MHz"


def show(*parts: RenderableType) -> None:
    """Print to standard output, `WIDTH` columns wide on every terminal; in colour only on a terminal.

    A narrower terminal breaks the lines itself: tables squeezed into it would be harder to read.
    """
    from rich.console import Console

    terminal = sys.stdout.isatty()
    page = Console(
        file=io.StringIO(), width=WIDTH, force_terminal=terminal, no_color=not terminal,
        highlight=False, markup=False, emoji=False,
    )  # fmt: skip
    page.print(*parts, sep="")
    assert isinstance(page.file, io.StringIO)
    lines = page.file.getvalue().split("\n")
    click.echo("\n".join(line.rstrip() for line in lines).rstrip())


def wrote(path: Path) -> None:
    """Say that a file is there."""
    click.echo(f"wrote {path}")


def missing(name: str, what: str, fix: str) -> UserError:
    """The answer to an option that is needed here and was not given."""
    return user_error("command line", name, what, fix)


def no_torch(command: str, extras: str, error: ModuleNotFoundError) -> UserError:
    """The answer to a missing package of these extras; any other missing module is our own bug."""
    name = (error.name or "").partition(".")[0]
    if name not in ("torch", "transformers", "safetensors", "sklearn"):
        raise error
    fix = f"in the checkout: pip install -c constraints.txt -e '.[{extras}]'"
    return user_error(f"accelsim {command}", name, "not installed", fix)
