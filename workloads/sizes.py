"""What a user asks of a model, tokens or pixels, and whether the model has it."""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.errors import did_you_mean, user_error
from accelsim.workload.trace import PhaseKind

MAX_TOKENS = 2**20  # of all sequences together
MAX_PIXELS = 2**14  # on a side
MAX_BATCH = 2**12


@dataclass(frozen=True)
class Widths:
    """Assumed operand widths in bits."""

    weight_bits: int = 8
    activation_bits: int = 8
    kv_bits: int = 8


EIGHT_BITS = Widths()


@dataclass(frozen=True)
class Request:
    """What to trace of a model; None where the user did not say.

    `seq` is the tokens of an encode, prefill or verify; `context` the tokens in the KV cache before
    those that a decode or verify adds; `size` the height and width of an image in pixels; `batch` how
    many side by side.
    """

    phase: PhaseKind | None = None
    seq: int | None = None
    context: int | None = None
    size: int | None = None
    batch: int = 1

    def phase_of(self, model: str, phases: tuple[PhaseKind, ...]) -> PhaseKind:
        """The phase asked for, else the model's first; UserError for one that the model lacks."""
        phase = self.phase or phases[0]
        if phase not in phases:
            raise user_error("workload", model, f"has no phase {phase!r}", did_you_mean(phase, phases))
        return phase

    def tokens(self, model: str, phase: PhaseKind, most: int | None = None) -> int:
        """New tokens of an encode or prefill, earlier tokens of a decode; `most` ends the positions.

        Raises UserError for a size that is missing, out of range or of another phase or kind of model.
        """
        self._check_batch(model)
        if self.size is not None:
            raise user_error(model, "--size", "this model reads tokens, not an image", "give --seq instead")
        if phase == "verify":
            return self._verified(model)
        name, count, example = ("--context", self.context, 2048) if phase == "decode" else ("--seq", self.seq, 128)
        if phase == "decode" and self.seq not in (None, 1):
            raise user_error(model, "--seq", f"a decode adds one token, not {self.seq}", "leave --seq out")
        if phase != "decode" and self.context is not None:
            raise user_error(model, "--context", f"{phase} has none", "leave it out, or use --phase decode")
        if count is None:
            what = "the tokens in the KV cache" if phase == "decode" else "the number of tokens"
            needs = "a decode needs it" if phase == "decode" else f"{phase} needs it"
            raise user_error(model, name, needs, f"give {what}, like {name} {example}")
        _check(model, name, count, MAX_TOKENS // self.batch)
        total = count + (phase == "decode")
        if most is not None and total > most:
            raise user_error(model, name, f"{total} tokens", f"its positions end at {most}")
        return count

    def _verified(self, model: str) -> int:
        """The new tokens of a verify, whose context has to be there too."""
        if self.seq is None or self.context is None:
            name = "--seq" if self.seq is None else "--context"
            raise user_error(model, name, "verify needs it", "give the drafted tokens (--seq 5) and --context 2048")
        for option, count in (("--seq", self.seq), ("--context", self.context)):
            _check(model, option, count, MAX_TOKENS // self.batch)
        return self.seq

    def pixels(self, model: str, default: int | None, step: int = 1) -> int:
        """Height and width of the image: `size`, else `default`, a multiple of `step`.

        Raises UserError for a size that is missing or out of range, or for sizes of a token model.
        """
        self._check_batch(model)
        for name, given in (("--seq", self.seq), ("--context", self.context)):
            if given is not None:
                fix = "leave it out; --size sets the pixels of a side"
                raise user_error(model, name, "this model reads an image, not tokens", fix)
        size = default if self.size is None else self.size
        if size is None:
            raise user_error(model, "--size", "the model needs it", "give the pixels of a side, like --size 224")
        _check(model, "--size", size, MAX_PIXELS)
        if size % step:
            near = max(step, round(size / step) * step)
            raise user_error(model, "--size", f"{size} pixels", f"use a multiple of {step}, like {near}")
        return size

    def _check_batch(self, model: str) -> None:
        _check(model, "--batch", self.batch, MAX_BATCH)


def _check(model: str, name: str, count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise user_error(model, name, str(count), f"use at least 1 and at most {most}")
