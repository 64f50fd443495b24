"""The tables of pass costs that policies run on, filled by engine runs.

Every draft step and every solo verify is run at each context. Side by side, verifies of n tokens and g
draft steps are run at a grid of n and g and interpolated linearly between; so are contexts. Prompts are read in
chunks of a size that is best for the longest of them (or at once); what that costs rises in steps, where an
activation outgrows a buffer or a chunk begins: prompts are run until all steps are found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from accelsim.decoding.costs import COLUMNS, Floats, PassCosts
from accelsim.decoding.model import LanguageModel
from accelsim.decoding.passes.program import Issue, PassProgram, pass_program
from accelsim.decoding.passes.refine import refined
from accelsim.decoding.passes.runs import Interleave, Owner, Stream
from accelsim.decoding.passes.stores import build_stores
from accelsim.decoding.passes.work import PassLowering, PassWork
from accelsim.decoding.policies import Policy
from accelsim.engine.engine import Timeline, run
from accelsim.errors import user_error
from accelsim.hardware.machine import build_machine
from accelsim.program.program import Ints
from accelsim.report.invariants import BrokenInvariant
from accelsim.spec import ArchSpec
from accelsim.workload.trace import PhaseKind

CONTEXTS = 4
"""How many a grid for given requests has, evenly apart."""
CHUNKS = (64, 128, 256)
"""Tokens of a part of a prompt that is not read at once."""

Progress = Callable[[int, int], None]


@dataclass
class Passes:
    """Runs passes of a target, and of a draft if there is one, on one accelerator; what they need of it is worked
    out once. `uncharged`: see `PassLowering`."""

    arch: ArchSpec
    target: LanguageModel
    draft: LanguageModel | None
    issue: Issue = "out-of-order"
    interleave: Interleave = "proportional"
    uncharged: tuple[str, ...] = ()
    _works: dict[tuple[str, PhaseKind, int, int, bool], PassWork] = field(default_factory=dict, repr=False)
    _read: dict[tuple[int, int, bool], Floats] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.machine = build_machine(self.arch)
        if self.machine.host is not None or self.machine.kernels is not None:
            found = "passes run on the queues of one accelerator, and this one is driven by kernels or commands"
            raise user_error(self.arch.name, "decode", found, "use a spec without host and kernels")
        self.stores = build_stores(self.machine)
        self._lowering = PassLowering(self.machine, self.arch, self.uncharged)

    @property
    def static_mw(self) -> float:
        """Leakage of all blocks and background power of the DRAM, all chips."""
        return self.machine.system.chips * float(sum(self.machine.leakage_mw.values()))

    def work(self, owner: Owner, kind: PhaseKind, tokens: int, context: int, whole: bool = True) -> PassWork:
        """What one pass asks of the machine (`whole`: see `LanguageModel.trace`). UserError for an op that it cannot
        run."""
        key = (owner, kind, tokens, context, whole)
        if key not in self._works:
            model = self.target if owner == "verify" else self.draft
            if model is None:
                raise ValueError("there is no draft model")
            self._works[key] = self._lowering.of(model.trace(kind, tokens, context, whole), owner)
        return self._works[key]

    def streams(self, tokens: int, drafts: int, context: int, draft_tokens: int = 1) -> list[Stream]:
        """A verify of `tokens` tokens and `drafts` draft steps side by side, either of them 0 for none.

        Each of the steps reads `draft_tokens` tokens: those of one depth of a tree, one of a chain.
        """
        streams = []
        if tokens:
            streams.append(Stream("verify", (self.work("verify", "verify", tokens, context),)))
        if drafts:
            streams.append(Stream("draft", drafts * (self.work("draft", "draft", draft_tokens, context),)))
        return streams

    def best_chunk(self, prompt: int) -> int:
        """In chunks of how many tokens a prompt is read soonest; `prompt` itself for at once."""
        sizes = [prompt, *(size for size in CHUNKS if size < prompt)]
        return min(sizes, key=lambda size: float(self.prefill(prompt, size)[0]))

    def prefill(self, prompt: int, chunk: int) -> Floats:
        """The cost of all models reading a prompt in chunks, one after the other.

        Less than half a chunk at the end is read with the chunk before.
        """
        count = max(1, (prompt + chunk // 2) // chunk)
        ends = [*range(chunk, count * chunk, chunk), prompt]
        parts = [self._part(end - start, start, end == prompt) for start, end in zip([0, *ends], ends, strict=False)]
        return np.asarray(np.sum(parts, axis=0), np.float64)

    def _part(self, tokens: int, context: int, whole: bool) -> Floats:
        key = (tokens, context, whole)
        if key not in self._read:
            owners: tuple[Owner, ...] = ("verify",) if self.draft is None else ("verify", "draft")
            streams = [Stream(owner, (self.work(owner, "prefill", tokens, context, whole),)) for owner in owners]
            self._read[key] = self.cost(streams)
        return self._read[key]

    def program(self, streams: Sequence[Stream]) -> PassProgram:
        """The instructions of passes side by side."""
        return pass_program(streams, self.stores, self.interleave, self.issue)

    def run(self, streams: Sequence[Stream]) -> Timeline:
        """The timeline of passes side by side. UserError for passes longer than 2.5 hours."""
        try:
            timeline = run(self.program(streams).program)
        except OverflowError:  # int64 femtoseconds end there
            found = "a pass would last for more than 2.5 hours"
            raise user_error(self.arch.name, "pass", found, "take shorter prompts or a faster machine") from None
        if timeline.deadlock:
            raise BrokenInvariant("engine", f"deadlock: {'; '.join(timeline.deadlock)}")
        return timeline

    def cost(self, streams: Sequence[Stream]) -> Floats:
        """The row of `COLUMNS` of passes side by side."""
        timeline = self.run(streams)
        passes = [one for stream in streams for one in stream.passes]
        busy = [use.busy_fs for use in timeline.resources]
        energy = sum(one.energy_pj for one in passes)
        bits = sum(one.dram_bits for one in passes), sum(one.reram_bits for one in passes)
        return np.array([timeline.makespan_fs, energy, *bits, *busy], np.float64)


@dataclass(frozen=True)
class Grid:
    """Where passes are run: contexts in tokens, prompts that occur, up to how many tokens and draft steps."""

    contexts: tuple[int, ...]
    prompts: tuple[int, ...]
    most_verified: int
    most_together: int
    """Draft steps beside one verify; 0 leaves the table of both empty."""
    draft_tokens: tuple[int, ...] = (1,)
    """Tokens that the draft reads in its serial steps; see `Policy`."""

    @property
    def verified(self) -> tuple[int, ...]:
        """Tokens verified side by side with drafting, the last one `most_verified`."""
        return _knots(self.most_verified)

    @property
    def drafted(self) -> tuple[int, ...]:
        return _knots(self.most_together) if self.most_together else ()

    @property
    def runs(self) -> int:
        """Engine runs that it takes, besides those of prompts."""
        per_context = len(self.draft_tokens) + self.most_verified + len(self.verified) * len(self.drafted)
        return per_context * len(self.contexts)


def grid_of(policy: Policy, prompts: Ints, outputs: Ints) -> Grid:
    """The passes that the policy may ask for, over the contexts and prompts of these requests."""
    held = np.linspace(prompts.min(), (prompts + outputs).max(), CONTEXTS).round().astype(int)
    contexts, lengths = (tuple(np.unique(each).tolist()) for each in (held, prompts))
    return Grid(contexts, lengths, policy.most_tokens, policy.most_concurrent, policy.draft_tokens)


def _within_reach(passes: Passes, grid: Grid) -> Grid:
    """The grid with contexts that leave room for a pass where a model ends; UserError if answers go on beyond."""
    contexts, last = grid.contexts, max(grid.contexts[-1], grid.prompts[-1])
    for model in (passes.target, passes.draft):
        ends = None if model is None else model.template.max_tokens
        if model is None or ends is None:
            continue
        most = max(grid.most_verified, *grid.draft_tokens)
        fix = f"its positions, or the window of its attention, end at {ends:,}: ask for "
        if last > ends:
            raise user_error(model.name, "tokens", f"prompts and answers reach {last:,} tokens", f"{fix}shorter ones")
        if most >= ends:
            raise user_error(model.name, "tokens", f"a pass would read {most:,} tokens at once", f"{fix}fewer drafts")
        contexts = tuple(sorted({min(context, ends - most) for context in contexts}))
    return replace(grid, contexts=contexts)


def _knots(most: int) -> tuple[int, ...]:
    """1, 2, 4, ... and the last."""
    return tuple(sorted({*(2**power for power in range(most.bit_length())), most}))


def tabulate(passes: Passes, grid: Grid, progress: Progress = lambda done, total: None) -> PassCosts:
    """Pass costs over the grid; a draft step costs nothing where there is no draft. UserError for an op that the
    machine cannot run, and for more tokens than a model's positions or attention reach."""
    grid = _within_reach(passes, grid)
    columns, points = len(COLUMNS), len(grid.contexts)
    draft = np.zeros((len(grid.draft_tokens), points, columns))
    verify = np.zeros((grid.most_verified, points, columns))
    together = np.zeros((len(grid.verified), len(grid.drafted), points, columns))
    done = 0

    def counted(row: Floats, left: int) -> Floats:
        nonlocal done
        done += 1
        progress(done, done + left)
        return row

    chunk = passes.best_chunk(grid.prompts[-1])
    prompts, prefill = refined(
        np.array(grid.prompts, np.int64), lambda prompt, left: counted(passes.prefill(prompt, chunk), left + grid.runs)
    )
    total = done + grid.runs

    def next_cost(*what: int) -> Floats:
        return counted(passes.cost(passes.streams(*what)), total - done - 1)

    for at, context in enumerate(grid.contexts):
        if passes.draft is not None:
            for step, tokens in enumerate(grid.draft_tokens):
                draft[step, at] = next_cost(0, 1, context, tokens)
        for tokens in range(1, grid.most_verified + 1):
            verify[tokens - 1, at] = next_cost(tokens, 0, context)
        for i, tokens in enumerate(grid.verified):
            for j, drafts in enumerate(grid.drafted):
                together[i, j, at] = next_cost(tokens, drafts, context)
    whole = _filled(_filled(together, grid.verified, 0), grid.drafted, 1)
    contexts = np.array(grid.contexts, np.int64)
    return PassCosts(contexts, draft, verify, whole, prompts, prefill, passes.static_mw)


def _filled(table: Floats, knots: tuple[int, ...], axis: int) -> Floats:
    """The table at 1 .. the last knot along an axis, interpolated linearly between the knots."""
    if not knots:
        return table
    wanted = np.arange(1, knots[-1] + 1)
    upper = np.clip(np.searchsorted(knots, wanted), 1, max(1, len(knots) - 1))
    if len(knots) == 1:
        return table
    low, high = np.array(knots)[upper - 1], np.array(knots)[upper]
    share = ((wanted - low) / (high - low)).reshape([-1 if each == axis else 1 for each in range(table.ndim)])
    below, above = np.take(table, upper - 1, axis), np.take(table, upper, axis)
    return np.asarray(below + share * (above - below), np.float64)
