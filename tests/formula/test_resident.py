"""Activations that a pass keeps on the chip: never more than there is room for, and none left out that had room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from accelsim.decoding.model import LanguageModel
from accelsim.decoding.passes.resident import resident_tensors
from accelsim.decoding.passes.work import PassLowering, token_bits
from accelsim.hardware.machine import build_machine
from accelsim.outcomes import Outcomes
from accelsim.spec import load_arch
from accelsim.workload.chips import ChipTrace, split_over_chips
from accelsim.workload.template import load_template
from accelsim.workload.trace import Op, Oracle, Phase, Tensor, Trace, VectorDims

Links = list[tuple[int, list[int]]]
"""For each op the bits of its result, and which earlier results it reads."""


def trace_of(links: Links) -> Trace:
    tensors = tuple(Tensor(str(n), "activation", (bits,), 1) for n, (bits, _) in enumerate(links))
    ops = tuple(
        Op(n, str(n), "copy", VectorDims(1, bits), tuple(map(str, reads)), (str(n),), "copy", tuple(reads))
        for n, (bits, reads) in enumerate(links)
    )
    return Trace("made up", (), Oracle(None, "none"), tensors, (Phase("prefill", "prefill", 1, 0, 1, ops),))


@st.composite
def chains(draw: st.DrawFn) -> Links:
    count = draw(st.integers(1, 12))
    sizes = draw(st.lists(st.integers(1, 20), min_size=count, max_size=count))
    earlier = [draw(st.lists(st.integers(0, n - 1), max_size=3, unique=True)) if n else [] for n in range(count)]
    return list(zip(sizes, earlier, strict=True))


@given(chains(), st.integers(0, 40))
def test_there_is_room_for_what_is_kept(links: Links, room: int) -> None:
    kept = resident_tensors(ChipTrace(trace_of(links), {}, {}), room)
    for now, (bits, _) in enumerate(links):
        waiting = [
            links[n][0] for n in range(now) if str(n) in kept and any(n in reads for _, reads in links[now:])
        ]  # what is still read, by this op too, while this op writes
        assert (str(now) in kept) == (sum(waiting) + bits <= room)


def test_a_copy_is_kept_whole_or_not_at_all() -> None:
    """Of what four chips gather, the whole has to fit; the chip's own part and the copy are one."""
    trace = load_template("llama_160m")
    part = split_over_chips(LanguageModel(trace).trace("verify", 8, 100), 4)
    name = next(name for name in part.copy_of if "down_proj" not in name)
    own = part.copy_of[name]
    tensors = part.trace.tensor_by_id()
    whole = tensors[name].elements * tensors[name].bits
    assert 4 * tensors[own].elements * tensors[own].bits == whole
    for room in (whole // 2, 100 * whole):
        kept = resident_tensors(part, room)
        assert (name in kept) == (own in kept) == (room > whole)


def test_what_is_read_from_dram_was_written_there() -> None:
    """Prompts that outgrow the buffers: what all chips read of activations, one of them or another has stored."""
    machine = build_machine(load_arch("reram_logic_55nm_x4"))
    lowering = PassLowering(machine, Outcomes(machine, load_arch("reram_logic_55nm_x4")))
    model = LanguageModel(load_template("llama_160m"))
    small, large = (lowering.of(model.trace("prefill", tokens, 0), "verify") for tokens in (8, 600))
    cache = sum(1 for name in small.names if "kv_append" in name)
    assert sum(op.stored_bits > 0 for op in small.ops) == cache
    assert sum(op.stored_bits > 0 for op in large.ops) > 2 * cache
    part = split_over_chips(model.trace("prefill", 600, 0), 4)
    kept = resident_tensors(part, token_bits(machine) // 2)
    (phase,) = part.trace.phases
    for op, cost in zip(phase.ops, large.ops, strict=True):
        if "kv_append" not in op.name:
            out = part.trace.tensor_by_id()[op.outputs[0]]
            home = 0 if op.outputs[0] in kept else out.elements * out.bits + part.gathered_bits.get(op.id, 0)
            assert home <= cost.stored_bits <= home + 4 * 64 * 8 * 600
