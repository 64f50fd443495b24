"""The tables of pass costs that policies run on, filled by engine runs.

Every draft step and every solo verify is run at each context. Side by side, verifies of n tokens and g
draft steps are run at a grid of n and g and interpolated linearly between; so are contexts. What a pass
moves makes a step where an activation outgrows the token buffers: put contexts on both sides of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from accelsim.decoding.costs import COLUMNS, Floats, PassCosts
from accelsim.decoding.model import LanguageModel
from accelsim.decoding.passes.program import Issue, PassProgram, pass_program
from accelsim.decoding.passes.runs import Interleave, Owner, Stream
from accelsim.decoding.passes.stores import build_stores
from accelsim.decoding.passes.work import PassLowering, PassWork
from accelsim.decoding.policies import Policy
from accelsim.engine.engine import Timeline, run
from accelsim.errors import user_error
from accelsim.hardware.machine import build_machine
from accelsim.outcomes import Outcomes
from accelsim.program.program import Ints
from accelsim.report.invariants import BrokenInvariant
from accelsim.spec import ArchSpec
from accelsim.workload.trace import PhaseKind

CONTEXTS, PROMPTS = 4, 3
"""How many of each a grid for given requests has, evenly apart."""

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
    _works: dict[tuple[str, PhaseKind, int, int], PassWork] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.machine = build_machine(self.arch)
        if self.machine.host is not None or self.machine.kernels is not None:
            found = "passes run on the queues of one accelerator, and this one is driven by kernels or commands"
            raise user_error(self.arch.name, "decode", found, "use a spec without host and kernels")
        self.stores = build_stores(self.machine)
        self._lowering = PassLowering(self.machine, Outcomes(self.machine, self.arch), self.uncharged)

    @property
    def static_mw(self) -> float:
        """Leakage of all blocks and background power of the DRAM, all chips."""
        return self.machine.system.chips * float(sum(self.machine.leakage_mw.values()))

    def work(self, owner: Owner, kind: PhaseKind, tokens: int, context: int) -> PassWork:
        """What one pass asks of the machine. UserError for an op that it cannot run."""
        key = (owner, kind, tokens, context)
        if key not in self._works:
            model = self.target if owner == "verify" else self.draft
            if model is None:
                raise ValueError("there is no draft model")
            self._works[key] = self._lowering.of(model.trace(kind, tokens, context), owner)
        return self._works[key]

    def streams(self, tokens: int, drafts: int, context: int) -> list[Stream]:
        """A verify of `tokens` tokens and `drafts` draft steps side by side, either of them 0 for none."""
        streams = []
        if tokens:
            streams.append(Stream("verify", (self.work("verify", "verify", tokens, context),)))
        if drafts:
            streams.append(Stream("draft", drafts * (self.work("draft", "draft", 1, context),)))
        return streams

    def prefill(self, prompt: int) -> list[Stream]:
        """All models reading a prompt."""
        streams = [Stream("verify", (self.work("verify", "prefill", prompt, 0),))]
        if self.draft is not None:
            streams.append(Stream("draft", (self.work("draft", "prefill", prompt, 0),)))
        return streams

    def program(self, tokens: int, drafts: int, context: int) -> PassProgram:
        """The instructions of both side by side."""
        return pass_program(self.streams(tokens, drafts, context), self.stores, self.interleave, self.issue)

    def run(self, streams: Sequence[Stream]) -> Timeline:
        """The timeline of passes side by side. UserError for passes longer than 2.5 hours."""
        try:
            timeline = run(pass_program(streams, self.stores, self.interleave, self.issue).program)
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
    """Where passes are run: contexts and prompts in tokens, up to how many tokens and draft steps."""

    contexts: tuple[int, ...]
    prompts: tuple[int, ...]
    most_verified: int
    most_together: int
    """Draft steps beside one verify; 0 leaves the table of both empty."""

    @property
    def verified(self) -> tuple[int, ...]:
        """Tokens verified side by side with drafting, the last one `most_verified`."""
        return _knots(self.most_verified)

    @property
    def drafted(self) -> tuple[int, ...]:
        return _knots(self.most_together) if self.most_together else ()

    @property
    def runs(self) -> int:
        """Engine runs that it takes."""
        per_context = 1 + self.most_verified + len(self.verified) * len(self.drafted)
        return per_context * len(self.contexts) + len(self.prompts)


def grid_of(policy: Policy, prompts: Ints, outputs: Ints) -> Grid:
    """The passes that the policy may ask for, over the contexts and prompts of these requests."""
    ends = int(prompts.min()), int((prompts + outputs).max())
    read = np.linspace(prompts.min(), prompts.max(), PROMPTS).round().astype(int)
    held = np.linspace(*ends, CONTEXTS).round().astype(int)
    contexts, lengths = (tuple(sorted(set(each.tolist()))) for each in (held, read))
    return Grid(contexts, lengths, policy.most_tokens, policy.most_concurrent)


def _knots(most: int) -> tuple[int, ...]:
    """1, 2, 4, ... and the last."""
    return tuple(sorted({*(2**power for power in range(most.bit_length())), most}))


def tabulate(passes: Passes, grid: Grid, progress: Progress = lambda done, total: None) -> PassCosts:
    """Pass costs over the grid; a draft step costs nothing where there is no draft. UserError for an op that the
    machine cannot run."""
    columns, points = len(COLUMNS), len(grid.contexts)
    draft = np.zeros((points, columns))
    verify = np.zeros((grid.most_verified, points, columns))
    together = np.zeros((len(grid.verified), len(grid.drafted), points, columns))
    done = 0

    def cost(streams: Sequence[Stream]) -> Floats:
        nonlocal done
        row = passes.cost(streams)
        done += 1
        progress(done, grid.runs)
        return row

    for at, context in enumerate(grid.contexts):
        if passes.draft is not None:
            draft[at] = cost(passes.streams(0, 1, context))
        for tokens in range(1, grid.most_verified + 1):
            verify[tokens - 1, at] = cost(passes.streams(tokens, 0, context))
        for i, tokens in enumerate(grid.verified):
            for j, drafts in enumerate(grid.drafted):
                together[i, j, at] = cost(passes.streams(tokens, drafts, context))
    prefill = np.array([cost(passes.prefill(prompt)) for prompt in grid.prompts])
    whole = _filled(_filled(together, grid.verified, 0), grid.drafted, 1)
    contexts, prompts = (np.array(each, np.int64) for each in (grid.contexts, grid.prompts))
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
