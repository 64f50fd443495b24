"""A language model as decoding runs it: its template, widths, and how it is compressed."""

from __future__ import annotations

from dataclasses import dataclass, field

from accelsim.schemes import CodebookScheme
from accelsim.workload.compress import with_codebooks, with_rotations
from accelsim.workload.last_token import last_token_only, without_head
from accelsim.workload.template import Binding, TraceTemplate
from accelsim.workload.trace import PhaseKind, Trace

TWO_BITS = CodebookScheme(16, 16, entries=4, group=8)
"""Groups of 8 blocks share 4 INT4 blocks: the two bits a value of the ReRAM-on-logic chip (ISSCC 2026, 31.1)."""


@dataclass(frozen=True)
class LanguageModel:
    """Widths in bits. `codebook`: of the weights in its layers; `rotation`: before its down projections."""

    template: TraceTemplate = field(repr=False)
    weight_bits: int = 4
    activation_bits: int = 8
    kv_bits: int = 8
    codebook: CodebookScheme | None = None
    rotation: bool = False

    @property
    def name(self) -> str:
        return self.template.name

    def trace(self, kind: PhaseKind, tokens: int, context: int, whole: bool = True) -> Trace:
        """One pass over `tokens` new tokens behind `context` earlier ones.

        Of a prefill only the last one's logits, and none where more of the prompt follows (not `whole`).
        """
        binding = Binding(tokens, context, self.weight_bits, self.activation_bits, self.kv_bits)
        trace = self.template.bind(kind, binding)
        if kind == "prefill":
            trace = last_token_only(trace) if whole else without_head(trace)
        if self.codebook is not None:
            trace = with_codebooks(trace, self.codebook)
        return with_rotations(trace) if self.rotation else trace
